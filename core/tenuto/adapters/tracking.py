"""How many events each read model has seen, for whoever only wants to know how far behind it is."""

from __future__ import annotations

import psycopg

from ..errors import Busy

CONNECT_SECONDS_MAX = 5


def read_model_positions(url: str) -> dict[str, int]:
    """Return the number of events seen by each read model, by its name and version; raises Busy."""
    query = "SELECT application_name, notification_id FROM read_model.tracking ORDER BY application_name"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS_MAX) as connection:
            return dict(connection.execute(query).fetchall())
    except psycopg.Error as error:
        raise Busy(f"The read models do not answer: {error}") from error

"""The ledger of a simulated world in a real Postgres, under the same port as the one in memory."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from tenuto.adapters.postgres import PostgresLedger, open_datastore

from tests.conftest import Database

SECONDS_MAX = 90.0


class RealSession(PostgresLedger):
    """A session that is really over when it is closed: the server lets go of what it owned a moment later."""

    def __init__(self, url: str, superuser: str) -> None:
        super().__init__(open_datastore(url), url)
        self._superuser = superuser

    def close(self) -> None:
        pids = [] if self._opened is None else [one.info.backend_pid for one in self._opened._claims.values() if not one.closed]
        super().close()
        deadline = time.monotonic() + SECONDS_MAX
        with psycopg.connect(self._superuser, autocommit=True) as connection:
            while connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,)).fetchone():
                assert time.monotonic() < deadline, "the server does not let go of a session"
                time.sleep(0.002)


class RealDatabase:
    """One database; every session is a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._url, self._superuser = database.url("tenuto_ingest"), database.url()
        self._sessions: list[Any] = []

    def session(self) -> RealSession:
        session = RealSession(self._url, self._superuser)
        self._sessions.append(session)
        return session

    def close(self) -> None:
        for session in self._sessions:
            session.close()

"""Read model `losses/1`: what did not get on record, or only late, in the order in which the ledger came to know of it.

The ledger cannot miss what nobody tells it. These are the four ways in which it is told: an author knows exactly what it lost,
an author's spool is gone and nobody knows, an event never arrived, and events arrived late because they had to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, MetaData, Text, select
from tenuto.events import Event, RecordGap, RecordLost, RecordSpooled, RecordUnaccounted
from tenuto.verification import Verified

from .tables import Instant, Rows, table

LOSSES_SHOWN_MAX = 50

METADATA = MetaData()
LOSS = table(
    "loss", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_at", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("session", Text),
    Column("first_seq", BigInteger),
    Column("last_seq", BigInteger),
    Column("events", BigInteger),
    Column("since", Instant),
    Column("until", Instant),
    Column("why", Text),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loss:
    """One of them. kind: record.lost, record.unaccounted, record.gap or record.spooled; what a kind does not say is None.

    session, first_seq, last_seq: which events of which session; of an unaccounted one `last_seq` is the last that is there.
    events, since, until, why: how many events were kept back, and when.
    """

    position: int
    recorded_at: datetime
    author: str
    kind: str
    session: str | None
    first_seq: int | None
    last_seq: int | None
    events: int | None
    since: datetime | None
    until: datetime | None
    why: str | None


class Losses:
    """The projection."""

    name = "losses/1"
    tables = METADATA

    def fold(self, page: Sequence[Verified]) -> None:
        """Nothing is kept in memory."""

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Add what this page tells."""
        told = [(verified, said) for verified in page if (said := _said(verified.event)) is not None]
        rows = Rows(connection, LOSS, [(verified.position,) for verified, _ in told])
        for verified, said in told:
            event = verified.event
            row = rows.add(position=verified.position)
            row.update(recorded_at=verified.recorded_at, author=event.author, kind=event.kind, **said)
        rows.write()


def losses(connection: Connection, limit: int = LOSSES_SHOWN_MAX) -> tuple[Loss, ...]:
    """Return the newest, newest first, at most `limit`."""
    rows = connection.execute(select(LOSS).order_by(LOSS.c.position.desc()).limit(limit)).mappings()
    return tuple(Loss(**row) for row in rows)


def _said(event: Event) -> Mapping[str, Any] | None:
    match event:
        case RecordLost(lost_session=session, first_seq=first, last_seq=last):
            return {"session": str(session), "first_seq": first, "last_seq": last}
        case RecordGap(gap_session=session, first_seq=first, last_seq=last):
            return {"session": str(session), "first_seq": first, "last_seq": last}
        case RecordUnaccounted(lost_session=session, last_seq=last):
            return {"session": str(session), "last_seq": last}
        case RecordSpooled(events=events, since=since, until=until, why=why):
            return {"events": events, "since": since, "until": until, "why": why}
    return None

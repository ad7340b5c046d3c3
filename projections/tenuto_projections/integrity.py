"""Read model `integrity/1`: how far the log was verified, by which of the nine steps, and what the ledger refused.

Two kinds of knowledge meet here. What events say (refusals, gaps, purges) is an ordinary projection. What verification
did is no event: `walked.Walked` counts it while the projector runs, and it is written down here beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Text, select, text
from tenuto.events import RecordEquivocation, RecordGap, RecordLost, RecordPurged, RecordRefused
from tenuto.verification import STEPS, VerificationFailed, Verified

from .tables import Instant, Rows, Untrusted, table
from .walked import FAILED, NOT_DONE, Seen, Tick, Walk, unsigned

_ONE = 1

METADATA = MetaData()
COUNTS = table(
    "ledger_counts", METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("equivocations", BigInteger, nullable=False),
    Column("gaps", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("purged", BigInteger, nullable=False),
)  # fmt: skip

WALK_METADATA = MetaData()
"""Written by the loop itself, so no rebuild empties it: it remembers the last checkpoint seen."""
WALK = table(
    "walk", WALK_METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("checkpoint_size", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("note", Untrusted, nullable=False),
    Column("checked_at", Instant, nullable=False),
)  # fmt: skip
TICK = table(
    "verification_tick", WALK_METADATA,
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("sentence", Untrusted, nullable=False),
    Column("noted_at", Instant, nullable=False),
)  # fmt: skip

_COLUMNS = {
    RecordRefused: "refused",
    RecordEquivocation: "equivocations",
    RecordGap: "gaps",
    RecordLost: "lost",
    RecordPurged: "purged",
}


@dataclass(frozen=True, slots=True)
class Integrity:
    """Where verification stands. size: events verified and applied; head_size: events in the ledger now.

    checkpoint_size, root (hex), note: the last checkpoint the log signed, None before the first. checked_at: when the
    projector last looked. lag_events, lag_seconds: how far the read models are behind the ledger.
    refused, equivocations, gaps, lost, purged: how many such events are on record.
    """

    size: int
    head_size: int
    checkpoint_size: int | None
    root: str | None
    note: str | None
    checked_at: datetime | None
    lag_events: int
    lag_seconds: float
    ticks: tuple[Tick, ...]
    refused: int
    equivocations: int
    gaps: int
    lost: int
    purged: int

    @property
    def failed(self) -> bool:
        """Whether verification failed: nothing that the read models show may be relied on."""
        return any(tick.state == FAILED for tick in self.ticks)


def integrity(connection: Connection) -> Integrity:
    """Return the present state; the lag is measured against the ledger itself, so it is true while no projector runs."""
    counts = connection.execute(select(COUNTS)).mappings().first()
    walk = connection.execute(select(WALK)).mappings().first()
    head = connection.execute(text("SELECT tree_size, recorded_at FROM ledger.log_head WHERE id = 1")).one()
    ticks = {row["step"]: row for row in connection.execute(select(TICK)).mappings()}
    size = 0 if counts is None else counts["size"]
    behind = head.recorded_at - counts["recorded_at"] if counts and head.tree_size > size else timedelta(0)
    return Integrity(
        size=size, head_size=head.tree_size,
        checkpoint_size=walk["checkpoint_size"] if walk else None, root=walk["root"] if walk else None,
        note=walk["note"] if walk else None,
        checked_at=max((row["noted_at"] for row in ticks.values()), default=None),
        lag_events=max(0, head.tree_size - size), lag_seconds=behind.total_seconds(),
        ticks=tuple(_tick(step, ticks.get(step)) for step in STEPS),
        **{column: 0 if counts is None else int(counts[column]) for column in _COLUMNS.values()},
    )  # fmt: skip


class Counts:
    """The projection: how many events of each kind that the ledger writes about records themselves."""

    name = "integrity/1"
    tables = METADATA

    def fold(self, page: Sequence[Verified]) -> None:
        """Nothing is kept in memory."""

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Count this page."""
        if not page:
            return
        rows = Rows(connection, COUNTS, [(_ONE,)])
        row = rows.add(id=_ONE, **dict.fromkeys(_COLUMNS.values(), 0))
        row.update(size=page[-1].position + 1, recorded_at=page[-1].recorded_at)
        for verified in page:
            column = _COLUMNS.get(type(verified.event))
            if column is not None:
                row[column] += 1
        rows.write()


def note_walk(connection: Connection, walk: Walk, now: datetime) -> None:
    """Write down a walk that found nothing wrong; the caller owns the transaction."""
    _note_ticks(connection, walk.ticks, now)
    if walk.seen is not None and walk.note is not None:
        rows = Rows(connection, WALK, [(_ONE,)])
        row = rows.add(id=_ONE)
        row.update(origin=walk.seen.origin, checkpoint_size=walk.seen.size, root=walk.seen.root, checked_at=now)
        row["note"] = walk.note.decode("utf-8", errors="replace")
        rows.write()


def note_failure(connection: Connection, failure: VerificationFailed, now: datetime) -> None:
    """Write down which step failed; the last good checkpoint stays. The caller owns the transaction."""
    stopped = f"Not finished: the walk stopped at step {failure.step}."
    others = [Tick(step, title, NOT_DONE, stopped) for step, title in STEPS.items() if step != failure.step]
    _note_ticks(
        connection, [*others, Tick(failure.step, STEPS[failure.step], FAILED, f"{str(failure).rstrip('.')}.")], now
    )


def verification_failed(connection: Connection) -> bool:
    """Return whether the last walk that was written down failed."""
    return connection.scalar(select(TICK.c.step).where(TICK.c.state == FAILED).limit(1)) is not None


def last_seen(connection: Connection) -> Seen | None:
    """Return the checkpoint written down last, or None."""
    row = connection.execute(select(WALK)).mappings().first()
    return None if row is None else Seen(row["origin"], row["checkpoint_size"], row["root"])


def _note_ticks(connection: Connection, ticks: Sequence[Tick], now: datetime) -> None:
    rows = Rows(connection, TICK, [(step,) for step in STEPS])
    for tick in ticks:
        rows.add(step=tick.step).update(state=tick.state, sentence=tick.sentence, noted_at=now)
    rows.write()


def _tick(step: int, row: Any) -> Tick:
    if row is None:
        return unsigned(step)
    return Tick(step, STEPS[step], row["state"], row["sentence"])

"""A run as it was at a point of the ledger, rebuilt in memory by the very projections that serve the console.

Nothing here knows how a state comes about: verified events go into `runs` and `inbox`, over SQLite instead of Postgres,
and the same queries come out. So a replay that agrees with the live read model shows that the live one is what the log
says, and a replay as of an earlier point shows what people saw then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import StaticPool
from tenuto.following import Follower
from tenuto.verification import Verified

from ..inbox import Approval, Inbox, approvals_of_run
from ..projection import Projection
from ..runs import Run, Runs, Step, run, timeline
from ..tables import SCHEMA
from ..walked import Walk, Walked
from .selection import AsOf


@dataclass(frozen=True, slots=True)
class RunState:
    """All that the read models say about one run."""

    run: Run
    steps: tuple[Step, ...]
    approvals: tuple[Approval, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replayed run: its events up to the point asked for, what the walk found, and the state. None: no such run."""

    events: tuple[Verified, ...]
    walk: Walk
    state: RunState | None
    last_position: int


class Scratch:
    """Read models in memory, gone when closed."""

    def __init__(self) -> None:
        """Create the tables, empty."""
        self._projections: Sequence[Projection] = (Runs(), Inbox())
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        with self._engine.begin() as connection:
            connection.execute(text(f"ATTACH ':memory:' AS {SCHEMA}"))
            for projection in self._projections:
                projection.tables.create_all(connection)

    def apply(self, page: Sequence[Verified]) -> None:
        """Hand a page to the projections."""
        with self._engine.begin() as connection:
            for projection in self._projections:
                projection.apply(connection, page)

    def state(self, name: str) -> RunState | None:
        """Return the run as it stands."""
        with self._engine.connect() as connection:
            return state_of(connection, name)

    def close(self) -> None:
        """Forget everything."""
        self._engine.dispose()


def state_of(connection: Connection, name: str) -> RunState | None:
    """Return what the read models behind `connection` say about a run, live or in memory; None if there is none."""
    found = run(connection, name)
    if found is None:
        return None
    return RunState(found, _whole_timeline(connection, name), approvals_of_run(connection, name))


def _whole_timeline(connection: Connection, name: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    while page := timeline(connection, name, steps[-1].position if steps else -1):
        steps.extend(page)
    return tuple(steps)


def replay(follower: Follower, walked: Walked, name: str, until: AsOf) -> Replayed:
    """Walk the log from its first event to its last and rebuild the run as of `until`.

    The walk goes on to the end, since only the root over everything shows that what came before is what was signed.
    Raises VerificationFailed.
    """
    scratch, runs, events, last = Scratch(), Runs(), list[Verified](), -1
    try:
        for page in follower.pages():
            walked.take(page)
            covered = [verified for verified in page if until.covers(verified)]
            if covered:
                scratch.apply(covered)
                last = covered[-1].position
                events.extend(verified for verified in covered if runs.take(verified.event) == name)
        walked.verify(follower)
        return Replayed(tuple(events), walked.walk(follower), scratch.state(name), last)
    finally:
        scratch.close()


def differences(replayed: RunState | None, live: RunState | None) -> tuple[str, ...]:
    """Say in which parts the two differ; empty when they agree."""
    if replayed is None or live is None:
        return () if replayed is live else ("only one of the two knows the run",)
    parts = (
        ("the run itself", replayed.run == live.run),
        ("its timeline", replayed.steps == live.steps),
        ("its approvals", replayed.approvals == live.approvals),
    )
    return tuple(part for part, same in parts if not same)

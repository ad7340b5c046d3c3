"""Read model `runs/1`: every run from pull request to deployment, and its timeline in plain words.

What a reviewer or an investigator reads first. Nothing is decided from it: decisions fold the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, MetaData, Row, Text, select, update
from tenuto.documents import PullRequest
from tenuto.events import ApprovalRequested, Event, RunFinished, RunStarted
from tenuto.verification import Verified

from .copies import opened, sealed
from .payloads import NONE, PURGED, document, payload_state, purged_positions, purges_in
from .stages import FIRST_STAGE, furthest, sentence, stage_of
from .tables import Instant, Rows, Untrusted, table

COPIED = ("repository", "title", "author", "base", "head")
"""What is copied out of the pull request, sealed."""
RUNS_MAX = 200
STEPS_MAX = 2000

METADATA = MetaData()
RUN = table(
    "run", METADATA,
    Column("run", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("described_at", BigInteger),
    Column("workflow", Text),
    Column("started_by", Text, nullable=False),
    Column("repository", Untrusted),
    Column("title", Untrusted),
    Column("author", Untrusted),
    Column("base", Untrusted),
    Column("head", Untrusted),
    Column("base_commit", Text),
    Column("head_commit", Text),
    Column("stage", Text, nullable=False),
    Column("outcome", Text),
    Column("started", Instant, nullable=False),
    Column("finished", Instant),
    Column("last_seen", Instant, nullable=False),
    Column("events", Integer, nullable=False),
    Column("insecure_demo", Boolean, nullable=False),
)  # fmt: skip
Index("run_position", RUN.c.position)
STEP = table(
    "run_step", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("run", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("causes", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("insecure_demo", Boolean, nullable=False),
    Column("payload", Text, nullable=False),
    Column("purged", Text),
)  # fmt: skip
Index("run_step_run", STEP.c.run, STEP.c.position)
Index("run_step_event", STEP.c.event_id)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `position` is that of its first event; title, repository, author, base and head are untrusted text.

    base_commit, head_commit: full git object ids from the signed header; they stay when the description is purged.
    stage: one of `stages.STAGES`, the furthest one reached. outcome: succeeded, refused, failed, or None while it runs.
    insecure_demo: at least one of its events was signed with an insecure demo key.
    """

    run: str
    position: int
    workflow: str | None
    started_by: str
    repository: str | None
    title: str | None
    author: str | None
    base: str | None
    head: str | None
    base_commit: str | None
    head_commit: str | None
    stage: str
    outcome: str | None
    started: datetime
    finished: datetime | None
    last_seen: datetime
    events: int
    insecure_demo: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a run, for reading. `summary` is one sentence made of header fields only, so it is safe to show.

    causes: ids of the events that led to it. payload: none, available, closed (not opened here) or purged. purged: by
    whom, when, under which request and why, once it was.
    """

    position: int
    run: str
    recorded_at: datetime
    author: str
    role: str
    kind: str
    stage: str
    summary: str
    event_id: str
    causes: tuple[str, ...]
    refs: tuple[str, ...]
    insecure_demo: bool
    payload: str
    purged: str | None = None


class Runs:
    """The projection. Events about an approval belong to the run that asked for it, if they name none themselves."""

    name = "runs/1"
    tables = METADATA

    def __init__(self) -> None:
        """Start before the first event."""
        self._asked_by: dict[str, str | None] = {}

    def fold(self, page: Sequence[Verified]) -> None:
        """Remember which run asked for which approval."""
        for verified in page:
            self.take(verified.event)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Write the runs and steps of this page."""
        of_runs = [(run, verified) for verified in page if (run := self.take(verified.event)) is not None]
        runs = Rows(connection, RUN, ((run,) for run, _ in of_runs))
        steps = Rows(connection, STEP, ())
        for name, verified in of_runs:
            row = runs.add(run=name, **_new_run(verified))
            _advance(connection, row, verified)
            steps.add(**_step(name, row["stage"], verified))
        runs.write()
        steps.write()
        _forget(connection, purged_positions(page))
        for purge, said in purges_in(page):
            of_these = STEP.c.position.in_(purge.positions) & STEP.c.purged.is_(None)
            connection.execute(update(STEP).where(of_these).values(purged=said))

    def take(self, event: Event) -> str | None:
        """Take the next event into memory and return the run that it belongs to, or None."""
        if isinstance(event, ApprovalRequested):
            self._asked_by.setdefault(event.approval, event.run)
        return event.run or self._asked_by.get(getattr(event, "approval", ""))


def list_runs(connection: Connection, limit: int = 50, before: int | None = None) -> tuple[Run, ...]:
    """Return the newest runs first, at most RUNS_MAX; `before` is the `position` of the last one already shown."""
    query = select(RUN).order_by(RUN.c.position.desc()).limit(min(limit, RUNS_MAX))
    if before is not None:
        query = query.where(RUN.c.position < before)
    return tuple(_run(connection, row) for row in connection.execute(query))


def run(connection: Connection, name: str) -> Run | None:
    """Return one run by its name, or None."""
    row = connection.execute(select(RUN).where(RUN.c.run == name)).first()
    return None if row is None else _run(connection, row)


def timeline(connection: Connection, name: str, after: int = -1, limit: int = STEPS_MAX) -> tuple[Step, ...]:
    """Return the steps of a run in ledger order, at most STEPS_MAX; `after` is the position of the last one shown."""
    query = (
        select(STEP)
        .where(STEP.c.run == name, STEP.c.position > after)
        .order_by(STEP.c.position)
        .limit(min(limit, STEPS_MAX))
    )
    return tuple(_as_step(row) for row in connection.execute(query))


def _new_run(verified: Verified) -> dict[str, Any]:
    return {
        "position": verified.position, "started_by": verified.event.author, "stage": FIRST_STAGE,
        "started": verified.recorded_at, "last_seen": verified.recorded_at, "events": 0, "insecure_demo": False,
    }  # fmt: skip


def _advance(connection: Connection, row: dict[str, Any], verified: Verified) -> None:
    event = verified.event
    row["events"] += 1
    row["last_seen"] = verified.recorded_at
    row["insecure_demo"] = row["insecure_demo"] or verified.key.insecure_demo
    row["stage"] = furthest(row["stage"], stage_of(event))
    if isinstance(event, RunStarted) and row["workflow"] is None:
        _describe(connection, row, event, verified)
    elif isinstance(event, RunFinished) and row["outcome"] is None:
        row["outcome"], row["finished"] = event.outcome, verified.recorded_at


def _describe(connection: Connection, row: dict[str, Any], event: RunStarted, verified: Verified) -> None:
    row["workflow"], row["started_by"] = event.workflow, event.author
    row["base_commit"], row["head_commit"] = event.base, event.head
    request = document(verified, PullRequest)
    if request is not None:
        row["described_at"] = verified.position
        for name in COPIED:
            row[name] = sealed(connection, verified, getattr(request, name))


def _step(name: str, stage: str, verified: Verified) -> dict[str, Any]:
    event = verified.event
    return {
        "position": verified.position, "run": name, "recorded_at": verified.recorded_at, "author": event.author,
        "role": verified.key.role, "kind": event.kind, "stage": stage, "summary": sentence(event),
        "event_id": str(event.id), "causes": " ".join(str(cause) for cause in event.cause),
        "refs": " ".join(event.refs), "insecure_demo": verified.key.insecure_demo, "payload": payload_state(verified),
    }  # fmt: skip


def _forget(connection: Connection, positions: Sequence[int]) -> None:
    """A purge reaches what was copied out of the payload, too."""
    if not positions:
        return
    with_payload = STEP.c.position.in_(positions) & (STEP.c.payload != NONE)
    connection.execute(update(STEP).where(with_payload).values(payload=PURGED))
    copied: dict[str, None] = dict.fromkeys(("described_at", *COPIED))
    connection.execute(update(RUN).where(RUN.c.described_at.in_(positions)).values(copied))


def _run(connection: Connection, row: Row[Any]) -> Run:
    values = dict(row._mapping)
    del values["described_at"]
    values |= {name: opened(connection, values[name]) for name in COPIED}
    return Run(**values)


def _as_step(row: Row[Any]) -> Step:
    values = dict(row._mapping)
    values["causes"], values["refs"] = tuple(values["causes"].split()), tuple(values["refs"].split())
    return Step(**values)

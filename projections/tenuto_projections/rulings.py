"""Read model `rulings/1`: what policy said to which call, by which rules of which bundle, and how often each rule decided.

For people: the policy page, and the line about policy beside a request. Counts are kept by the hour, so that a week is read from
a few hundred rows however many calls there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, MetaData, Text, func, select
from tenuto.events import ApprovalRequested, Event, PolicyChanged, PolicyDecided, ToolFailed, ToolRequested, ToolStarted
from tenuto.policy.decision import ERROR_RULE
from tenuto.verification import Verified

from .tables import Instant, Rows, table

RULINGS_MAX = 200
WEEK = timedelta(days=7)

METADATA = MetaData()
RULING = table(
    "ruling", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("call", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("tool", Text),
    Column("resource", Text),
    Column("run", Text),
    Column("at", Instant, nullable=False),
    Column("effect", Text, nullable=False),
    Column("obligation", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("engine", Text, nullable=False),
)  # fmt: skip
Index("ruling_effect", RULING.c.effect, RULING.c.position)
ASKED = table(
    "ruling_approval", METADATA,
    Column("approval", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)  # fmt: skip
HOUR = table(
    "ruling_hour", METADATA,
    Column("hour", Instant, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("effect", Text, primary_key=True),
    Column("count", Integer, nullable=False),
)  # fmt: skip
BUNDLE = table(
    "ruling_bundle", METADATA,
    Column("bundle", Text, primary_key=True),
    Column("engine", Text),
    Column("first_at", Instant),
    Column("last_at", Instant),
    Column("last", BigInteger, nullable=False),
    Column("decisions", Integer, nullable=False),
    Column("denies", Integer, nullable=False),
    Column("announced", Boolean, nullable=False),
)  # fmt: skip
Index("ruling_bundle_last", BUNDLE.c.last)


@dataclass(frozen=True, slots=True)
class Ruling:
    """One answer of policy. tool, resource: what the call asked for; None where its author had asked for no such call."""

    position: int
    call: str
    author: str
    tool: str | None
    resource: str | None
    run: str | None
    at: datetime
    effect: str
    obligation: str
    rules: tuple[str, ...]
    bundle: str
    engine: str

    @property
    def error(self) -> bool:
        """Whether this is a deny because no answer could be trusted, not because a rule said so."""
        return ERROR_RULE in self.rules


@dataclass(frozen=True, slots=True)
class Decider:
    """One bundle that decided, or was announced. first_at, last_at: None where it has not decided yet."""

    bundle: str
    engine: str | None
    first_at: datetime | None
    last_at: datetime | None
    last: int
    decisions: int
    denies: int
    announced: bool


class Rulings:
    """The projection. A call is remembered until it starts or fails: whoever asks people about it does so before that."""

    name = "rulings/1"
    tables = METADATA

    def __init__(self) -> None:
        """Start before the first event."""
        self._asked: dict[tuple[str, str], ToolRequested] = {}
        self._said: dict[tuple[str, UUID], int] = {}
        self._of_call: dict[tuple[str, str], list[UUID]] = {}

    def fold(self, page: Sequence[Verified]) -> None:
        """Remember the calls that are still to begin."""
        for verified in page:
            self._take(verified)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Write what policy said in this page, and for which requests it was said."""
        rulings, asked = Rows(connection, RULING, ()), Rows(connection, ASKED, _approvals(page))
        hours = Rows(connection, HOUR, (key for verified in page for key in _hours(verified)))
        bundles = Rows(connection, BUNDLE, {(one.event.bundle,) for one in page if isinstance(one.event, PolicyDecided | PolicyChanged)})
        for verified in page:
            event = verified.event
            self._take(verified)
            if isinstance(event, PolicyDecided):
                rulings.add(**self._row(event, verified))
                for hour, rule, effect in _hours(verified):
                    hours.add(hour=hour, rule=rule, effect=effect, count=0)["count"] += 1
                _count(bundles, event, verified)
            elif isinstance(event, PolicyChanged):
                _known(bundles, event.bundle, verified)["announced"] = True
            elif isinstance(event, ApprovalRequested) and (position := self._demanded_by(event)) is not None:
                asked.add(approval=event.approval, position=position)
        for rows in (rulings, asked, hours, bundles):
            rows.write()

    def _take(self, verified: Verified) -> None:
        event = verified.event
        if isinstance(event, ToolRequested):
            self._asked.setdefault((event.author, event.call), event)
        elif isinstance(event, PolicyDecided):
            self._said.setdefault((event.author, event.id), verified.position)
            self._of_call.setdefault((event.author, event.call), []).append(event.id)
        elif isinstance(event, ToolStarted | ToolFailed):
            self._asked.pop((event.author, event.call), None)
            for said in self._of_call.pop((event.author, event.call), ()):
                self._said.pop((event.author, said), None)

    def _row(self, event: PolicyDecided, verified: Verified) -> dict[str, Any]:
        asked = self._asked.get((event.author, event.call))
        return {
            "position": verified.position, "call": event.call, "author": event.author, "tool": asked and asked.tool,
            "resource": asked and asked.resource, "run": event.run, "at": verified.recorded_at, "effect": event.effect,
            "obligation": event.obligation, "rules": " ".join(event.rules), "bundle": event.bundle, "engine": event.engine,
        }  # fmt: skip

    def _demanded_by(self, event: ApprovalRequested) -> int | None:
        return next((found for cause in event.cause if (found := self._said.get((event.author, cause))) is not None), None)


def recent(connection: Connection, effect: str, limit: int = 50) -> tuple[Ruling, ...]:
    """Return the newest answers with this effect, `allow` or `deny`, newest first, at most RULINGS_MAX."""
    query = select(RULING).where(RULING.c.effect == effect).order_by(RULING.c.position.desc())
    return tuple(_ruling(row) for row in connection.execute(query.limit(min(limit, RULINGS_MAX))).mappings())


def ruling_on(connection: Connection, approval: str) -> Ruling | None:
    """Return what policy said to the call that a request is about, by the decision among its causes; None without one."""
    query = select(RULING).join(ASKED, ASKED.c.position == RULING.c.position).where(ASKED.c.approval == approval)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _ruling(row)


def deciders(connection: Connection, limit: int = 10) -> tuple[Decider, ...]:
    """Return the bundles that decided or were announced, the latest first: the first one decides now."""
    query = select(BUNDLE).order_by(BUNDLE.c.last.desc()).limit(limit)
    return tuple(Decider(**row) for row in connection.execute(query).mappings())


def counts(connection: Connection, now: datetime) -> dict[str, dict[str, int]]:
    """Return how often each rule decided in the WEEK before `now`, to the hour: by rule, then by effect."""
    total = func.sum(HOUR.c.count)
    query = select(HOUR.c.rule, HOUR.c.effect, total).where(HOUR.c.hour > now - WEEK).group_by(HOUR.c.rule, HOUR.c.effect)
    found: dict[str, dict[str, int]] = {}
    for rule, effect, count in connection.execute(query):
        found.setdefault(rule, {})[effect] = int(count)
    return found


def _known(bundles: Rows, bundle: str, verified: Verified) -> dict[str, Any]:
    row = bundles.add(bundle=bundle, decisions=0, denies=0, announced=False, last=verified.position)
    row["last"] = verified.position
    return row


def _count(bundles: Rows, event: PolicyDecided, verified: Verified) -> None:
    row = _known(bundles, event.bundle, verified)
    row["engine"], row["last_at"] = event.engine, verified.recorded_at
    row["first_at"] = row["first_at"] or verified.recorded_at
    row["decisions"] += 1
    row["denies"] += event.effect == "deny"


def _hours(verified: Verified) -> list[tuple[datetime, str, str]]:
    event: Event = verified.event
    if not isinstance(event, PolicyDecided):
        return []
    hour = verified.recorded_at.replace(minute=0, second=0, microsecond=0)
    return [(hour, rule, event.effect) for rule in dict.fromkeys(event.rules)]


def _approvals(page: Sequence[Verified]) -> list[tuple[str]]:
    return [(one.event.approval,) for one in page if isinstance(one.event, ApprovalRequested)]


def _ruling(row: Any) -> Ruling:
    return Ruling(**dict(row) | {"rules": tuple(row["rules"].split())})

"""How the reviewing goes: each signed decision with its time and its coverage, each second look, and what those looks said.

The tables belong to `reviewing/2`, which owns the fold that they are written from. Rates and quantiles are made when somebody
looks, over the decisions of WINDOW, each with its denominator; below JUDGED_FROM of them nothing is said about a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, MetaData, Text, delete, select, update
from tenuto.approvals.desk import Desk
from tenuto.approvals.fold import NotGranted, Vote
from tenuto.approvals.spotcheck import Quality, Spotcheck, Spotchecks
from tenuto.documents import Reason
from tenuto.events import ApprovalConsumed, ApprovalSigned, SpotcheckDrawn, SpotcheckSigned
from tenuto.verification import Verified

from .copies import opened, sealed
from .payloads import document
from .tables import Instant, Rows, Untrusted, table

CHECKS_MAX = 200
DECISIONS_MAX = 5_000
WINDOW = timedelta(days=30)
JUDGED_FROM = 10
"""So many decisions, or second looks, make a rate that says something about a person."""

METADATA = MetaData()
DECISION = table(
    "review_decision", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("approval", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("given", Instant, nullable=False),
    Column("counts", Boolean, nullable=False),
    Column("demanded", Integer, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("shown_ms", BigInteger, nullable=False),
    Column("least_ms", BigInteger, nullable=False),
)  # fmt: skip
CHECK = table(
    "spotcheck", METADATA,
    Column("approval", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("excluded", Text, nullable=False),
    Column("within", Integer, nullable=False),
    Column("wanted", Boolean, nullable=False),
    Column("drawn", Boolean),
    Column("drawn_at", Instant),
    Column("ticket", Text),
    Column("size", BigInteger),
    Column("finding", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("signed", BigInteger),
    Column("signed_at", Instant),
    Column("event_id", Text),
    Column("reason", Untrusted),
)  # fmt: skip
Index("spotcheck_wanted", CHECK.c.wanted, CHECK.c.position)
Index("spotcheck_signed", CHECK.c.signed)
QUALITY = table(
    "reviewer_quality", METADATA,
    Column("owner", Text, primary_key=True),
    Column("agreed", Integer, nullable=False),
    Column("disagreed", Integer, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looked:
    """One spent approval as the second look sees it. `check` is what core's fold says, `check.state(now)` how it stands.

    ticket, size: the draw, None before it. signed, signed_at, event_id, reason: the finding; the reason is untrusted text.
    """

    check: Spotcheck
    ticket: str | None
    size: int | None
    signed: int | None
    signed_at: datetime | None
    event_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What one reviewer did in the window. seconds: from request or assignment to each decision, shortest first.

    void: decisions that do not count. demanded, opened: risk-bearing pieces of what was approved. shown_ms, least_ms:
    time on screen of those, and the least there had to be. quality: what second looks said of the person, ever.
    """

    reviewer: str
    owner: str
    approved: int
    denied: int
    void: int
    seconds: tuple[float, ...]
    demanded: int
    opened: int
    shown_ms: int
    least_ms: int
    quality: Quality

    @property
    def decided(self) -> int:
        """How many decisions of this reviewer count."""
        return self.approved + self.denied

    def within(self, percent: int) -> float | None:
        """Return the seconds within which this share (1 to 100) of the decisions came, by nearest rank; None without any."""
        return self.seconds[-(-len(self.seconds) * percent // 100) - 1] if self.seconds else None


def wanted(connection: Connection) -> tuple[Looked, ...]:
    """Return what wants a second look or waits for its draw, oldest first, at most CHECKS_MAX."""
    query = select(CHECK).where(CHECK.c.wanted).order_by(CHECK.c.position).limit(CHECKS_MAX)
    return tuple(_looked(connection, dict(row)) for row in connection.execute(query).mappings())


def looked(connection: Connection, limit: int = 50) -> tuple[Looked, ...]:
    """Return the second looks that were taken, newest first, at most CHECKS_MAX."""
    query = select(CHECK).where(CHECK.c.signed.is_not(None)).order_by(CHECK.c.signed.desc())
    return tuple(_looked(connection, dict(row)) for row in connection.execute(query.limit(min(limit, CHECKS_MAX))).mappings())


def looks_at(connection: Connection, approvals: Sequence[str]) -> dict[str, Looked]:
    """Return the checks of these approvals by name; what was never spent has none."""
    query = select(CHECK).where(CHECK.c.approval.in_(list(approvals[:CHECKS_MAX])))
    return {row["approval"]: _looked(connection, dict(row)) for row in connection.execute(query).mappings()}


def records(connection: Connection, now: datetime) -> dict[str, Record]:
    """Return what each reviewer did in the WINDOW before `now`, by name, from at most DECISIONS_MAX decisions."""
    said = {row.owner: Quality(row.agreed, row.disagreed) for row in connection.execute(select(QUALITY))}
    query = select(DECISION).order_by(DECISION.c.position.desc()).limit(DECISIONS_MAX)
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        if row.at > now - WINDOW:
            rows.setdefault(row.reviewer, []).append(row)
    return {name: _record(name, found, said) for name, found in rows.items()}


def qualities(connection: Connection) -> dict[str, Quality]:
    """Return what second looks said about the approvals of each person, by person."""
    return {row.owner: Quality(row.agreed, row.disagreed) for row in connection.execute(select(QUALITY))}


class Reviewed:
    """The part of the projection that writes these tables, from a desk that has taken each event before."""

    def __init__(self, desk: Desk) -> None:
        """Start before the first event."""
        self._desk = desk
        self._checks = Spotchecks(desk.approvals)
        self._touched: set[str] = set()
        self._signed: dict[str, dict[str, Any]] = {}
        self._decisions: list[dict[str, Any]] = []

    def fold(self, verified: Verified) -> None:
        """Take an event whose effects are in the tables already."""
        self._checks.apply(verified)

    def take(self, connection: Connection, verified: Verified) -> None:
        """Take the next event and keep what `write` will write."""
        event = verified.event
        before = self._checks.find(event.approval) if isinstance(event, SpotcheckSigned) else None
        self._checks.apply(verified)
        if isinstance(event, ApprovalConsumed | SpotcheckDrawn | SpotcheckSigned):
            self._touched.add(event.approval)
        if isinstance(event, ApprovalSigned):
            self._decide(event, verified)
        elif isinstance(event, SpotcheckSigned) and self._checks.find(event.approval) is not before:
            reason = document(verified, Reason)
            self._signed[event.approval] = {
                "signed": verified.position, "signed_at": verified.recorded_at, "event_id": str(event.id),
                "reason": sealed(connection, verified, None if reason is None else reason.text),
            }  # fmt: skip

    def write(self, connection: Connection, purged: Sequence[int]) -> None:
        """Write what the page left; `purged` are the positions whose payloads it purged."""
        checks = [check for name in sorted(self._touched) if (check := self._checks.find(name)) is not None]
        rows = Rows(connection, CHECK, ((check.approval,) for check in checks))
        for check in checks:
            rows.add(approval=check.approval).update(self._row_of(check) | self._signed.get(check.approval, {}))
        rows.write()
        if self._decisions:
            connection.execute(DECISION.insert(), self._decisions)
        if self._signed:
            self._write_quality(connection, checks)
        if purged:
            connection.execute(update(CHECK).where(CHECK.c.signed.in_(purged)).values(reason=None))
        self._touched.clear()
        self._signed.clear()
        self._decisions.clear()

    def _decide(self, event: ApprovalSigned, verified: Verified) -> None:
        if event.decision == "withdraw":
            return
        try:
            standing = self._desk.approvals.standing(event.approval, verified.recorded_at)
        except NotGranted:  # a decision on something that nobody asked for
            return
        vote = next((one for one in standing.votes if one.position == verified.position), None)
        if vote is not None:
            self._decisions.append(self._decision_row(event, vote))

    def _decision_row(self, event: ApprovalSigned, vote: Vote) -> dict[str, Any]:
        asked = self._desk.approvals.request(event.approval)
        given = [one.at for one in self._desk.given(event.approval) if one.owner == vote.owner]
        demanded = asked.pieces.demanded if vote.decision == "approve" else ()
        seen = self._desk.approvals.coverage(event.approval, vote.reviewer).milliseconds
        return {
            "position": vote.position, "approval": event.approval, "reviewer": vote.reviewer, "owner": vote.owner,
            "decision": vote.decision, "at": vote.recorded_at, "given": max(given, default=asked.recorded_at),
            "counts": vote.counts, "demanded": len(demanded), "opened": sum(piece.digest in seen for piece in demanded),
            "shown_ms": sum(seen.get(piece.digest, 0) for piece in demanded),
            "least_ms": asked.event.review_milliseconds or 0 if demanded else 0,
        }  # fmt: skip

    def _row_of(self, check: Spotcheck) -> dict[str, Any]:
        draw = self._checks.draw_of(check.approval)
        return {
            "position": check.position, "digest": check.digest, "at": check.at, "approved_by": " ".join(check.approved_by),
            "excluded": " ".join(sorted(check.excluded)), "within": int(check.within.total_seconds()), "wanted": not check.finding and check.drawn is not False,
            "drawn": check.drawn, "drawn_at": check.drawn_at, "ticket": draw.ticket if draw else None,
            "size": draw.size if draw else None, "finding": check.finding, "by": check.by,
        }  # fmt: skip

    def _write_quality(self, connection: Connection, checks: Sequence[Spotcheck]) -> None:
        owners = sorted({owner for check in checks if check.finding for owner in check.approved_by})
        connection.execute(delete(QUALITY).where(QUALITY.c.owner.in_(owners)))
        found = [(owner, self._checks.quality(owner)) for owner in owners]
        connection.execute(
            QUALITY.insert(), [{"owner": name, "agreed": said.agreed, "disagreed": said.disagreed} for name, said in found]
        )


def _looked(connection: Connection, row: dict[str, Any]) -> Looked:
    check = Spotcheck(
        row["approval"], row["digest"], row["position"], row["at"], tuple(row["approved_by"].split()),
        frozenset(row["excluded"].split()), row["drawn"], row["drawn_at"], row["finding"], row["by"], within=timedelta(seconds=row["within"]),
    )  # fmt: skip
    reason = opened(connection, row["reason"])
    return Looked(check, row["ticket"], row["size"], row["signed"], row["signed_at"], row["event_id"], reason)


def _record(name: str, rows: Sequence[Any], said: dict[str, Quality]) -> Record:
    counting = [row for row in rows if row.counts]
    approved = [row for row in counting if row.decision == "approve"]
    owner = rows[0].owner
    return Record(
        reviewer=name, owner=owner, approved=len(approved), denied=len(counting) - len(approved), void=len(rows) - len(counting),
        seconds=tuple(sorted((row.at - row.given).total_seconds() for row in counting)),
        demanded=sum(row.demanded for row in approved), opened=sum(row.opened for row in approved),
        shown_ms=sum(row.shown_ms for row in approved), least_ms=sum(row.least_ms for row in approved),
        quality=said.get(owner, Quality()),
    )  # fmt: skip

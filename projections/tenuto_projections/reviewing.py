"""Read model `reviewing/2`: what has to be seen, what was seen, on whose desk it lies, and who has room for more.

All of it is what `tenuto.approvals` says of the verified events: the fold's coverage and the desk's assignments, written
down for people. Where a request waits although somebody should have it, `until` says when a place frees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, Text, select
from tenuto.approvals.coverage import ListedPiece
from tenuto.approvals.desk import Desk
from tenuto.approvals.roster import CAP_WINDOW, Reviewer
from tenuto.approvals.routing import Waits, moves
from tenuto.clock import from_micros, micros
from tenuto.documents import Reason
from tenuto.events import ApprovalAssigned, ApprovalRequested, ApprovalViewed
from tenuto.verification import Verified

from .payloads import document, purged_positions
from .reviewed import METADATA, Reviewed
from .tables import Instant, Rows, Untrusted, bring_to, table

PIECES = table(
    "review_pieces", METADATA,
    Column("approval", Text, primary_key=True),
    Column("pieces", Text, nullable=False),
    Column("fault", Text, nullable=False),
)  # fmt: skip
COVERAGE = table(
    "review_coverage", METADATA,
    Column("approval", Text, primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("milliseconds", Text, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("sentence", Text, nullable=False),
)  # fmt: skip
ASSIGNED = table(
    "review_assignment", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("approval", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("sentence", Untrusted),
)  # fmt: skip
Index("review_assignment_live", ASSIGNED.c.live, ASSIGNED.c.position)
WAITING = table(
    "review_waiting", METADATA,
    Column("approval", Text, primary_key=True),
    Column("until", Instant),
    Column("sentence", Text, nullable=False),
)  # fmt: skip
REVIEWER = table(
    "reviewer", METADATA,
    Column("reviewer", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("shift", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("cap", Integer, nullable=False),
    Column("on_desk", Integer, nullable=False),
    Column("decided", Text, nullable=False),
    Column("keys", Integer, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reviewer has seen of a request. digest: what the next signature names. sentence: what is missing, or "" ."""

    digest: str
    milliseconds: dict[str, int]
    missing: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Given:
    """One assignment that stands. `sentence` is the router's reason, untrusted text."""

    approval: str
    reviewer: str
    why: str
    at: datetime
    sentence: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that nobody can take at the moment; `until` is None where that depends on people."""

    until: datetime | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Room:
    """A reviewer's load. decided: ledger times of the decisions of the last hour, as of the last event.

    keys: how many valid keys and passkeys; with none, nothing that is signed in this name counts.
    """

    reviewer: str
    owner: str
    roles: tuple[str, ...]
    shift: str
    active: bool
    keys: int
    cap: int
    on_desk: int
    decided: tuple[datetime, ...]

    def places(self, now: datetime) -> int:
        """Return how many more decisions count within the sliding hour that ends at `now`."""
        return max(0, self.cap - sum(moment > now - CAP_WINDOW for moment in self.decided))

    def frees(self, now: datetime) -> datetime | None:
        """Return when the next place frees, None when there is one already."""
        recent = [moment for moment in self.decided if moment > now - CAP_WINDOW]
        return recent[len(recent) - self.cap] + CAP_WINDOW if len(recent) >= self.cap else None


@dataclass(frozen=True, slots=True)
class Queue:
    """Who has what, and what waits for whom: everything about open requests, by the name of the request."""

    given: dict[str, tuple[Given, ...]]
    waiting: dict[str, Waiting]
    rooms: dict[str, Room]


def pieces_on_record(connection: Connection, approval: str) -> tuple[tuple[ListedPiece, ...], str]:
    """Return the pieces that a request commits to, gravest first, and why nothing can be approved by them, or ""."""
    row = connection.execute(select(PIECES).where(PIECES.c.approval == approval)).mappings().one_or_none()
    if row is None:
        return (), "the request is not known here."
    return tuple(ListedPiece(*piece) for piece in msgspec.json.decode(row["pieces"])), row["fault"]


def seen_by(connection: Connection, approval: str, reviewer: str) -> Seen | None:
    """Return what the reviewer has seen of a request, None when nothing is on record."""
    where = (COVERAGE.c.approval == approval) & (COVERAGE.c.reviewer == reviewer)
    row = connection.execute(select(COVERAGE).where(where)).mappings().one_or_none()
    if row is None:
        return None
    return Seen(row["digest"], msgspec.json.decode(row["milliseconds"]), row["missing"], row["sentence"])


def queue(connection: Connection) -> Queue:
    """Return who has what; as many rows as there are open requests and reviewers."""
    given: dict[str, tuple[Given, ...]] = {}
    for row in connection.execute(select(ASSIGNED).where(ASSIGNED.c.live).order_by(ASSIGNED.c.position)).mappings():
        one = Given(row["approval"], row["reviewer"], row["why"], row["at"], row["sentence"])
        given[one.approval] = (*given.get(one.approval, ()), one)
    waiting = {row.approval: Waiting(row.until, row.sentence) for row in connection.execute(select(WAITING))}
    return Queue(given, waiting, rooms(connection))


def rooms(connection: Connection) -> dict[str, Room]:
    """Return how much room each reviewer has, by name."""
    return {row["reviewer"]: _room(dict(row)) for row in connection.execute(select(REVIEWER)).mappings()}


class Reviewing:
    """The projection: the desk's fold, written down."""

    name = "reviewing/2"
    tables = METADATA

    def __init__(self) -> None:
        """Start before the first event."""
        self._desk = Desk()
        self._reviewed = Reviewed(self._desk)

    def fold(self, page: Sequence[Verified]) -> None:
        """Bring the fold past events that are in the tables already."""
        for verified in page:
            self._desk.apply(verified)
            self._reviewed.fold(verified)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Fold the page, write down what its events say, then what follows for everything that is open at its end."""
        if not page:
            return
        assigned: list[dict[str, Any]] = []
        touched: set[tuple[str, str]] = set()
        for verified in page:
            self._desk.apply(verified)
            self._reviewed.take(connection, verified)
            event = verified.event
            if isinstance(event, ApprovalAssigned):
                assigned += self._taken(event, verified)
            elif isinstance(event, ApprovalViewed) and event.reviewer is not None:
                touched.add((event.approval, event.reviewer))
        self._write_pieces(connection, page)
        self._write_coverage(connection, touched)
        self._write_standing(connection, page[-1].recorded_at, assigned)
        gone = purged_positions(page)
        self._reviewed.write(connection, gone)
        if gone:
            connection.execute(ASSIGNED.update().where(ASSIGNED.c.position.in_(gone)).values(sentence=None))

    def _taken(self, event: ApprovalAssigned, verified: Verified) -> list[dict[str, Any]]:
        """Return the row of an assignment, none for what the desk did not take."""
        if not self._desk.took(event.approval, verified.position):
            return []
        reason = document(verified, Reason)
        return [{
            "position": verified.position, "approval": event.approval, "reviewer": event.reviewer, "why": event.why,
            "at": verified.recorded_at, "live": True, "sentence": None if reason is None else reason.text,
        }]  # fmt: skip

    def _write_pieces(self, connection: Connection, page: Sequence[Verified]) -> None:
        names = {verified.event.approval for verified in page if isinstance(verified.event, ApprovalRequested)}
        rows = Rows(connection, PIECES, ((name,) for name in names))
        for name in sorted(names):
            listed = self._desk.approvals.request(name).pieces
            pieces = [(one.digest, one.name, one.risk, one.milliseconds) for one in listed.pieces]
            rows.add(approval=name, pieces=msgspec.json.encode(pieces).decode(), fault=listed.fault)
        rows.write()

    def _write_coverage(self, connection: Connection, touched: Iterable[tuple[str, str]]) -> None:
        known = {pair for pair in touched if pair[0] in self._desk.approvals.requests()}
        rows = Rows(connection, COVERAGE, known)
        for approval, reviewer in sorted(known):
            covered = self._desk.approvals.coverage(approval, reviewer)
            shown = msgspec.json.encode(covered.milliseconds, order="deterministic").decode()
            row = rows.add(approval=approval, reviewer=reviewer)
            row |= {
                "digest": covered.digest, "milliseconds": shown, "missing": len(covered.missing), "sentence": covered.sentence
            }  # fmt: skip
        rows.write()

    def _write_standing(self, connection: Connection, now: datetime, assigned: list[dict[str, Any]]) -> None:
        live = {one.position for standing in self._desk.undecided(now) for one in self._desk.live(standing)}
        # A vote that is withdrawn puts the request back on a desk, so what is live now may not have been before.
        rows = Rows(connection, ASSIGNED, ((position,) for position in {*live, *_live(connection)}))
        for row in assigned:
            rows.add(**row)
        for row in rows.all():
            if row["live"] != (row["position"] in live):
                rows.get(row["position"])
                row["live"] = row["position"] in live
        rows.write()
        waits = [one for one in moves(self._desk, now) if isinstance(one, Waits)]
        bring_to(connection, WAITING, [{"approval": one.approval, "until": one.until, "sentence": one.sentence} for one in waits])
        bring_to(connection, REVIEWER, [self._row_of(one, now) for one in self._desk.roster.everybody()])

    def _row_of(self, one: Reviewer, now: datetime) -> dict[str, Any]:
        shift = "" if one.shift is None else "{:02}:{:02}-{:02}:{:02}".format(*divmod(one.shift[0], 60), *divmod(one.shift[1], 60))
        decided = " ".join(str(micros(moment)) for moment in self._desk.approvals.decisions(one.owner, now))
        return {
            "reviewer": one.name, "owner": one.owner, "roles": " ".join(sorted(one.roles or ())), "shift": shift,
            "active": one.active, "keys": len(one.keys), "cap": self._desk.roster.decisions_per_hour, "on_desk": self._desk.on_desk(one.owner, now),
            "decided": decided,
        }  # fmt: skip


def _live(connection: Connection) -> list[int]:
    return list(connection.scalars(select(ASSIGNED.c.position).where(ASSIGNED.c.live)))


def _room(row: dict[str, Any]) -> Room:
    decided = tuple(from_micros(int(moment)) for moment in row["decided"].split())
    return Room(**row | {"roles": tuple(row["roles"].split()), "decided": decided})

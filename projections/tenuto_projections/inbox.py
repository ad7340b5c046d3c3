"""Read model `inbox/1`: what waits for a person, what it is about, who voted, and whether each vote counts.

The state is that of `tenuto.approvals`, the one fold that gate, console and replay share: this file only writes down what
the fold says. It never decides anything, and no gate reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Text,
    select,
    update,
)
from tenuto.approvals import Approvals
from tenuto.documents import ApprovalCard, Reason
from tenuto.events import (
    ApprovalConsumed,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
)
from tenuto.verification import Verified

from .copies import opened, sealed
from .payloads import document, payload_state, purged_positions
from .tables import Instant, Rows, Untrusted, table

ITEMS_MAX = 200
WAITING = ("open", "granted")
"""States that time alone can change; "granted" waits for its execution."""

METADATA = MetaData()
APPROVAL = table(
    "approval", METADATA,
    Column("approval", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("run", Text),
    Column("subject", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("agent_owner", Text, nullable=False),
    Column("initiator", Text, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("approved_by", Integer, nullable=False),
    Column("risks", Text, nullable=False),
    Column("requested", Instant, nullable=False),
    Column("expires", Instant, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided", Instant),
    Column("opened_by", Text, nullable=False),
    Column("consumed_by", Text),
    Column("rules", Text, nullable=False),
    Column("insecure_demo", Boolean, nullable=False),
    Column("payload", Text, nullable=False),
    Column("title", Untrusted),
    Column("sentence", Untrusted),
    Column("card", Untrusted),
)  # fmt: skip
Index("approval_state", APPROVAL.c.state, APPROVAL.c.position)
Index("approval_run", APPROVAL.c.run)
Index("approval_action", APPROVAL.c.tool, APPROVAL.c.resource, APPROVAL.c.position)
VOTE = table(
    "approval_vote", METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("approval", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("counts", Boolean, nullable=False),
    Column("rule", Integer, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("insecure_demo", Boolean, nullable=False),
    Column("reason", Untrusted),
)  # fmt: skip
Index("approval_vote_approval", VOTE.c.approval, VOTE.c.position)

_LIST = [column for column in APPROVAL.c if column.name not in ("card", "rules")]
_Decided = ApprovalConsumed | ApprovalDenied | ApprovalExpired | ApprovalGranted | ApprovalRevoked
_About = ApprovalRequested | ApprovalOpened | ApprovalSigned | _Decided


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One request as the inbox lists it. `title` and `sentence` are untrusted text, None when the card is not there.

    state: open, granted, denied, expired, revoked or consumed, as of the last applied event. approved_by: how many
    approvals count so far. decided: ledger time at which the state became what it is; None while open.
    opened_by: reviewers who opened it. consumed_by: the call that used the approval.
    payload: none, available, closed (not opened here) or purged. insecure_demo: the request or a vote on it is.
    """

    approval: str
    position: int
    event_id: str
    run: str | None
    subject: str
    digest: str
    tool: str
    resource: str
    author: str
    agent_owner: str
    initiator: str
    quorum: int
    approved_by: int
    risks: tuple[str, ...]
    requested: datetime
    expires: datetime
    state: str
    decided: datetime | None
    opened_by: tuple[str, ...]
    consumed_by: str | None
    insecure_demo: bool
    payload: str
    title: str | None
    sentence: str | None

    def age_seconds(self, now: datetime) -> float:
        """Seconds since the ledger recorded the request."""
        return (now - self.requested).total_seconds()

    def state_at(self, now: datetime) -> str:
        """Return the state at `now`, if nothing but time has happened since the last applied event."""
        return "expired" if self.state in WAITING and now > self.expires else self.state


@dataclass(frozen=True, slots=True)
class CastVote:
    """One signed decision (approve, deny or withdraw). `counts` is False with the number and sentence of the rule it breaks.

    reason: what the reviewer wrote; untrusted text, None when it is not there. withdrawn: taken back by the reviewer.
    """

    position: int
    event_id: str
    reviewer: str
    owner: str
    decision: str
    recorded_at: datetime
    counts: bool
    rule: int
    sentence: str
    withdrawn: bool
    insecure_demo: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class RuleTick:
    """One numbered rule of `tenuto.approvals.fold`, whether it holds, and why."""

    rule: int
    holds: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One request with all that a reviewer sees. `card` is untrusted; None when it is not there or is no card."""

    item: InboxItem
    card: ApprovalCard | None
    votes: tuple[CastVote, ...]
    rules: tuple[RuleTick, ...]


def pending(connection: Connection, limit: int = 100, after: int = -1) -> tuple[InboxItem, ...]:
    """Return the open requests, oldest first, at most ITEMS_MAX; `after` is the position of the last one shown."""
    query = select(*_LIST).where(APPROVAL.c.state == "open", APPROVAL.c.position > after)
    return _items(connection, query.order_by(APPROVAL.c.position).limit(min(limit, ITEMS_MAX)))


def decided(connection: Connection, limit: int = 50, before: int | None = None) -> tuple[InboxItem, ...]:
    """Return the requests that are no longer open, newest first; `before` is the position of the last one shown."""
    query = select(*_LIST).where(APPROVAL.c.state != "open")
    if before is not None:
        query = query.where(APPROVAL.c.position < before)
    return _items(connection, query.order_by(APPROVAL.c.position.desc()).limit(min(limit, ITEMS_MAX)))


def of_run(connection: Connection, run: str) -> tuple[InboxItem, ...]:
    """Return the requests of a run, oldest first, at most ITEMS_MAX."""
    query = select(*_LIST).where(APPROVAL.c.run == run)
    return _items(connection, query.order_by(APPROVAL.c.position).limit(ITEMS_MAX))


def listed(connection: Connection, names: Sequence[str]) -> tuple[InboxItem, ...]:
    """Return these requests, in no order."""
    return _items(connection, select(*_LIST).where(APPROVAL.c.approval.in_(list(names))))


def named(connection: Connection, names: Sequence[str]) -> dict[str, InboxItem]:
    """Return these requests by name, at most ITEMS_MAX."""
    query = select(*_LIST).where(APPROVAL.c.approval.in_(list(names[:ITEMS_MAX])))
    return {item.approval: item for item in _items(connection, query)}


def similar(connection: Connection, item: InboxItem, limit: int = 5) -> tuple[Approval, ...]:
    """Return what was decided before about the same tool and resource, newest first, at most ITEMS_MAX."""
    same = (APPROVAL.c.tool == item.tool) & (APPROVAL.c.resource == item.resource)
    earlier = same & (APPROVAL.c.position < item.position) & (APPROVAL.c.state != "open")
    query = select(APPROVAL.c.approval).where(earlier).order_by(APPROVAL.c.position.desc()).limit(min(limit, ITEMS_MAX))
    return tuple(reversed(_whole(connection, APPROVAL.c.approval.in_(list(connection.scalars(query))))))


def approval(connection: Connection, name: str) -> Approval | None:
    """Return one request with its card, votes and rules, or None."""
    found = _whole(connection, APPROVAL.c.approval == name)
    return found[0] if found else None


def approvals_of_run(connection: Connection, run: str) -> tuple[Approval, ...]:
    """Return the requests of a run with cards, votes and rules, oldest first, at most ITEMS_MAX."""
    return _whole(connection, APPROVAL.c.run == run)


class Inbox:
    """The projection: the approvals fold, written down."""

    name = "inbox/1"
    tables = METADATA

    def __init__(self) -> None:
        """Start before the first event."""
        self._approvals = Approvals()

    def fold(self, page: Sequence[Verified]) -> None:
        """Bring the fold past events that are in the tables already."""
        for verified in page:
            self._approvals.apply(verified)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Fold the page and write down every request it changed, by its events or by the passing of ledger time."""
        if not page:
            return
        names = {verified.event.approval for verified in page if isinstance(verified.event, _About)}
        overdue = APPROVAL.c.state.in_(WAITING) & (APPROVAL.c.expires < page[-1].recorded_at)
        cases = Rows(connection, APPROVAL, [(name,) for name in names | _names(connection, overdue)])
        votes = Rows(connection, VOTE, ((position,) for position in _vote_positions(connection, names)))
        for verified in page:
            self._approvals.apply(verified)
            if isinstance(verified.event, _About):
                self._take(connection, verified, cases, votes)
        for row in cases.all():
            if row["state"] in WAITING:  # the others do not change with time, wherever a page may end
                self._stand(row, page[-1].recorded_at)
                cases.get(row["approval"])
        cases.write()
        votes.write()
        _forget(connection, purged_positions(page))

    def _take(self, connection: Connection, verified: Verified, cases: Rows, votes: Rows) -> None:
        event = verified.event
        assert isinstance(event, _About)
        if isinstance(event, ApprovalRequested):
            cases.add(**_new_case(connection, event, verified))
        row = cases.get(event.approval)
        if row is None:
            return
        if isinstance(event, ApprovalOpened):
            row["opened_by"] = " ".join(dict.fromkeys([*row["opened_by"].split(), event.reviewer or event.author]))
        elif isinstance(event, ApprovalSigned):
            self._vote(connection, event, verified, votes)
            row["insecure_demo"] = row["insecure_demo"] or verified.key.insecure_demo
        self._stand(row, verified.recorded_at)

    def _vote(self, connection: Connection, event: ApprovalSigned, verified: Verified, votes: Rows) -> None:
        standing = self._approvals.standing(event.approval, verified.recorded_at)
        kept = {vote.position: vote for vote in standing.votes}
        cast = kept.get(verified.position)
        reason = document(verified, Reason)
        votes.add(
            position=verified.position, approval=event.approval, event_id=str(event.id), reviewer=event.author,
            owner=verified.key.owner, decision=event.decision, recorded_at=verified.recorded_at,
            counts=cast is not None and cast.counts, rule=0 if cast is None else cast.rule,
            sentence="" if cast is None else cast.sentence, withdrawn=False, reason=sealed(connection, verified, None if reason is None else reason.text),
            insecure_demo=verified.key.insecure_demo,
        )  # fmt: skip
        if event.decision == "withdraw":
            for row in votes.all():
                if row["approval"] == event.approval and row["decision"] != "withdraw" and row["position"] not in kept:
                    votes.get(row["position"])
                    row["withdrawn"], row["counts"] = True, False

    def _stand(self, row: dict[str, Any], now: datetime) -> None:
        standing = self._approvals.standing(row["approval"], now)
        if standing.state != row["state"]:
            # Time passes between two events, too: what expired did so at its own moment, not when we noticed.
            row["decided"] = {"expired": row["expires"], "open": None}.get(standing.state, now)
            row["state"] = standing.state
        row["quorum"], row["approved_by"] = standing.quorum, len(standing.counting)
        row["consumed_by"] = self._approvals.consumed_by(row["approval"])
        rules = [(rule.rule, rule.holds, rule.sentence) for rule in standing.rules]
        row["rules"] = msgspec.json.encode(rules).decode()


def _new_case(connection: Connection, event: ApprovalRequested, verified: Verified) -> dict[str, Any]:
    card = document(verified, ApprovalCard)
    return {
        "approval": event.approval, "position": verified.position, "event_id": str(event.id), "run": event.run,
        "subject": event.subject, "digest": event.digest, "tool": event.tool, "resource": event.resource,
        "author": event.author, "agent_owner": verified.key.owner, "initiator": event.initiator, "quorum": event.quorum,
        "approved_by": 0, "risks": " ".join(event.risks), "requested": verified.recorded_at, "expires": event.expires,
        "state": "open", "opened_by": "", "rules": "[]", "insecure_demo": verified.key.insecure_demo,
        "payload": payload_state(verified), "title": sealed(connection, verified, None if card is None else card.title),
        "sentence": sealed(connection, verified, None if card is None else card.sentence),
        "card": sealed(connection, verified, None if card is None else msgspec.json.encode(card).decode()),
    }  # fmt: skip


def _names(connection: Connection, where: ColumnElement[bool]) -> set[str]:
    return set(connection.scalars(select(APPROVAL.c.approval).where(where)))


def _vote_positions(connection: Connection, names: Iterable[str]) -> list[int]:
    return list(connection.scalars(select(VOTE.c.position).where(VOTE.c.approval.in_(sorted(names)))))


def _forget(connection: Connection, positions: Sequence[int]) -> None:
    """A purge reaches what was copied out of the payload, too."""
    if not positions:
        return
    blank: dict[str, str | None] = {"payload": "purged", "title": None, "sentence": None, "card": None}
    connection.execute(update(APPROVAL).where(APPROVAL.c.position.in_(positions)).values(blank))
    connection.execute(update(VOTE).where(VOTE.c.position.in_(positions)).values(reason=None))


def _whole(connection: Connection, where: ColumnElement[bool]) -> tuple[Approval, ...]:
    query = select(APPROVAL).where(where).order_by(APPROVAL.c.position).limit(ITEMS_MAX)
    rows = [dict(row._mapping) for row in connection.execute(query)]
    cast: dict[str, list[CastVote]] = {row["approval"]: [] for row in rows}
    votes = select(VOTE).where(VOTE.c.approval.in_(list(cast))).order_by(VOTE.c.position)
    for vote in connection.execute(votes).mappings():
        values = dict(vote)
        values["reason"] = opened(connection, values["reason"])
        cast[values.pop("approval")].append(CastVote(**values))
    return tuple(_approval(connection, row, cast[row["approval"]]) for row in rows)


def _approval(connection: Connection, values: dict[str, Any], votes: Sequence[CastVote]) -> Approval:
    card, rules = opened(connection, values.pop("card")), values.pop("rules")
    return Approval(
        item=_item(connection, values),
        card=None if card is None else msgspec.json.decode(card, type=ApprovalCard),
        votes=tuple(votes),
        rules=tuple(RuleTick(*rule) for rule in msgspec.json.decode(rules)),
    )


def _items(connection: Connection, query: Any) -> tuple[InboxItem, ...]:
    return tuple(_item(connection, dict(row._mapping)) for row in connection.execute(query))


def _item(connection: Connection, values: dict[str, Any]) -> InboxItem:
    values["title"], values["sentence"] = opened(connection, values["title"]), opened(connection, values["sentence"])
    values["risks"], values["opened_by"] = tuple(values["risks"].split()), tuple(values["opened_by"].split())
    return InboxItem(**values)

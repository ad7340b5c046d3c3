"""What was decided before about the same thing, and what came of it: the outcome is the run's, not a memory of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from tenuto_projections.inbox import Approval, CastVote, InboxItem, similar
from tenuto_projections.reviewed import Looked, looks_at
from tenuto_projections.runs import run

from .cards import UNREADABLE
from .chain import OUTCOMES
from .marks import state_badge
from .sheet import Node, box, link, moment, word

BEFORE_MAX = 5
_DECISIONS = {"approve": "approved", "deny": "denied"}


@dataclass(frozen=True, slots=True)
class Earlier:
    """One decided request. outcome: of its run; None while it runs or where it has none. look: the second look, if one was due."""

    approval: Approval
    outcome: str | None
    look: Looked | None


def earlier(connection: Connection, item: InboxItem) -> tuple[Earlier, ...]:
    """Return what was decided about the same tool and resource, newest first, at most BEFORE_MAX."""
    found = similar(connection, item, BEFORE_MAX)
    looks = looks_at(connection, [one.item.approval for one in found])
    runs = {name: run(connection, name) for name in {one.item.run for one in found if one.item.run is not None}}
    ended = {name: one.outcome for name, one in runs.items() if one is not None}
    return tuple(Earlier(one, ended.get(one.item.run or ""), looks.get(one.item.approval)) for one in found)


def summary(found: tuple[Earlier, ...], item: InboxItem) -> str:
    """Say in one sentence how it went before."""
    if not found:
        return f"Nothing was decided about {item.tool} on {item.resource} before."
    went = [_went(one) for one in found]
    counted = ", ".join(f"{went.count(said)} {said}" for said in dict.fromkeys(went))
    return f"Of the last {len(found)} about {item.tool} on {item.resource}: {counted}."


def before(found: tuple[Earlier, ...], item: InboxItem) -> Node:
    """Return the earlier decisions, each with who decided, why, and what came of it."""
    rows = [_row(one) for one in found] or [box("panel-body", word("soft", summary(found, item)))]
    head = box("panel-head", box("", "Decided before about the same thing", tag="h2"), word("right mono", item.resource))
    return box("panel", head, *rows)


def _went(one: Earlier) -> str:
    if one.look is not None and one.look.check.finding == "disagree":
        return "approved, and a second look disagreed"
    state = one.approval.item.state
    ended = {"succeeded": "approved and went well", "failed": "approved and failed", "refused": "approved and stopped by a control"}
    return ended.get(one.outcome or "", "approved") if state in ("granted", "consumed") else state


def _row(one: Earlier) -> Node:
    item = one.approval.item
    name, tone = OUTCOMES.get(one.outcome or "", ("", ""))
    top = box(
        "top", state_badge(item.state), word(f"badge {tone}", name) if name else None,
        link("strong", item.title or UNREADABLE, page="review", approval=item.approval),
        word("soft", moment(item.decided or item.requested, "ago")),
    )  # fmt: skip
    votes = (_vote(vote) for vote in one.approval.votes if vote.counts and vote.decision in _DECISIONS)
    return box("item", top, *votes, _look(one.look))


def _vote(vote: CastVote) -> Node:
    return box("under text", word("strong", f"{vote.reviewer} {_DECISIONS[vote.decision]}"), f": {vote.reason}" if vote.reason else ", without a word.")


def _look(look: Looked | None) -> Node | None:
    if look is None or not look.check.finding:
        return None
    tone = "red" if look.check.finding == "disagree" else "green"
    said = word(f"badge {tone}", f"second look {look.check.finding}s")
    return box("under text", said, " ", word("strong", look.check.by), f": {look.reason}" if look.reason else "")

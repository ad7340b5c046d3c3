"""What a reviewer does next: the request that lies next on the own desk, and a word about one that needs no decision any more.

Whoever has decided, or was forestalled by somebody else, stands at the end of a page; the way on is one key (J, Enter) or click.
"""

from __future__ import annotations

from tenuto_projections.inbox import CastVote, InboxItem

from . import session
from .marks import notice, urgency
from .sheet import Node, box, icon, link, word

SETTLED: dict[str, str] = {
    "granted": "It has the approvals that it needs.", "denied": "It was denied.", "expired": "Its time is over.",
    "revoked": "It was taken back.", "consumed": "It was approved, and the agent has acted on it.",
}  # fmt: skip


def settled(state: str) -> Node:
    """Say that a request needs no decision, and why: somebody else was quicker, or its time is over."""
    return notice("blue", word("strong", "Nothing is left to decide here"), box("", SETTLED.get(state, f"It is {state}."), " The votes stand below."))


def voted(item: InboxItem, vote: CastVote) -> Node:
    """Say that the reader has decided already, and what is still missing."""
    missing = item.quorum - item.approved_by
    waits = "" if missing < 1 else f"It waits for {'one more approval' if missing == 1 else f'{missing} more approvals'}, by somebody else."
    return notice("green", word("strong", "You approved this" if vote.decision == "approve" else "You denied this"), box("", waits) if waits else None)


def next_up(name: str) -> Node:
    """Return the way on from this request: to the inbox, and which of the reader's own stands next there, gravest first."""
    now, reviewer, given = session.now(), session.reviewer(), session.desks().given
    mine = [
        one for one in sorted(session.waiting(), key=urgency)
        if one.approval != name and one.state_at(now) == "open" and any(desk.reviewer == reviewer for desk in given.get(one.approval, ()))
        and (reviewer, one.approval) not in session.signed_here()
    ]  # fmt: skip
    if not mine:
        return link("ahead", word("", "Nothing more lies on your desk. Back to the inbox"), icon("next"), page="inbox")
    [first] = session.items([mine[0].approval])
    said = box("", word("soft", f"To the inbox: {len(mine)} more on your desk, next "), word("strong", first.title or first.approval))
    return link("ahead", said, icon("next"), page="inbox")

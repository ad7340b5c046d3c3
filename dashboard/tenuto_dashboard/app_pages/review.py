"""One request: what exactly would happen, what speaks for and against it, and the reviewer's signature."""

from __future__ import annotations

from typing import cast

import streamlit as st
from tenuto.documents import ApprovalCard
from tenuto.errors import TenutoError
from tenuto.events.base import Event
from tenuto_projections.inbox import Approval, CastVote, approval
from tenuto_projections.rulings import ruling_on

from tenuto_dashboard import before, cards, decisions, next_up, pieces, ruled, session, signing
from tenuto_dashboard.diff import show_diff
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing, notice
from tenuto_dashboard.pages import asked_for, follow
from tenuto_dashboard.plan import plan_view
from tenuto_dashboard.sheet import Node, box, moment, show, word
from tenuto_dashboard.signing import Choice, Matter

NAME = "approval"
OPENED, SHOWN = "opened", "shown"
"""What a session remembers of a request, each together with its name."""
PLACEHOLDER = "What you checked, or what is wrong. Needed to deny."


def draw() -> None:
    """Draw the request that the address names."""
    name = asked_for(NAME)
    found = None if name is None else load(name)
    if found is None:
        show(nothing("No such request", "The read models know no approval of this name (yet)."), key="missing", now=session.now())
        return
    head(found.item.approval)
    left, right = st.columns([2.05, 1], gap="medium")
    with left:
        body(found)
    with right, st.container(key="aside"):
        aside(found.item.approval)


def load(name: str, *, fresh: bool = False) -> Approval | None:
    """Return the request as it stands."""
    return session.answer(f"approval {name}", lambda connection: approval(connection, name), fresh=fresh)


@live
def head(name: str) -> None:
    """The sentence, the risks and the state."""
    found = load(name)
    if found is not None:
        follow(show(cards.review_head(found, session.now()), key="head", now=session.now()))


def body(found: Approval) -> None:
    """What would happen. It never changes after the request, so it is not redrawn while it is being read."""
    card, now = found.card, session.now()
    if card is None:
        said = f"Its payload is {found.item.payload}. It cannot be approved from here; it can be denied."
        show(nothing(cards.UNREADABLE, said), key="unreadable", now=now)
        return
    warning = cards.diverges(card)
    item = found.item
    ruling = session.answer(f"ruling {item.approval}", lambda connection: ruling_on(connection, item.approval))
    past = session.answer(f"before {item.approval}", lambda connection: before.earlier(connection, item))
    known = box("panel", box("panel-body said", word("soft", "Policy"), ruled.sentence(ruling), word("soft", "Before"), before.summary(past, item)))
    show(box("stack", warning, cards.verdicts(card), known), key="verdicts", now=now)
    planned = bool(card.changes or card.plan_text)
    plan, earlier = [f"Plan ({len(card.changes)})"] if planned else [], f"Before ({len(past)})"
    places = st.tabs(["Piece by piece", *plan, "Code diff", "Policy and rules", earlier, "Pull request"])
    with places[0]:
        choose(found.item.approval)
        looked_at(found.item.approval)
    if planned:
        with places[1]:
            _plan(card)
    with places[-4]:
        if card.diff.strip():
            show_diff(card.diff, key="diff")
        else:
            show(nothing("No code changes", "The request carries no diff."), key="diff-none", now=now)
    with places[-3]:
        show(box("stack", ruled.said_by_policy(ruling, card), cards.rules(found)), key="evidence", now=now)
    with places[-2]:
        follow(show(before.before(past, item), key="before", now=now))
    with places[-1]:
        show(cards.pull_request(card), key="pull-request", now=now)


@live
def choose(name: str) -> None:
    """The pieces by name, each with how long it was seen; it follows the reader's eyes, so it is drawn by itself."""
    found = load(name)
    if found is not None:
        pieces.choose(found)


@st.fragment
def looked_at(name: str) -> None:
    """The piece that is open. It may be long, so it is not drawn again while it is being read."""
    found = load(name)
    if found is not None:
        pieces.open_piece(found)


def _plan(card: ApprovalCard) -> None:
    now = session.now()
    if card.changes:
        show(plan_view(card.changes), key="plan", now=now)
    else:
        show(nothing("No planned change", "The request names no resource that would change."), key="plan", now=now)
    if card.plan_text:
        with st.expander("The plan as the tool printed it"):
            show(box("text mono", card.plan_text), key="plan-text", now=now)


@live
def aside(name: str) -> None:
    """The decision, the votes, and the facts; it follows the ledger."""
    found, now = load(name), session.now()
    if found is None:
        return
    if found.item.state_at(now) == "open":
        pieces.measure(found)
    if waiting_for_ledger(found) or not form(found):
        settled(found)
    meter = pieces.meter(found)
    if meter is not None and found.item.state_at(now) == "open":
        show(meter, key="meter", now=now)
    show(cards.cast(found.votes), key="votes", now=now)
    follow(show(cards.facts(found.item, now), key="facts", now=now))
    note_opened(found)


def settled(found: Approval) -> None:
    """Say why there is nothing to decide, where no signature of a moment ago says it, and lead on."""
    item, now = found.item, session.now()
    state, mine = item.state_at(now), own_votes(found)
    if mine and state == "open" and signing.on_its_way(item.approval) is None:
        show(next_up.voted(item, mine[-1]), key="voted", now=now)
    elif not mine and state != "open" and f"{OPENED} {item.approval}" in st.session_state:
        show(next_up.settled(state), key="settled", now=now)
    follow(show(next_up.next_up(item.approval), key="next", now=now))


def own_votes(found: Approval) -> list[CastVote]:
    """Return what the reader has decided here, and what counts of it."""
    return [vote for vote in found.votes if vote.reviewer == session.reviewer() and vote.counts and not vote.withdrawn]


def form(found: Approval) -> bool:
    """Ask for the decision, when there is one to make; return whether there is."""
    item, now = found.item, session.now()
    if item.state_at(now) != "open" or own_votes(found):
        return False
    if session.snapshot().integrity.failed:
        show(notice("red", "The log failed its verification, so nothing can be decided here."), key="closed", now=now)
        return True
    shown = st.session_state.setdefault(f"{SHOWN} {item.approval}", item.digest)
    off, seen = pieces.why_not(found, *pieces.pieces(found)), pieces.seen(item.approval)
    choices = (
        Choice("approve", "Approve", "primary", coverage=seen.digest if seen else None, off=off),
        Choice("deny", "Deny", "secondary"),
    )
    signing.ask(Matter(item.approval, shown, choices, PLACEHOLDER), lambda door, decision, reason: decide(item.approval, door, decision, reason))
    return True


def decide(name: str, door: decisions.Door, decision: str, reason: str) -> Event:
    """Hand the decision over to the one function that signs, over the request as it stands this moment."""
    found = load(name, fresh=True)
    if found is None:
        raise decisions.NotSigned("The request is no longer in the read models. Nothing was signed.")
    return decisions.sign(
        door, found, cast("decisions.Decision", decision), reason=reason, shown_digest=st.session_state[f"{SHOWN} {name}"],
        reviewer=session.reviewer(), now=session.now(), seen=pieces.seen(name, fresh=True),
    )  # fmt: skip


def waiting_for_ledger(found: Approval) -> bool:
    """Say how far the decision that was signed here has come; return whether there is one that stands, or may yet."""
    signed = signing.on_its_way(found.item.approval)
    if signed is None:
        return False
    vote = next((vote for vote in found.votes if vote.event_id == signed.event_id), None)
    show(signing.sent(signed) if vote is None else _arrived(signed, vote), key="signed", now=session.now())
    return vote is None or (vote.counts and not vote.withdrawn)


def note_opened(found: Approval) -> None:
    """Record once a session that the reviewer opened this request; without a door, reading still works, and this goes on."""
    key = f"{OPENED} {found.item.approval}"
    if found.item.state_at(session.now()) != "open" or key in st.session_state:
        return
    try:
        signing.ready()
        st.session_state[key] = decisions.note_opened(session.measure(), found.item, session.reviewer()).id
    except TenutoError as error:
        show(notice("amber", f"Nothing can be signed at the moment: {error}"), key="no-door", now=session.now())


def _arrived(signed: session.Signed, vote: CastVote) -> Node:
    where = box("", f"Position {vote.position:,}, recorded ", moment(vote.recorded_at, "ago"), ".")
    return signing.arrived(signed, where, "" if vote.counts else vote.sentence)

"""One request: what exactly would happen, what speaks for and against it, and the reviewer's signature."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from tenuto.documents import ApprovalCard
from tenuto.errors import TenutoError
from tenuto_projections.inbox import Approval, CastVote, approval

from tenuto_dashboard import cards, decisions, pieces, session
from tenuto_dashboard.diff import show_diff
from tenuto_dashboard.live import AWAY, live
from tenuto_dashboard.marks import demo_badge, nothing, notice
from tenuto_dashboard.pages import asked_for, follow
from tenuto_dashboard.plan import plan_view
from tenuto_dashboard.sheet import Node, box, moment, short, show, word

NAME = "approval"
OPENED, REFUSED, SHOWN, REASON = "opened", "refused", "shown", "reason"
"""What a session remembers of a request, each together with its name."""
LONG_SECONDS = 15.0
"""A receipt that takes longer deserves a word; usually it takes less than two."""
PLACEHOLDER = "What you checked, or what is wrong. Needed to deny."


_WORDS = {"approve": "approval", "deny": "denial"}


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
    show(box("stack", warning, cards.verdicts(card)), key="verdicts", now=now)
    planned = bool(card.changes or card.plan_text)
    places = st.tabs(["Piece by piece", *([f"Plan ({len(card.changes)})"] if planned else []), "Code diff", "Evidence"])
    with places[0]:
        looked_at(found.item.approval)
    if planned:
        with places[1]:
            _plan(card)
    with places[-2]:
        if card.diff.strip():
            show_diff(card.diff, key="diff")
        else:
            show(nothing("No code changes", "The request carries no diff."), key="diff-none", now=now)
    with places[-1]:
        show(box("stack", cards.rules(found), cards.pull_request(card)), key="evidence", now=now)


@st.fragment
def looked_at(name: str) -> None:
    """The pieces: choosing one redraws this part only, and begins its time on screen."""
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
    pieces.measure(found)
    if not waiting_for_ledger(found):
        form(found)
    meter = pieces.meter(found)
    if meter is not None and found.item.state_at(now) == "open":
        show(meter, key="meter", now=now)
    show(cards.cast(found.votes), key="votes", now=now)
    follow(show(cards.facts(found.item, now), key="facts", now=now))
    note_opened(found)


def form(found: Approval) -> None:
    """Ask for the decision, when there is one to make."""
    item, now, here = found.item, session.now(), session.snapshot()
    mine = [vote for vote in found.votes if vote.reviewer == session.reviewer() and vote.counts and not vote.withdrawn]
    if item.state_at(now) != "open" or mine:
        return
    if here.integrity.failed:
        show(notice("red", "The log failed its verification, so nothing can be decided here."), key="closed", now=now)
        return
    shown = st.session_state.setdefault(f"{SHOWN} {item.approval}", item.digest)
    off = pieces.why_not(found, *pieces.pieces(found))
    with st.form(f"decide {item.approval}", enter_to_submit=False):
        show(_signature(shown, demo=here.insecure_demo), key="signature", now=now)
        st.text_area("Reason", key=f"{REASON} {item.approval}", height=84, placeholder=PLACEHOLDER)
        approve, deny = st.columns(2)
        with approve:
            _button("Approve", item.approval, "approve", disabled=bool(off))
        with deny:
            _button("Deny", item.approval, "deny")
    if off:
        show(notice("blue", off), key="off", now=now)
    refusal = st.session_state.get(f"{REFUSED} {item.approval}")
    if refusal:
        show(notice("red", refusal), key="refusal", now=now)


def _button(label: str, name: str, decision: decisions.Decision, *, disabled: bool = False) -> None:
    kind: Literal["primary", "secondary"] = "primary" if decision == "approve" else "secondary"
    st.form_submit_button(label, type=kind, disabled=disabled, on_click=decide, args=(name, decision), width="stretch")


def decide(name: str, decision: decisions.Decision) -> None:
    """Hand the decision over to the one function that signs, over the request as it stands this moment."""
    st.session_state.pop(f"{REFUSED} {name}", None)
    reason, shown = st.session_state[f"{REASON} {name}"] or "", st.session_state[f"{SHOWN} {name}"]
    try:
        found = load(name, fresh=True)
        if found is None:
            raise decisions.NotSigned("The request is no longer in the read models. Nothing was signed.")
        event = decisions.sign(
            session.door(), found, decision, reason=reason, shown_digest=shown, reviewer=session.reviewer(), now=session.now(),
            seen=pieces.seen(name, fresh=True),
        )  # fmt: skip
    except TenutoError as error:
        st.session_state[f"{REFUSED} {name}"] = str(error)
    except SQLAlchemyError:
        st.session_state[f"{REFUSED} {name}"] = f"{AWAY} Nothing was signed."
    else:
        session.signed_here()[name] = session.Signed(str(event.id), decision, session.now())


def waiting_for_ledger(found: Approval) -> bool:
    """Say how far the decision that was signed here has come; return whether there is one that stands, or may yet."""
    signed = session.signed_here().get(found.item.approval)
    if signed is None:
        return False
    vote = next((vote for vote in found.votes if vote.event_id == signed.event_id), None)
    show(_on_its_way(signed) if vote is None else _arrived(signed, vote), key="signed", now=session.now())
    return vote is None or (vote.counts and not vote.withdrawn)


def note_opened(found: Approval) -> None:
    """Record once a session that the reviewer opened this request; without a door, reading still works, and this goes on."""
    key = f"{OPENED} {found.item.approval}"
    if found.item.state_at(session.now()) != "open" or key in st.session_state:
        return
    try:
        session.door()  # opened now, so that the decision does not wait for it
        st.session_state[key] = decisions.note_opened(session.measure(), found.item, session.reviewer()).id
    except TenutoError as error:
        show(notice("amber", f"Nothing can be signed at the moment: {error}"), key="no-door", now=session.now())


def _on_its_way(signed: session.Signed) -> Node:
    title = word("strong", f"Your {_WORDS[signed.decision]} is signed and on its way to the ledger")
    if (session.now() - signed.at).total_seconds() < LONG_SECONDS:
        return notice("blue moving", title, box("", "It stands here once the ledger has it. You may leave; nothing is lost."))
    said = ". It is kept on disk and sent until it is confirmed; `tenuto status` shows which part of the road does not answer."
    return notice("amber", title, box("", "No confirmation yet, signed ", moment(signed.at, "ago"), said))


def _arrived(signed: session.Signed, vote: CastVote) -> Node:
    where = box("", f"Position {vote.position:,}, recorded ", moment(vote.recorded_at, "ago"), ".")
    void = None if vote.counts else box("", f"It does not count: {vote.sentence}")
    return notice("green" if vote.counts else "amber", word("strong", f"Your {_WORDS[signed.decision]} is in the ledger"), where, void)


def _signature(digest: str, *, demo: bool) -> Node:
    return box(
        "stack tight",
        box("", "Your decision", tag="h2"),
        box("badges", word("soft", "You sign as"), word("strong", session.reviewer()), demo_badge() if demo else None),
        box("", word("soft", "over the digest "), short(digest, "mono strong")),
    )

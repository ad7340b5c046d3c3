"""Second looks at what was approved and done: the list, and one of them, shown exactly as the first reviewer saw it."""

from __future__ import annotations

from typing import cast

import streamlit as st
from sqlalchemy import Connection
from tenuto.events.base import Event
from tenuto_projections.inbox import Approval, InboxItem, named
from tenuto_projections.reviewed import Looked, looked, looks_at, wanted
from tenuto_projections.reviewing import Room

from tenuto_dashboard import cards, pieces, second_look, session, signing
from tenuto_dashboard.app_pages import review
from tenuto_dashboard.choosing import view_of
from tenuto_dashboard.decisions import Door, NotSigned
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing, notice, risk_badges
from tenuto_dashboard.pages import asked_for, follow
from tenuto_dashboard.second_look import Finding
from tenuto_dashboard.sheet import box, icon, link, show
from tenuto_dashboard.signing import Choice, Matter

MINE, ALL, DONE = VIEWS = ("Mine", "All", "Done")
DONE_MAX = 50
SHOWN = "look shown"
PLACEHOLDER = "What you looked at, or what is wrong. Needed to disagree."
_EMPTY = {
    MINE: ("No second look is yours", "What is drawn, and was not approved by you, appears here by itself."),
    ALL: ("No approval wants a second look", "15 of 100 are drawn, by a draw that nobody can steer."),
    DONE: ("No second look was taken yet", "Every one will stand here with its finding."),
}


def draw() -> None:
    """Draw the second look that the address names, or all."""
    name = asked_for(review.NAME)
    if name is None:
        lead = "Approvals that were drawn for a second reviewer, overdue ones first."
        show(box("", box("", "Spot checks", tag="h1"), box("lead", lead, tag="p")), key="title", now=session.now())
        every()
        return
    found, look = review.load(name), load(name)
    if found is None or look is None:
        show(nothing("No such spot check", "The read models know no used approval of this name (yet)."), key="missing", now=session.now())
        return
    head(name)
    left, right = st.columns([2.05, 1], gap="medium")
    with left:
        review.body(found)
    with right, st.container(key="aside"):
        aside(name)


def load(name: str, *, fresh: bool = False) -> Looked | None:
    """Return the second look at an approval as it stands."""
    return session.answer(f"look {name}", lambda connection: looks_at(connection, [name]), fresh=fresh).get(name)


def mine() -> Room | None:
    """Return what is known of this console's reviewer."""
    return session.rooms().get(session.reviewer())


@live
def every() -> None:
    """The list follows the ledger."""
    now, room = session.now(), mine()
    view = view_of("looks", VIEWS, MINE)
    found = session.answer(f"looks {view == DONE}", _done if view == DONE else _wanted)
    if view == MINE:
        found = [pair for pair in found if not second_look.why_not_mine(pair[0].check, room) and pair[0].check.state(now) in second_look.OPEN]
    found = sorted(found, key=lambda pair: pair[0].check.state(now) != "overdue")
    if not found:
        show(nothing(*_EMPTY[str(view)]), key="looks-list", now=now)
        return
    follow(show(second_look.listed(found, now, room), key="looks-list", now=now))


@live
def head(name: str) -> None:
    """What was approved, and how its second look stands."""
    found, look, now = review.load(name), load(name), session.now()
    if found is None or look is None:
        return
    item, card = found.item, found.card
    badges = box("badges", second_look.state_badge(look.check, now), *risk_badges(item.risks).children)
    until = second_look.bound(look.check, now)
    view = box(
        "", link("crumb", icon("back"), "Spot checks", page="spotchecks"), box("", card.title if card else cards.UNREADABLE, tag="h1"),
        box("lead big", card.sentence if card else cards.said_by_header(item), tag="p"), badges,
        box("under", "Second look: ", until, ".") if until is not None else None,
    )  # fmt: skip
    follow(show(view, key="head", now=now))


@live
def aside(name: str) -> None:
    """The finding, the draw, who approved, and the facts; it follows the ledger."""
    found, look, now = review.load(name), load(name), session.now()
    if found is None or look is None:
        return
    open_here = look.check.state(now) in second_look.OPEN and not second_look.why_not_mine(look.check, mine())
    if open_here:
        pieces.measure(found)
    taken = second_look.finding_panel(look)
    if taken is not None:
        show(taken, key="finding", now=now)
    elif not waiting_for_ledger(name):
        form(found, look)
    if open_here and (meter := pieces.meter(found)) is not None:
        show(meter, key="meter", now=now)
    show(second_look.draw_panel(look), key="draw", now=now)
    show(cards.cast(found.votes), key="votes", now=now)
    follow(show(cards.facts(found.item, now), key="facts", now=now))


def form(found: Approval, look: Looked) -> None:
    """Ask for the finding, when there is one to make and it is this reviewer's."""
    name, now = found.item.approval, session.now()
    if look.check.state(now) not in second_look.OPEN:
        return
    off = second_look.why_not_mine(look.check, mine())
    if session.snapshot().integrity.failed:
        off = "The log failed its verification, so nothing can be signed here."
    if off:
        show(notice("amber", off), key="not-mine", now=now)
        return
    shown = st.session_state.setdefault(f"{SHOWN} {name}", look.check.digest)
    unseen = pieces.why_not(found, *pieces.pieces(found))
    choices = (Choice("agree", "Agree", "primary", off=unseen), Choice("disagree", "Disagree", "secondary"))
    matter = Matter(name, shown, choices, PLACEHOLDER, title="Your second look")
    signing.ask(matter, lambda door, finding, reason: sign(name, door, finding, reason))


def sign(name: str, door: Door, finding: str, reason: str) -> Event:
    """Hand the finding over to the one function that signs it, over the second look as it stands this moment."""
    look, item = load(name, fresh=True), session.ask(lambda connection: named(connection, [name])).get(name)
    if look is None or item is None:
        raise NotSigned("The approval is no longer in the read models. Nothing was signed.")
    return second_look.sign_look(
        door, look, item, cast("Finding", finding), reason=reason, shown_digest=st.session_state[f"{SHOWN} {name}"], room=mine(),
        seen=pieces.seen(name, fresh=True), now=session.now(),
    )  # fmt: skip


def waiting_for_ledger(name: str) -> bool:
    """Say how far the finding that was signed here has come; return whether it is still on its way."""
    signed = signing.on_its_way(name)
    if signed is None or signed.decision not in ("agree", "disagree"):
        return False
    show(signing.sent(signed), key="signed", now=session.now())
    return True


def _wanted(connection: Connection) -> list[tuple[Looked, InboxItem | None]]:
    return _with_items(connection, wanted(connection))


def _done(connection: Connection) -> list[tuple[Looked, InboxItem | None]]:
    return _with_items(connection, looked(connection, DONE_MAX))


def _with_items(connection: Connection, found: tuple[Looked, ...]) -> list[tuple[Looked, InboxItem | None]]:
    items = named(connection, [one.check.approval for one in found])
    return [(one, items.get(one.check.approval)) for one in found]

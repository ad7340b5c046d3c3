"""What waits for a person, gravest first; and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import streamlit as st
from tenuto_projections.inbox import InboxItem, decided
from tenuto_projections.pending import PENDING_MAX, Pending
from tenuto_projections.reviewed import wanted
from tenuto_projections.reviewing import Queue

from tenuto_dashboard import session
from tenuto_dashboard.cards import inbox_head, inbox_row
from tenuto_dashboard.choosing import page_of, view_of
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import expires_soon, nothing, notice, risk_tone, urgency
from tenuto_dashboard.pages import follow
from tenuto_dashboard.second_look import OPEN, why_not_mine
from tenuto_dashboard.sheet import Node, box, link, moment, show, word

Item = TypeVar("Item")

ROWS = 20
MINE, ALL, WAITING, DECIDED = VIEWS = ("Mine", "All", "Waiting", "Decided")
DECIDED_MAX = 100
ORDINARY = "next_free"
WHY = {"overflow": "overflow", "escalation": "escalated", "second_vote": "second vote"}


def draw() -> None:
    """Draw the inbox."""
    title = box("", box("", "Inbox", tag="h1"), box("lead", "What agents may only do when a person clears it, gravest risk first.", tag="p"))
    show(title, key="title", now=session.now())
    following()


@live
def following() -> None:
    """The part that follows the ledger."""
    now, reviewer = session.now(), session.reviewer()
    waiting = sorted((item for item in session.waiting() if item.state_at(now) == "open"), key=urgency)
    desks = session.desks()
    show(figures(waiting, now), key="figures", now=now)
    if (left := room(desks, reviewer, now, second_looks(now))) is not None:
        follow(show(left, key="room", now=now))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        view = view_of("view", VIEWS, MINE if any(belongs(desks, one, reviewer, MINE) for one in waiting) else ALL)
        items = listed_on(view, waiting, desks)
    if len(waiting) >= PENDING_MAX:
        show(notice("amber", f"More than {PENDING_MAX:,} requests wait; the oldest {PENDING_MAX:,} are listed."), key="many", now=now)
    follow(show(listed(items, now, desks, view, len(waiting)), key="list", now=now))


def listed_on(view: str, waiting: Sequence[Pending], desks: Queue) -> Sequence[InboxItem]:
    """Return what stands on the chosen page of a view; only that is fetched whole."""
    if view == DECIDED:
        return shown(session.answer("decided", lambda connection: decided(connection, DECIDED_MAX)), view)
    reviewer = session.reviewer()  # asked once, and not for each of a thousand
    mine = [one for one in waiting if belongs(desks, one, reviewer, view)]
    return session.items([one.approval for one in shown(mine, view)])


def shown(found: Sequence[Item], view: str) -> Sequence[Item]:
    """Offer the pages of a list and return what stands on the chosen one."""
    first = (page_of(f"page-{view}", -(-len(found) // ROWS)) - 1) * ROWS
    return found[first : first + ROWS]


def room(desks: Queue, reviewer: str, now: datetime, looks: int = 0) -> Node | None:
    """Say how many more decisions of this reviewer count now, when the next place frees, and which second looks wait."""
    mine = desks.rooms.get(reviewer)
    if mine is None:
        return None
    if not mine.keys or not mine.active:
        return notice("amber", f"{reviewer} is not an active reviewer: nothing that is signed here counts.")
    places, frees = mine.places(now), mine.frees(now)
    said = f"{places} of {mine.cap} decisions left for you in this hour, {mine.on_desk} on your desk. "
    full = word("", "The next place frees ", moment(frees, "by"), ". ") if frees else None
    noun = "approval wants" if looks == 1 else "approvals want"
    again = link("linked", f"{looks} {noun} a second look from you.", page="spotchecks") if looks else None
    return box("lead", said, full, again, tag="p")


def second_looks(now: datetime) -> int:
    """Count the second looks that this console's reviewer may take."""
    mine = session.desks().rooms.get(session.reviewer())
    found = session.answer("wanted", wanted)
    return sum(one.check.state(now) in OPEN and not why_not_mine(one.check, mine) for one in found)


def whose(desks: Queue, item: InboxItem, reviewer: str, view: str) -> str:
    """Say on whose desk a request lies, and why where that is not the ordinary way; or until when it waits.

    On the reader's own list nothing is said of what came the ordinary way: everything there is the reader's.
    """
    given = desks.given.get(item.approval, ())
    mine = next((one for one in given if one.reviewer == reviewer), None)
    if mine is not None:
        why = WHY.get(mine.why, mine.why)
        said = f"{why[:1].upper()}{why[1:]}" if view == MINE else f"Yours ({why})"
        ordinary = "" if view == MINE else "Yours"
        return ordinary if mine.why == ORDINARY else f"{said}: {mine.sentence or ''}"
    if given:
        return "With " + ", ".join(one.reviewer if one.why == ORDINARY else f"{one.reviewer} ({WHY.get(one.why, one.why)})" for one in given)
    waits = desks.waiting.get(item.approval)
    return f"Waits: {waits.sentence}" if waits is not None else ""


def belongs(desks: Queue, item: Pending, reviewer: str, view: str) -> bool:
    """Whether an open request stands in this view: mine, everything, or what lies on nobody's desk."""
    given = desks.given.get(item.approval, ())
    if view == MINE:
        return any(one.reviewer == reviewer for one in given)
    return view == ALL or not given


def figures(waiting: Sequence[Pending], now: datetime) -> Node:
    """Return the four numbers that say whether to hurry."""
    grave = sum(risk_tone(item.risks) == "red" for item in waiting)
    soon = sum(expires_soon(item, now) for item in waiting)
    oldest = min((item.requested for item in waiting), default=None)
    return box(
        "figures",
        _figure(f"{len(waiting):,}", "waiting"),
        _figure(f"{grave:,}", "with grave risk", "red" if grave else ""),
        _figure(f"{soon:,}", "expire within 15 min", "amber" if soon else ""),
        _figure(moment(oldest, "age") if oldest else "\u2013", "oldest"),
    )


def listed(items: Sequence[InboxItem], now: datetime, desks: Queue, view: str, waiting: int) -> Node:
    """Return the rows, or what an empty view says; `waiting` is how many requests are open, whoever has them."""
    if items:
        reviewer = session.reviewer()
        rows = (inbox_row(item, now, whose(desks, item, reviewer, view)) for item in items)
        return box("panel", inbox_head(view == DECIDED), box("", *rows), key=view)
    if view == DECIDED:
        return nothing("Nothing was decided yet", "Every decision will stand here with its outcome.")
    if not waiting:
        return nothing("Nothing waits for you", "New requests appear here by themselves.")
    others = "1 request waits" if waiting == 1 else f"{waiting:,} requests wait"
    if view == MINE:
        return nothing("Nothing lies on your desk", f"{others} with others, or for somebody who has room: All lists them. What comes to you appears here by itself.")
    return nothing("Everything lies on somebody's desk", f"{others}, each with a reviewer: All lists them.")


def _figure(value: Node | str, name: str, tone: str = "") -> Node:
    return box(f"figure {tone}", box("value", word("", value)), box("name", name))

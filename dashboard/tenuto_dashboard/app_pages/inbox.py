"""What waits for a person, gravest first; and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st
from tenuto_projections.inbox import InboxItem, decided

from tenuto_dashboard import session
from tenuto_dashboard.cards import inbox_head, inbox_row
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import expires_soon, nothing, notice, risk_tone, urgency
from tenuto_dashboard.pages import follow
from tenuto_dashboard.sheet import Node, box, moment, show, word

ROWS = 20
VIEWS = ("Waiting", "Decided")
DECIDED_MAX = 100


def draw() -> None:
    """Draw the inbox."""
    title = box("", box("", "Inbox", tag="h1"), box("lead", "What agents may only do when a person clears it, gravest risk first.", tag="p"))
    show(title, key="title", now=session.now())
    following()


@live
def following() -> None:
    """The part that follows the ledger."""
    now = session.now()
    waiting = sorted((item for item in session.snapshot().waiting if item.state_at(now) == "open"), key=urgency)
    show(figures(waiting, now), key="figures", now=now)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        view = st.segmented_control("Show", VIEWS, default=VIEWS[0], required=True, label_visibility="collapsed", key="view")
        if view == VIEWS[1]:
            items: Sequence[InboxItem] = session.answer("decided", lambda connection: decided(connection, DECIDED_MAX))
        else:
            items = waiting
        first = page_of(len(items), str(view))
    if len(waiting) >= session.PENDING_MAX:
        show(notice("amber", f"More than {session.PENDING_MAX:,} requests wait; the oldest {session.PENDING_MAX:,} are listed."), key="many", now=now)
    follow(show(listed(items[first : first + ROWS], now, decided=view == VIEWS[1]), key="list", now=now))


def page_of(count: int, view: str) -> int:
    """Offer the pages of a long list; return the index of the first row to show."""
    pages = max(1, -(-count // ROWS))
    if pages == 1:
        return 0
    chosen = st.pagination(pages, key=f"page-{view}")
    return (min(int(chosen), pages) - 1) * ROWS


def figures(waiting: Sequence[InboxItem], now: datetime) -> Node:
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


def listed(items: Sequence[InboxItem], now: datetime, *, decided: bool) -> Node:
    """Return the rows, or what an empty inbox says."""
    if items:
        return box("panel", inbox_head(decided), box("", *(inbox_row(item, now) for item in items)))
    if decided:
        return nothing("Nothing was decided yet", "Every decision will stand here with its outcome.")
    return nothing("Nothing waits for you", "New requests appear here by themselves.")


def _figure(value: Node | str, name: str, tone: str = "") -> Node:
    return box(f"figure {tone}", box("value", word("", value)), box("name", name))

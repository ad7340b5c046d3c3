"""What the detectors found, newest first, each with the events it rests on."""

from __future__ import annotations

import streamlit as st
from tenuto_projections.alerts import alerts

from tenuto_dashboard import session
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing
from tenuto_dashboard.pages import follow
from tenuto_dashboard.people import alert_item
from tenuto_dashboard.sheet import box, show

ALERTS = 50
BEFORE = "alerts before"


def draw() -> None:
    """Draw the page."""
    title = box("", box("", "Alerts", tag="h1"), box("lead", "Findings of the detectors: signed events, each with its evidence.", tag="p"))
    show(title, key="title", now=session.now())
    following()


@live
def following() -> None:
    """The list follows the ledger."""
    before = st.session_state.get(BEFORE)
    found = session.answer(f"alerts {before}", lambda connection: alerts(connection, ALERTS, before))
    if not found:
        show(nothing("No alert", "Nothing abnormal was found."), key="alerts", now=session.now())
    else:
        follow(show(box("panel", *(alert_item(alert) for alert in found)), key="alerts", now=session.now()))
    with st.container(horizontal=True):
        if before is not None:
            st.button("Newest", on_click=turn, args=(None,))
        if len(found) == ALERTS:
            st.button("Older", on_click=turn, args=(found[-1].position,))


def turn(before: int | None) -> None:
    """Go to the alerts before a position."""
    st.session_state[BEFORE] = before

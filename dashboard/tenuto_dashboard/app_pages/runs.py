"""Every run, and one run on one page: the chain from pull request to health check, then all its events."""

from __future__ import annotations

import streamlit as st
from tenuto_projections.inbox import of_run
from tenuto_projections.runs import list_runs, run, timeline

from tenuto_dashboard import session
from tenuto_dashboard.cards import inbox_head, inbox_row
from tenuto_dashboard.chain import chain, run_head, run_row
from tenuto_dashboard.chain import timeline as timeline_view
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing
from tenuto_dashboard.pages import asked_for, follow
from tenuto_dashboard.sheet import box, show

RUNS = 50
STEPS = 500
BEFORE = "runs before"


def draw() -> None:
    """Draw the run that the address names, or all."""
    name = asked_for("run")
    if name is None:
        show(box("", box("", "Runs", tag="h1"), box("lead", "Each change on its way from pull request to production.", tag="p")), key="title", now=session.now())
        every()
    else:
        one(name)


@live
def every() -> None:
    """The list, newest first."""
    before = st.session_state.get(BEFORE)
    found = session.answer(f"runs {before}", lambda connection: list_runs(connection, RUNS, before))
    if not found:
        show(nothing("No run yet", "A run appears when a pull request is taken up."), key="runs", now=session.now())
        return
    follow(show(box("panel", *(run_row(each) for each in found)), key="runs", now=session.now()))
    with st.container(horizontal=True):
        if before is not None:
            st.button("Newest", on_click=turn, args=(None,))
        if len(found) == RUNS:
            st.button("Older", on_click=turn, args=(found[-1].position,))


def turn(before: int | None) -> None:
    """Go to the runs before a position."""
    st.session_state[BEFORE] = before


@live
def one(name: str) -> None:
    """One run."""
    now = session.now()
    found = session.answer(f"run {name}", lambda connection: run(connection, name))
    if found is None:
        show(nothing("No such run", "The read models know no run of this name (yet)."), key="missing", now=now)
        return
    steps = session.answer(f"steps {name}", lambda connection: timeline(connection, name, -1, STEPS))
    asked = session.answer(f"asked {name}", lambda connection: of_run(connection, name))
    follow(show(box("stack", run_head(found), chain(found, steps)), key="head", now=now))
    if asked:
        follow(show(box("panel", inbox_head(decided=True), *(inbox_row(item, now) for item in asked)), key="asked", now=now))
    show(timeline_view(steps), key="timeline", now=now)

"""Which controls are shown to work, from the record: threats, mitigations, rules, chains, and the attacks that tried them."""

from __future__ import annotations

import streamlit as st
from tenuto.clock import new_uuid7
from tenuto.errors import TenutoError
from tenuto.events import ExerciseRequested
from tenuto.threats import load_threat_model
from tenuto_projections.coverage.evidence import Exercise
from tenuto_projections.coverage.judging import judge
from tenuto_projections.coverage.model import evidence, exercises

from tenuto_dashboard import covered, session
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing, notice
from tenuto_dashboard.sheet import box, show

CHOSEN, ASKED = "attack", "attack asked"


def draw() -> None:
    """Draw the page."""
    lead = "Nothing here is written by hand: each state is computed from attacks and events on record, and ages with them."
    show(box("", box("", "Coverage", tag="h1"), box("lead", lead, tag="p")), key="title", now=session.now())
    following()
    ask()


@live
def following() -> None:
    """What the record says now."""
    now, size = session.now(), session.snapshot().integrity.size
    found = session.answer("coverage", lambda connection: evidence(connection, size))
    report = judge(load_threat_model(), found, now)
    show(covered.verdict(report), key="verdict", now=now)
    show(covered.threats(report), key="threats", now=now)
    done = session.answer("exercises", exercises)
    view = covered.attacks(done) if done else nothing("No attack was tried", "Run `tenuto attack run` against this system.")
    show(view, key="attacks", now=now)
    for title, judged in (("Mitigations", report.mitigations), ("Business rules", report.rules), ("Attack chains", report.chains)):
        show(covered.controls(title, judged), key=title, now=now)


def ask() -> None:
    """Ask the red team for an attack again: a signed request, which `tenuto attack serve` answers."""
    if session.with_login():
        return
    done: tuple[Exercise, ...] = session.answer("exercises", exercises)
    names = sorted({one.scenario for one in done})
    if not names:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Attack", names, key=CHOSEN)
        st.button("Run it again", on_click=request, type="primary")
    if st.session_state.get(ASKED):
        show(notice(*st.session_state[ASKED]), key="asked", now=session.now())


def request() -> None:
    """Sign the request in the reviewer's name."""
    name = str(st.session_state[CHOSEN])
    try:
        session.door().record(ExerciseRequested, exercise=f"exercise-{new_uuid7()}", scenario=name)
    except TenutoError as error:
        st.session_state[ASKED] = ("red", f"It was not asked for: {error}")
    else:
        st.session_state[ASKED] = ("blue", f"{name} is asked for. It runs as soon as the red team (`tenuto attack serve`) takes it.")

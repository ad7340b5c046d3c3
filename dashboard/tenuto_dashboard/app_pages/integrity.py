"""Whether the log is what it claims to be: nine numbered steps, and how to walk them without this console."""

from __future__ import annotations

import streamlit as st
from tenuto_projections.losses import losses

from tenuto_dashboard import proof, session
from tenuto_dashboard.live import live
from tenuto_dashboard.sheet import box, show


def draw() -> None:
    """Draw the page."""
    following()


@live
def following() -> None:
    """The whole page follows the ledger."""
    here, now = session.snapshot().integrity, session.now()
    show(proof.verdict(here), key="verdict", now=now)
    left, right = st.columns([1.75, 1], gap="medium")
    with left:
        show(box("stack", proof.ticks(here), proof.lost(session.ask(losses))), key="ticks", now=now)
    with right:
        show(box("stack", proof.checkpoint(here), proof.attacks(here), proof.yourself()), key="checkpoint", now=now)

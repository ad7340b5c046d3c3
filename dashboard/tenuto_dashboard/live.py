"""The parts of a page that follow the ledger, each on its own: one that cannot be drawn says so and comes back by itself.

Streamlit catches what a fragment raises before the page could, and says nothing a reviewer can act on. Its own `run_every`
is not used: `assets/pulse.js` says why, and beats in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from tenuto.errors import TenutoError

from . import session
from .admission import NotAdmitted
from .marks import notice
from .sheet import noted, script, show

LIVE_SECONDS = 2
TURN = "turn"
"""How many whole pages this session has drawn."""
AWAY = "The database of the read models does not answer. This part comes back by itself when it does."

Given = ParamSpec("Given")


def live(draw: Callable[Given, None]) -> Callable[Given, None]:
    """Redraw this part every LIVE_SECONDS. Asking costs nothing while the read models have not moved."""

    @wraps(draw)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> None:
        data = {"seconds": LIVE_SECONDS, "turn": st.session_state.get(TURN, 0)}
        _PULSE(key=f"pulse {_name(draw)}", data=data, on_beat_change=noted)
        with_words(draw, *args, **kwargs)

    return st.fragment(guarded)


def turn_the_page() -> None:
    """Count a whole page: from here on the parts of the new one may beat."""
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def with_words(draw: Callable[Given, None], *args: Given.args, **kwargs: Given.kwargs) -> None:
    """Draw, or say in one sentence why not. Only what a person can wait for or repair is said; a defect is not."""
    name = f"away {_name(draw)}"
    try:
        draw(*args, **kwargs)
    except NotAdmitted:
        st.rerun()  # who lost the place loses the page, and is told so at the entrance
    except SQLAlchemyError:
        show(notice("red", AWAY), key=name, now=session.now())
    except TenutoError as error:
        show(notice("red", str(error)), key=name, now=session.now())


def _name(draw: Callable[..., None]) -> str:
    return f"{draw.__module__.rpartition('.')[2].strip('_')} {draw.__name__}"


_PULSE = st.components.v2.component("tenuto.pulse", js=script("pulse.js"))

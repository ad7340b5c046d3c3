"""The parts of a page that follow the ledger, each on its own: one that cannot be drawn says so and comes back by itself.

Streamlit catches what a fragment raises before the page could, and says nothing a reviewer can act on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from tenuto.errors import TenutoError

from . import session
from .marks import notice
from .sheet import show

LIVE_SECONDS = 2
AWAY = "The database of the read models does not answer. This part comes back by itself when it does."

Given = ParamSpec("Given")


def live(draw: Callable[Given, None]) -> Callable[Given, None]:
    """Redraw this part every LIVE_SECONDS. Asking costs nothing while the read models have not moved."""

    @wraps(draw)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> None:
        with_words(draw, *args, **kwargs)

    return st.fragment(guarded, run_every=LIVE_SECONDS)


def with_words(draw: Callable[Given, None], *args: Given.args, **kwargs: Given.kwargs) -> None:
    """Draw, or say in one sentence why not. Only what a person can wait for or repair is said; a defect is not."""
    name = f"away {draw.__module__} {draw.__name__}"
    try:
        draw(*args, **kwargs)
    except SQLAlchemyError:
        show(notice("red", AWAY), key=name, now=session.now())
    except TenutoError as error:
        show(notice("red", str(error)), key=name, now=session.now())

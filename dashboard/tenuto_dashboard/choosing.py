"""What a reader has chosen on a page, kept while he is on another one: which view of a list, and which page of it.

Streamlit forgets a widget that a run does not draw, so whoever came back from a review would stand before another list than
the one he left, with his own requests on a page that he does not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

CHOSEN = "chosen"

Value = TypeVar("Value")


def view_of(name: str, views: Sequence[str], first: str) -> str:
    """Offer the views of a list and return the chosen one; `first` is what a session begins with."""
    _bring_back(name, first)
    return _kept(name, str(st.segmented_control("Show", views, required=True, label_visibility="collapsed", key=name)))


def page_of(name: str, pages: int) -> int:
    """Offer the pages of a long list, counted from 1, and return the chosen one; a list of one page offers nothing."""
    if pages <= 1:
        return 1
    _bring_back(name, 1)
    st.session_state[name] = min(int(st.session_state[name]), pages)  # the list may have become shorter meanwhile
    return _kept(name, st.pagination(pages, key=name))


def _bring_back(name: str, first: object) -> None:
    if st.session_state.get(name) is None:
        st.session_state[name] = st.session_state.get(f"{CHOSEN} {name}", first)


def _kept(name: str, value: Value) -> Value:
    st.session_state[f"{CHOSEN} {name}"] = value
    return value

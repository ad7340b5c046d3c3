"""How pages find each other: the list of them, and where a clicked link leads."""

from __future__ import annotations

from typing import Any

import streamlit as st

PAGES = "pages"
QUERY_PARAMETERS = ("approval", "run")


def remember(pages: dict[str, Any]) -> None:
    """Keep the pages of this session by their names in links."""
    st.session_state[PAGES] = pages


def follow(target: dict[str, str] | None) -> None:
    """Go where the link leads; does not return when there is a target."""
    if target is None:
        return
    parameters = {name: target[name] for name in QUERY_PARAMETERS if name in target}
    page = st.session_state.get(PAGES, {}).get(target.get("page", ""))
    if page is not None:
        st.switch_page(page, query_params=parameters)


def asked_for(name: str) -> str | None:
    """Return what the address names, such as the approval to review."""
    value = st.query_params.get(name)
    return value or None

"""The way back to the page that somebody wanted: a login ends at the console's first page, whatever a notification named."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import streamlit as st

from .sheet import noted, script

WISH_CHARACTERS_MAX = 2048


def keep_way_back() -> None:
    """Have the browser keep the address at which it stands."""
    _WAY(key="way back keep", data={"keep": True})


def way_back() -> dict[str, str] | None:
    """Return where the browser wanted to go, as a link; None before it has said so."""
    told = _WAY(key="way back", data={"keep": False}, on_back_change=noted).get("back")
    return None if told is None else target_of(str(told))


def target_of(address: str) -> dict[str, str]:
    """Return a path with its query as the target of a link; what cannot be one leads to the inbox."""
    parts = urlsplit(address[:WISH_CHARACTERS_MAX])
    page = parts.path.strip("/")
    return dict(parse_qsl(parts.query)) | {"page": page or "inbox"}


_WAY = st.components.v2.component("tenuto.way_back", js=script("way_back.js"))

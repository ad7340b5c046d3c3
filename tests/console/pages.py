"""A page drawn by Streamlit's own test runner, and what it was given to draw, as text."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

SECONDS_MAX = 120


def page(name: str, **query: str) -> AppTest:
    """Draw one page outside the frame."""
    script = f"from tenuto_dashboard.app_pages import {name}\n{name}.draw()\n"
    test = AppTest.from_string(script, default_timeout=SECONDS_MAX)
    for parameter, value in query.items():
        test.query_params[parameter] = value
    return checked(test.run())


def checked(test: AppTest) -> AppTest:
    assert not test.exception, test.exception
    return test


def drawn(test: AppTest) -> str:
    """All that our components were given to draw, as text."""
    elements = [element.proto for element in test.get("bidi_component")]
    return "\n".join(words(json.loads(proto.json)) for proto in elements if proto.json)


def words(value: Any) -> str:
    """The texts of a tree of nodes or of a diff, in order."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(words(value[key]) for key in ("tree", "k", "files", "path", "lines") if key in value)
    return "\n".join(words(part) for part in value) if isinstance(value, list) else str(value)

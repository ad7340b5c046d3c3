"""The console's paper: a page is a tree of nodes, and every text in it reaches the browser as text.

Streamlit's own markdown turns a stranger's words into links, images and colours. Here Python describes boxes, and one
small component of ours makes elements of them from a fixed list of tags, each text through `createTextNode`. Characters
that change how text reads without being seen (bidi controls, zero-width, control codes) are written out by `visible`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import streamlit as st

ASSETS = Path(__file__).with_name("assets")
_KEPT = frozenset("\n\t")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
Mode = Literal["age", "ago", "until", "by"]
"""How a time is told: `12 min`, `12 min ago`, `in 12 min`, or as a deadline: `in 12 minutes, at 14:05 UTC`."""


@dataclass(frozen=True, slots=True)
class Node:
    """An element: tag, classes of our own style sheet, children, and what the component may add to it."""

    tag: str
    name: str = ""
    children: tuple[Node | str, ...] = ()
    marks: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return what is sent to the browser."""
        children = [visible(child) if isinstance(child, str) else child.plain() for child in self.children]
        return {"t": self.tag, "c": self.name, "k": children, **self.marks}


def visible(text: str) -> str:
    """Write out what cannot be seen: `U+202E` and its kind, which reorder or hide what a reviewer believes to read."""
    return "".join(letter if _is_seen(letter) else f"\u27e8U+{ord(letter):04X}\u27e9" for letter in text)


def box(name: str, *children: Node | str | None, tag: str = "div", **marks: Any) -> Node:
    """Return a block. `None` children are left out, so that a page can say `x if there else None`."""
    shown = {mark: visible(value) if mark in ("title", "say") else value for mark, value in marks.items()}
    return Node(tag, name, tuple(child for child in children if child is not None), shown)


def word(name: str, *children: Node | str | None, **marks: Any) -> Node:
    """Return an inline piece."""
    return box(name, *children, tag="span", **marks)


def icon(which: str, name: str = "") -> Node:
    """Return one of the component's own drawings."""
    return Node("span", name, (), {"icon": which})


def link(name: str, *children: Node | str | None, page: str, **parameter: str) -> Node:
    """Return a link within the console, to a page and at most one thing on it."""
    query = "".join(f"?{key}={quote(value, safe='')}" for key, value in parameter.items())
    return box(name, *children, go={"page": page, **parameter}, href=page + query)


def pick(name: str, *children: Node | str | None, value: str, chosen: bool = False, say: str = "") -> Node:
    """Return a button; pressed, it makes `show` return `{"pick": value}`. `say`: what a screen reader calls it."""
    return box(name, *children, tag="button", pick=value, now=chosen, **{"say": say} if say else {})


def moment(at: datetime, mode: Mode) -> Node:
    """Return a time that the browser keeps counting, with the exact UTC moment as its title."""
    exact = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Node("time", "moment", (exact,), {"at": int(at.timestamp() * 1000), "mode": mode, "title": exact})


def short(digest: str, name: str = "mono", head: int = 12) -> Node:
    """Return a digest for reading aloud, with the whole of it as title and to copy."""
    text = digest if len(digest) <= head + 8 else f"{digest[:head]}\u2026{digest[-4:]}"
    return word(name, text, title=digest, copy=digest)


def show(tree: Node, *, key: str, now: datetime) -> dict[str, str] | None:
    """Draw the tree; return the target of a link if one was clicked since the last run."""
    result = _SHEET(key=key, data={"tree": tree.plain(), "now": int(now.timestamp() * 1000)}, on_go_change=noted)
    target = result.get("go")
    return None if target is None else {str(name): str(value) for name, value in target.items()}


def noted() -> None:
    """Streamlit hands a trigger over only to those who registered for it; the run itself reads it."""


def _is_seen(letter: str) -> bool:
    return letter in _KEPT or unicodedata.category(letter) not in _UNSEEN


def script(name: str) -> str:
    """Return a component's script, behind what all parts of a page share."""
    return "".join((ASSETS / one).read_text("utf-8") for one in ("reader.js", name))


_SHEET = st.components.v2.component(
    "tenuto.sheet",
    css=(ASSETS / "base.css").read_text("utf-8") + (ASSETS / "sheet.css").read_text("utf-8"),
    js=script("sheet.js"),
)

"""The planned changes, gravest first: what is deleted, replaced or opened is read before what is merely changed.

A change stands once, under its gravest risk, and shows before -> after for each attribute that differs. Unknown actions
and values are shown as they are; nothing is left out because this version does not understand it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from tenuto.approvals.pieces import risks_of
from tenuto.documents import PlannedChange

from .marks import rank, risk_badges, risk_words
from .sheet import Node, box, icon, word

ACTIONS: dict[str, tuple[str, str]] = {
    "create": ("create", "green"),
    "update": ("update", "blue"),
    "delete": ("delete", "red"),
    "replace": ("replace", "red"),
    "read": ("read", "gray"),
    "no-op": ("no change", "gray"),
}
OTHERS = "Everything else"
GROUPS: dict[str, str] = {
    "deletion": "Deleted",
    "replacement": "Deleted and made anew",
    "security_group": "Who can reach it",
    "iam": "Who may do what",
    "public_endpoint": "Open to the internet",
    "production": "In production",
}
_UNSET = object()


def plan_view(changes: Sequence[PlannedChange]) -> Node:
    """Return all changes, in groups by risk."""
    groups: dict[str, list[PlannedChange]] = {}
    for change in sorted(changes, key=lambda change: (rank(risks_of(change)), change.address)):
        groups.setdefault(group_of(change), []).append(change)
    return box("", *(_group(name, members) for name, members in groups.items()))


def group_of(change: PlannedChange) -> str:
    """Return the heading under which a change stands."""
    risks = risks_of(change)
    if not risks:
        return OTHERS
    gravest = min(risks, key=lambda risk: rank((risk,)))
    return GROUPS.get(gravest, risk_words(gravest)[0])


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[tuple[str, str | None, str | None]]:
    """Return `(attribute, before, after)` for each that differs; None where it is not there."""
    return [(name, _said(old), _said(new)) for name, old, new in _pairs(before or {}, after or {}) if old != new]


def _group(name: str, changes: Sequence[PlannedChange]) -> Node:
    head = box("group-head", word("strong", name), word("soft", _count(len(changes), "resource")))
    return box("group", head, box("panel", *(_change(change) for change in changes)))


def _change(change: PlannedChange) -> Node:
    rows = differences(change.before, change.after)
    kept = sum(old == new for _, old, new in _pairs(change.before or {}, change.after or {}))
    head = box(
        "", *(_action(action) for action in _actions(change)), word("mono address", change.address),
        risk_badges(change.risks), word("kept", _counted(len(rows), kept)), tag="summary",
    )  # fmt: skip
    body = box("attributes", *(_attribute(*row) for row in rows), tag="table") if rows else None
    return box("change", head, body, tag="details", key=change.address, open=bool(rows))


def _actions(change: PlannedChange) -> tuple[str, ...]:
    return ("replace",) if {"delete", "create"} <= set(change.actions) else change.actions


def _action(action: str) -> Node:
    name, tone = ACTIONS.get(action, (action, "red"))
    return word(f"badge {tone}", name)


def _attribute(name: str, before: str | None, after: str | None) -> Node:
    return box(
        "",
        box("", name, tag="td"),
        box("none" if before is None else "was", "not set" if before is None else before, tag="td"),
        box("sign", icon("arrow"), tag="td"),
        box("none" if after is None else "becomes", "gone" if after is None else after, tag="td"),
        tag="tr",
    )


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Attribute by attribute. Objects on both sides become dotted names: one changed rule is one row, not a wall of JSON."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, _UNSET), after.get(name, _UNSET)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and (old or new):
            yield from _pairs(old, new, f"{prefix}{name}.")
        else:
            yield prefix + name, old, new


def _said(value: Any) -> str | None:
    if value is _UNSET:
        return None
    if isinstance(value, str):
        return value if value else '""'
    return msgspec.json.encode(value).decode()


def _counted(changed: int, kept: int) -> str:
    return f"{changed} changed, {kept} unchanged" if kept else f"{changed} changed" if changed else "values not in the plan"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

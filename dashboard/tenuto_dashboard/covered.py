"""What is shown to work, drawn: threats with the risk that is left, controls with their evidence, and the red team's attacks."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto_projections.coverage.commands import because
from tenuto_projections.coverage.evidence import Exercise
from tenuto_projections.coverage.judging import Judged, JudgedThreat, Report

from .sheet import Node, box, moment, word

STATES: dict[str, tuple[str, str]] = {
    "broken": ("Broken", "red"), "held": ("Held", "green"), "working": ("At work", "blue"), "stale": ("Stale", "amber"),
    "never": ("No evidence", "gray"),
}  # fmt: skip
VERDICTS: dict[str, tuple[str, str]] = {
    "held": ("Held", "green"), "broken": ("Broken", "red"), "unproven": ("Not proven", "amber"), "not_run": ("Not run", "gray"),
    "running": ("Running", "blue"), "asked": ("Asked for", "blue"),
}  # fmt: skip


def verdict(report: Report) -> Node:
    """Return the page's first sentence: how many controls are shown to hold, and whether anything is broken."""
    held, total = report.count("held"), len(report.mitigations)
    if report.broken:
        names = ", ".join(one.id for one in report.broken)
        return box("notice red", word("strong", f"An attack on record reached its goal: {names}."))
    said = f"{held} of {total} controls held against an attack in the last {report.within.days} days"
    rest = ", ".join(f"{report.count(state)} {STATES[state][0].lower()}" for state in ("working", "stale", "never") if report.count(state))
    tone = "green" if held == total else "blue"
    return box(f"notice {tone}", word("strong", said + "."), f" The others: {rest}." if rest else "")


def threats(report: Report) -> Node:
    """Return the threats, the most risk left first."""
    ordered = sorted(report.threats, key=lambda one: (-one.residual, one.judged.id))
    return _table("Threats", ("", "Threat", "State", "Risk left", "Controls"), [_threat(one) for one in ordered])


def controls(title: str, judged: Sequence[Judged]) -> Node:
    """Return controls, rules or chains with what their state rests on."""
    rows = [(one.id, one.name, _badge(one.state), box("soft", because(one) or "Nothing on record speaks of it.")) for one in judged]
    return _table(title, ("", "Name", "State", "Because"), rows)


def attacks(exercises: Sequence[Exercise]) -> Node:
    """Return the exercises, newest first."""
    rows = [_attack(one) for one in exercises]
    return _table("Attacks", ("Attack", "Verdict", "Held by", "Tried", "Took", "When"), rows)


def _threat(one: JudgedThreat) -> tuple[Node | str, ...]:
    risk = box("", word("strong", f"{one.residual:.1f}"), word("soft", f" of {one.inherent}"))
    marks = [word(f"badge {STATES[control.state][1]}", control.id, title=f"{control.name}: {STATES[control.state][0]}") for control in one.controls]
    return (one.judged.id, one.judged.name, _badge(one.judged.state), risk, box("badges", *marks))


def _attack(one: Exercise) -> tuple[Node | str, ...]:
    name, tone = VERDICTS.get(one.verdict, (one.verdict, "gray"))
    took = f"{one.milliseconds / 1000:.1f} s" if one.milliseconds else ""
    return (
        one.scenario, word(f"badge {tone}", name), " ".join(one.held), " ".join(one.refs), took, moment(one.at, "ago"),
    )  # fmt: skip


def _badge(state: str) -> Node:
    name, tone = STATES[state]
    return word(f"badge {tone}", name)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[Node | str]]) -> Node:
    head = box("", box("", *(box("", name, tag="th") for name in names), tag="tr"), tag="thead")
    body = box("", *(box("", *(box("", cell, tag="td") for cell in row), tag="tr") for row in rows), tag="tbody")
    return box("", box("", title, tag="h2"), box("panel", box("list", head, body, tag="table")))

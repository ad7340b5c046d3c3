"""The report as Markdown, for a ticket or a letter; what strangers wrote stands in it as text, whatever it would do elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from ..replay.records import printable
from .sightings import KINDS, Attempt
from .weekly import Report, grouped

POSITIONS_SHOWN_MAX = 12
TEXT_CHARACTERS_MAX = 120
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~:@/-])")


def to_markdown(report: Report) -> str:
    """Return the report; lines end with a newline."""
    parts = [f"# Injection attempts, week {report.week}{' (so far)' if report.so_far else ''}\n", f"{report.sentence}\n"]
    parts.append(f"Computed from {report.size:,} verified events; a position is an event's place in the log (`tenuto show POSITION`).\n")
    if report.closed:
        places = _positions([str(position) for position in report.closed])
        parts.append(f"The payloads of {len(report.closed)} decisions could not be read, so their texts were not looked at: {places}.\n")
    parts += ["## Week over week\n", _trend(report)]
    parts += ["## Attempts\n", _table(report.real)]
    exercises = [one for one in report.attempts if one.exercise]
    if exercises:
        parts += ["## Exercises of the red team\n", _table(exercises)]
    return "\n".join(parts)


def as_text(text: str) -> str:
    """Return foreign text so that Markdown and HTML show it and do nothing else with it, shortened and on one line."""
    shown = printable(text).replace("\n", " ").replace("\t", " ")
    shown = shown if len(shown) <= TEXT_CHARACTERS_MAX else shown[: TEXT_CHARACTERS_MAX - 1] + "…"
    return _SPECIAL.sub(r"\\\1", html.escape(shown, quote=True).replace("&#x27;", "'"))


def _trend(report: Report) -> str:
    weeks = [*((week, counts) for week, counts in report.before), (report.week, report.counts())]
    rows = [("| Kind", *(f" {week} " for week, _ in weeks)), ("| ---", *(" ---: " for _ in weeks))]
    rows += [(f"| {kind}", *(f" {counts.get(kind, 0)} " for _, counts in weeks)) for kind in KINDS]
    return "".join("|".join(row) + "|\n" for row in rows)


def _table(attempts: Sequence[Attempt]) -> str:
    if not attempts:
        return "None.\n"
    lines = ["| Agent | Repository | Author | Kind | Events | Positions |\n", "| --- | --- | --- | --- | ---: | --- |\n"]
    for (agent, repository, author, kind), group in grouped(attempts):
        places = _positions([str(one.position) for one in group])
        lines.append(f"| {as_text(agent)} | {as_text(repository)} | {as_text(author)} | {kind} | {len(group)} | {places} |\n")
    return "".join(lines)


def _positions(places: Sequence[str]) -> str:
    more = len(places) - POSITIONS_SHOWN_MAX
    return ", ".join(places[:POSITIONS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")

"""A week's report: its attempts, how many there were of each kind, and how that compares with the weeks before.

Weeks are those of ISO 8601 in UTC by the ledger's own time, so no time zone and no clock of an agent moves an attempt from one
week to another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenuto.errors import NotConfigured

from .sightings import KINDS, Attempt, Sightings

WEEKS_COMPARED = 4
_WEEK = re.compile(r"(\d{4})-W(\d{2})")


@dataclass(frozen=True, slots=True)
class Report:
    """week: such as `2026-W48`; since, until: its ends in UTC, the latter not included. so_far: it has not ended.

    before: the counts of the weeks before by kind, oldest first. closed: positions of decisions whose payload could not be read.
    size: how many verified events it was computed from.
    """

    week: str
    since: datetime
    until: datetime
    so_far: bool
    attempts: tuple[Attempt, ...]
    before: tuple[tuple[str, Mapping[str, int]], ...]
    closed: tuple[int, ...]
    size: int

    @property
    def real(self) -> tuple[Attempt, ...]:
        """Without the red team's own."""
        return tuple(one for one in self.attempts if not one.exercise)

    def counts(self) -> Mapping[str, int]:
        """How many events of real work show an attempt, by kind."""
        return Counter(one.kind for one in self.real)

    @property
    def sentence(self) -> str:
        """The report in one sentence."""
        counts, last = self.counts(), self.before[-1][1] if self.before else {}
        named = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]) or "none"
        exercises = len(self.attempts) - len(self.real)
        said = f"Injection attempts in week {self.week}{' so far' if self.so_far else ''}: {named}; {sum(last.values())} the week before"
        return f"{said}, {exercises} more in exercises of the red team." if exercises else f"{said}."


def week_of(moment: datetime) -> str:
    """Return the ISO week of a moment, such as `2026-W48`."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def chosen_week(name: str, now: datetime) -> tuple[str, datetime]:
    """Return the week that `name` means (`last`, `this`, or such as 2026-W48) and its first moment; raises NotConfigured."""
    if name in ("last", "this"):
        name = week_of(now - timedelta(days=7) if name == "last" else now)
    found = _WEEK.fullmatch(name)
    try:
        if found is None:
            raise ValueError
        since = datetime.fromisocalendar(int(found[1]), int(found[2]), 1).replace(tzinfo=UTC)
    except ValueError:
        raise NotConfigured(f"{name!r:.40} is no week. Give one as 2026-W48, or `last`, or `this`.") from None
    return name, since


def report_of(seen: Sightings, week: str, since: datetime, now: datetime) -> Report:
    """Return the report of a week; a pure function of what was seen and of the moment."""
    until = since + timedelta(days=7)
    weeks = [week_of(since - timedelta(days=7 * back)) for back in range(WEEKS_COMPARED, 0, -1)]
    by_week = {name: Counter(one.kind for one in seen.attempts if not one.exercise and week_of(one.at) == name) for name in weeks}
    return Report(
        week, since, until, now < until, tuple(one for one in seen.attempts if since <= one.at < until), tuple(by_week.items()),
        tuple(position for at, position in seen.closed if since <= at < until), 0 if seen.newest is None else seen.newest.position + 1,
    )  # fmt: skip


def grouped(attempts: Sequence[Attempt]) -> list[tuple[tuple[str, str, str, str], list[Attempt]]]:
    """Return attempts by agent, repository, author and kind, the most first."""
    groups: dict[tuple[str, str, str, str], list[Attempt]] = {}
    for one in attempts:
        groups.setdefault((one.agent, one.repository, one.author, one.kind), []).append(one)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def as_data(report: Report) -> dict[str, Any]:
    """Return the report as plain data, in a key order that never changes."""
    return {
        "week": report.week, "since": report.since.isoformat(), "until": report.until.isoformat(), "so_far": report.so_far,
        "events": report.size, "counts": {kind: report.counts().get(kind, 0) for kind in KINDS},
        "before": {week: {kind: counts.get(kind, 0) for kind in KINDS} for week, counts in report.before},
        "attempts": [_row(*group) for group in grouped(report.real)],
        "exercises": [_row(*group) for group in grouped([one for one in report.attempts if one.exercise])],
        "closed": list(report.closed),
    }  # fmt: skip


def _row(key: tuple[str, str, str, str], attempts: Sequence[Attempt]) -> dict[str, Any]:
    agent, repository, author, kind = key
    return {
        "agent": agent, "repository": repository, "author": author, "kind": kind, "events": len(attempts),
        "times": sum(one.times for one in attempts), "positions": [one.position for one in attempts],
    }  # fmt: skip

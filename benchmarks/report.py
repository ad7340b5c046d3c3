"""The figures of one run, as a table for people and as JSON for whoever keeps them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from .arms import Lap
from .freshness import Freshness

PACKAGES = ("eventsourcing", "psycopg", "pynacl", "kafka-python", "msgspec")


def machine() -> dict[str, Any]:
    """What this ran on, and how busy it was when asked."""
    return {
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def spread(values: Sequence[float], digits: int = 0) -> dict[str, float]:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def rates(laps: Mapping[str, Sequence[Lap]]) -> dict[str, Any]:
    """Events per second of each arm, and this process's CPU time for each."""
    return {
        name: {"events_per_second": spread([lap.rate for lap in run]), "cpu_us": spread([lap.cpu_micros for lap in run], 1)}
        for name, run in laps.items()
    }


def ratios(laps: Mapping[str, Sequence[Lap]], pairs: Mapping[tuple[str, str], float | None]) -> dict[str, Any]:
    """For each pair of arms: the ratio of their rates in the same round, over all rounds, and what it should be."""
    found: dict[str, Any] = {}
    for (over, under), target in pairs.items():
        rounds = zip(laps[over], laps[under], strict=True)
        found[f"{over} / {under}"] = {**spread([one.rate / other.rate for one, other in rounds], 2), "target": target}
    return found


def freshness(found: Freshness) -> dict[str, Any]:
    """Percentiles of how long an event waits for the log's signature."""
    return {
        "events_per_second": round(found.rate),
        "from_publication_ms": _percentiles(found.from_publication),
        "from_record_ms": _percentiles(found.from_record),
    }


def headline(about: Mapping[str, Any]) -> list[str]:
    """What it was measured on, in two lines."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return [f"{about['machine']}, {about['cores']} cores, load {about['load'][0]}, Python {about['python']}", packages]


def table(figures: Mapping[str, Any]) -> str:
    """The same figures as lines for a terminal."""
    lines = [
        *headline(figures["machine"]),
        f"{figures['events']:,} events an arm, {figures['rounds']} rounds in random order (seed {figures['seed']})",
        "",
        f"{'events per second':44} {'median':>9} {'min':>9} {'max':>9}   CPU us/event",
    ]
    for name, found in figures["rates"].items():
        rate = found["events_per_second"]
        lines.append(f"{name:44} {_columns(rate, '9,.0f')}   {found['cpu_us']['median']:12.1f}")
    lines += ["", f"{'ratio in the same round':84} {'median':>6} {'min':>6} {'max':>6}   target"]
    for name, found in figures["ratios"].items():
        target = "" if found["target"] is None else f"{found['target']:9.1f}"
        lines.append(f"{name:84} {_columns(found, '6.2f')}{target}")
    waits = figures["freshness"]
    lines += ["", f"{'wait for the checkpoint at ' + format(waits['events_per_second'], ',') + '/s':44} {'p50':>9} {'p99':>9}   ms"]
    for name, key in (("from publication", "from_publication_ms"), ("from the ledger's stamp", "from_record_ms")):
        lines.append(f"{name:44} {waits[key]['p50']:9.0f} {waits[key]['p99']:9.0f}")
    return "\n".join(lines)


def _columns(found: Mapping[str, float], form: str) -> str:
    return " ".join(format(found[name], form) for name in ("median", "min", "max"))


def _percentiles(ordered: Sequence[float]) -> dict[str, float]:
    return {name: round(ordered[int(part * (len(ordered) - 1))], 1) for name, part in (("p50", 0.5), ("p99", 0.99))}

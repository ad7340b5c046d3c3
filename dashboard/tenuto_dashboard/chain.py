"""The chain of custody of a run on one line, and its timeline below: who did what, when, and because of what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tenuto_projections.runs import Run, Step
from tenuto_projections.stages import STAGES

from .marks import demo_badge
from .sheet import Node, box, icon, link, moment, short, word

REQUEST = "request"
NAMES: dict[str, str] = {
    REQUEST: "Pull request", "review": "Review", "plan": "Plan", "approval": "Approval", "apply": "Apply",
    "deploy": "Deploy", "health": "Health",
}  # fmt: skip
OUTCOMES: dict[str, tuple[str, str]] = {
    "succeeded": ("Succeeded", "green"),
    "refused": ("Stopped by a control", "amber"),
    "failed": ("Failed", "red"),
}
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_COMMIT_SHOWN = 12
_TROUBLE = frozenset({
    "tool.failed", "tool.unknown", "message.refused", "approval.denied", "approval.expired", "deployment.unhealthy",
    "deployment.rolled_back", "deployment.quarantined", "record.refused", "record.equivocation", "record.gap", "alert.raised",
})  # fmt: skip
# The event at which a station is passed, where it is not simply the first event of the next one.
_WHO = {
    "review": ("decision.made",), "approval": ("approval.signed", "approval.granted"), "plan": ("tool.finished", "tool.started"),
    "apply": ("tool.finished", "tool.started"), "deploy": ("deployment.started",),
    "health": ("deployment.healthy", "deployment.unhealthy"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Station:
    """One station of the chain. state: done, now, stopped or ahead."""

    stage: str
    state: str
    who: str = ""
    at: datetime | None = None


def stations(run: Run, steps: Sequence[Step]) -> tuple[Station, ...]:
    """Return where the run stands, station by station."""
    order = [stage for stage in STAGES if stage in NAMES]
    reached = max((order.index(step.stage) for step in steps if step.stage in order), default=0)
    passed = run.outcome == "succeeded"
    found = [Station(REQUEST, "done", run.author or run.started_by, run.started)]
    for rank, stage in enumerate(order):
        at = [step for step in steps if step.stage == stage]
        mark = _mark(stage, at)
        if mark is None:
            found.append(Station(stage, "ahead"))
            continue
        state = "done" if rank < reached or passed else "now" if run.outcome is None else "stopped"
        found.append(Station(stage, state, mark.author, mark.recorded_at))
    return tuple(found)


def chain(run: Run, steps: Sequence[Step]) -> Node:
    """Return the stations as a line."""
    return box("panel", box("panel-body", box("chain", *(_station(station) for station in stations(run, steps)))))


def run_head(run: Run) -> Node:
    """Return what the run is about."""
    name, tone = OUTCOMES.get(run.outcome or "", ("Running", "blue"))
    where = " \u00b7 ".join(part for part in (run.repository, _branches(run)) if part)
    return box(
        "",
        link("crumb", icon("back"), "Runs", page="runs"),
        box("", run.title or run.run, tag="h1"),
        box("lead", where or "The pull request is not readable here.", tag="p"),
        box(
            "badges", word(f"badge {tone}", name), word("badge gray", f"{run.events} events"),
            demo_badge() if run.insecure_demo else None,
            short(run.head_commit, "mono soft") if run.head_commit else None,
        ),
    )  # fmt: skip


def run_row(run: Run) -> Node:
    """Return one run as a link to its page."""
    name, tone = OUTCOMES.get(run.outcome or "", ("Running", "blue"))
    under = " \u00b7 ".join(part for part in (run.run, run.author or run.started_by, run.repository) if part)
    return link(
        "run",
        word(f"dot {tone}"),
        box("", box("title", run.title or run.run), box("under", under)),
        box("", box("pips", *_pips(run)), box("under", NAMES.get(run.stage, "Finished"))),
        box("", word(f"badge {tone}", name)),
        box("under", moment(run.last_seen, "ago")),
        icon("next"),
        page="runs",
        run=run.run,
    )


def timeline(steps: Sequence[Step]) -> Node:
    """Return every event of the run in ledger order."""
    places = {step.event_id: step.position for step in steps}
    head = box("panel-head", box("", "Timeline", tag="h2"), word("right", "position, ledger time (UTC), author, event, caused by"))
    return box("panel", head, box("", *(_step(step, places) for step in steps)))


def _station(station: Station) -> Node:
    marks = {"done": "check", "stopped": "cross", "now": "clock"}
    when = None if station.at is None else box("detail", station.at.strftime("%H:%M:%S"), " UTC")
    mark = word("mark", icon(marks[station.state])) if station.state in marks else word("mark")
    return box(
        f"station {station.state}", mark, box("name", NAMES[station.stage]), box("detail", station.who) if station.who else None, when
    )


def _mark(stage: str, steps: Sequence[Step]) -> Step | None:
    for kind in _WHO.get(stage, ()):
        # The call that opened a stage is its first one; of decisions and health checks the last one stands.
        for step in steps if kind.startswith("tool.") else reversed(steps):
            if step.kind == kind:
                return step
    return steps[-1] if steps else None


def _pips(run: Run) -> list[Node]:
    order = [stage for stage in STAGES if stage in NAMES]
    reached = order.index(run.stage) if run.stage in order else len(order)
    last = {"refused": "stopped", "failed": "stopped", "succeeded": "done"}.get(run.outcome or "", "now")
    return [
        word("pip " + ("done" if rank < reached or run.outcome == "succeeded" else last if rank == reached else "ahead"))
        for rank in range(len(order))
    ]


def _step(step: Step, places: dict[str, int]) -> Node:
    causes = ", ".join(f"#{places[cause]:,}" if cause in places else f"{cause[:8]}\u2026" for cause in step.causes)
    tone = " red" if step.kind in _TROUBLE else ""
    return box(
        f"step{tone}",
        word("place", f"#{step.position:,}", title=step.event_id),
        word("at", step.recorded_at.strftime("%H:%M:%S"), title=step.recorded_at.isoformat()),
        word("by", step.author, title=step.role),
        box("summary", step.summary, word("kind", step.kind), word("badge gray", step.purged) if step.purged else None),
        word("causes", f"\u2190 {causes}" if causes else ""),
    )


def _branches(run: Run) -> str:
    return f"{_revision(run.head)} \u2192 {_revision(run.base)}" if run.head and run.base else ""


def _revision(name: str) -> str:
    """A commit by its first letters, a branch as it is called."""
    return name[:_COMMIT_SHOWN] if _COMMIT.fullmatch(name) else name

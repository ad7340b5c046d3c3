"""Attacks on ourselves, in OCSF: an exercise is a program that starts and stops, and one that reached its goal is a finding."""

from __future__ import annotations

from typing import Any

from tenuto.events import Event, ExerciseEnded, ExerciseRequested, ExerciseStarted

from .ocsf_classes import APPLICATION_LIFECYCLE, DETECTION_FINDING, Mapped, NotMapped

_TITLES = {
    "broken": ("An attack of the red team reached its goal", "Critical"),
    "unproven": ("An attack of the red team was stopped by nothing on record", "Medium"),
}


def exercise_mapped(event: Event) -> Mapped:
    """Return an exercise as Application Lifecycle, and as Detection Finding where no control is shown to have held."""
    match event:
        case ExerciseRequested(exercise=uid, scenario=name):
            return Mapped(APPLICATION_LIFECYCLE, "Request", {"app": {"uid": uid, "name": name}})
        case ExerciseStarted(exercise=uid, scenario=name):
            return Mapped(APPLICATION_LIFECYCLE, "Start", {"app": {"uid": uid, "name": name}})
        case ExerciseEnded(exercise=uid, scenario=name, verdict="held" | "not_run" as verdict):
            status = "Success" if verdict == "held" else "Failure"
            return Mapped(APPLICATION_LIFECYCLE, "Stop", {"app": {"uid": uid, "name": name}}, "Informational", status)
        case ExerciseEnded(exercise=uid, verdict=verdict):
            return _finding(event, uid, *_TITLES[verdict])
    raise NotMapped(event.kind)


def _finding(event: ExerciseEnded, uid: str, title: str, severity: str) -> Mapped:
    data: dict[str, Any] = {"scenario": event.scenario, "held": list(event.held), "events": [str(one) for one in event.evidence]}
    attributes = {"finding_info": {"uid": uid, "title": title}, "is_alert": True, "evidences": [{"data": data}]}
    return Mapped(DETECTION_FINDING, "Create", attributes, severity, "New")

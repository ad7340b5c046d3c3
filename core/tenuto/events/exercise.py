"""Attacks on ourselves, on record: a control counts as working only where an exercise or a real event says when it held."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from .base import Count, Event, Name, Ref

EXERCISE_EVIDENCE_MAX = 16
EXERCISE_CONTROLS_MAX = 16
Verdict = Literal["held", "unproven", "broken", "not_run"]


class ExerciseRequested(Event, frozen=True, kw_only=True, tag="exercise.requested"):
    """A person asks the red team to run a scenario; a running `tenuto attack serve` answers with the other two kinds."""

    exercise: Name
    scenario: Name


class ExerciseStarted(Event, frozen=True, kw_only=True, tag="exercise.started"):
    """The red team begins an attack; `refs` are the threats, chains and controls that it tries."""

    exercise: Name
    scenario: Name


class ExerciseEnded(Event, frozen=True, kw_only=True, tag="exercise.ended"):
    """How the attack ended; the payload tells what was tried and what was seen.

    verdict: held (the attacker did not reach the goal, and evidence names the control), unproven (not reached, and
    nothing on record says why), broken (reached), not_run (a part that it needs is not here). held: the mitigations, and
    rules that evidence shows to have stopped or noticed it. evidence: ids of the events that it rests on, none where a
    program's own output is the evidence; the payload has all of them where there are more than 16. milliseconds: from the start to the verdict.
    """

    exercise: Name
    scenario: Name
    verdict: Verdict
    held: Annotated[tuple[Ref, ...], msgspec.Meta(max_length=EXERCISE_CONTROLS_MAX)]
    evidence: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=EXERCISE_EVIDENCE_MAX)]
    milliseconds: Count

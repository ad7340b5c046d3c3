"""How one attack is run and judged: begun on record, tried, its evidence looked up in the ledger, its verdict on record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tenuto.documents import Account
from tenuto.errors import TenutoError
from tenuto.events import ExerciseEnded, ExerciseStarted
from tenuto.events.exercise import EXERCISE_EVIDENCE_MAX, Verdict

from ..text import visible_line
from .ground import Ground
from .scenario import Lacking, Scenario, Seen, Stop

EVIDENCE_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """How one attack ended, as it stands on record in `event`."""

    scenario: Scenario
    verdict: Verdict
    seen: str
    stops: tuple[Stop, ...]
    lacking: tuple[str, ...]
    milliseconds: int
    event: ExerciseEnded

    @property
    def held(self) -> tuple[str, ...]:
        """The controls that evidence shows to have held."""
        return self.event.held


@dataclass
class _Course:
    verdict: Verdict = "unproven"
    seen: str = ""
    stops: tuple[Stop, ...] = ()
    lacking: tuple[str, ...] = ()
    evidence: list[UUID] = field(default_factory=list)


def exercise(scenario: Scenario, ground: Ground, name: str | None = None, cause: Sequence[UUID] = ()) -> Report:
    """Run one attack on the ground and return how it ended; both its ends are on record.

    name: of the exercise, a new one by default. A defect of the attack itself is put on record as `unproven` and raised.
    Raises Busy and NotConfigured when the road does not carry the red team's own words.
    """
    ground.begin()
    name = name or f"exercise-{ground.new_id()}"
    started = ground.red_team.record(
        ExerciseStarted, refs=scenario.refs, cause=tuple(cause), exercise=name, scenario=scenario.name
    )
    ground.wait_on_record(started)
    began = time.monotonic()
    try:
        course = _try(scenario, ground)
    except BaseException as error:
        _end(ground, scenario, started, _Course("unproven", f"A defect of the attack itself: {visible_line(repr(error))}"), began)
        raise
    return _end(ground, scenario, started, course, began)


def _end(ground: Ground, scenario: Scenario, started: ExerciseStarted, course: _Course, began: float) -> Report:
    milliseconds = int((time.monotonic() - began) * 1000)
    evidence = tuple(dict.fromkeys(course.evidence))
    account = Account(
        goal=scenario.goal, seen=course.seen, lacking=course.lacking,
        evidence=tuple(map(str, evidence)) if len(evidence) > EXERCISE_EVIDENCE_MAX else (),
        stops=tuple(f"{stop.control}: {stop.sentence} {stop.said}".strip() for stop in course.stops),
    )  # fmt: skip
    ended = ground.red_team.record(
        ExerciseEnded, document=account, refs=scenario.refs, cause=(started.id,), exercise=started.exercise,
        scenario=scenario.name, verdict=course.verdict, held=tuple(dict.fromkeys(stop.control for stop in course.stops)),
        evidence=evidence[:EXERCISE_EVIDENCE_MAX], milliseconds=milliseconds,
    )  # fmt: skip
    ground.wait_on_record(ended)
    return Report(scenario, course.verdict, course.seen, course.stops, course.lacking, milliseconds, ended)


def _try(scenario: Scenario, ground: Ground) -> _Course:
    try:
        seen = scenario.attack(ground)
    except Lacking as lacking:
        return _Course("not_run", "It was not tried.", lacking=lacking.parts)
    except TenutoError as error:
        return _Course("unproven", f"The attack broke off: {visible_line(str(error))}")
    return _judged(seen, ground)


def _judged(seen: Seen, ground: Ground) -> _Course:
    proven = [stop for stop in seen.stops if _is_proven(stop, ground)]
    evidence = [one for stop in proven for one in stop.evidence]
    if seen.reached:
        return _Course("broken", seen.sentence, tuple(proven), evidence=evidence)
    return _Course("held" if proven else "unproven", seen.sentence, tuple(proven), evidence=evidence)


def _is_proven(stop: Stop, ground: Ground) -> bool:
    if not stop.evidence:
        return bool(stop.said)
    wanted = set(stop.evidence)
    deadline = time.monotonic() + EVIDENCE_SECONDS_MAX
    while not wanted <= {verified.event.id for verified in ground.since()}:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True

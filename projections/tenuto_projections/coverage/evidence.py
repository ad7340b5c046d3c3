"""What the ledger says about each id of the threat model: attacks that tried it, and events of real work that name it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tenuto.events import AlertRaised, ExerciseEnded
from tenuto.verification import Verified

RANGE = "range-"
"""Authors that the red team plays; what they write is an attack, not work."""
REDTEAM_ROLE = "redteam"
NOT_RUN = "not_run"
"""The verdict of an exercise for which a part was missing."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One attack that ended. refs: what it tried; held: the controls that evidence shows to have stopped or noticed it."""

    exercise: str
    scenario: str
    verdict: str
    refs: tuple[str, ...]
    held: tuple[str, ...]
    evidence: tuple[str, ...]
    at: datetime
    position: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Work:
    """Events of real work that carry an id: how many, and the newest. An author says so of its own event."""

    events: int
    at: datetime
    position: int
    kind: str


@dataclass
class Evidence:
    """All of it, after a prefix of the ledger. `newest` holds the last exercise of each scenario that could be run."""

    newest: dict[str, Exercise] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    size: int = 0

    def take(self, verified: Verified) -> None:
        """Take the next verified event, in ledger order."""
        self.size = verified.position + 1
        event = verified.event
        if isinstance(event, ExerciseEnded):
            self.note(exercise_of(verified, event))
        elif is_work(verified):
            for ref in event.refs:
                self.work[ref] = added(self.work.get(ref), verified)

    def note(self, ended: Exercise) -> None:
        """Take the next exercise that ended. One for which a part was missing says nothing, and takes no older evidence away."""
        if ended.verdict != NOT_RUN:
            self.newest[ended.scenario] = ended

    def tried(self, ref: str) -> tuple[Exercise, ...]:
        """The newest exercise of every scenario that tried an id, the newest of them first."""
        found = (one for one in self.newest.values() if ref in one.refs)
        return tuple(sorted(found, key=lambda one: -one.position))

    def held(self, ref: str) -> tuple[Exercise, ...]:
        """Those in which this control is shown to have held, the newest first."""
        found = (one for one in self.newest.values() if ref in one.held)
        return tuple(sorted(found, key=lambda one: -one.position))


def evidence_of(pages: Iterable[Iterable[Verified]]) -> Evidence:
    """Fold a whole ledger."""
    evidence = Evidence()
    for page in pages:
        for verified in page:
            evidence.take(verified)
    return evidence


def exercise_of(verified: Verified, event: ExerciseEnded) -> Exercise:
    """Return an ended exercise as it stands on record."""
    return Exercise(
        exercise=event.exercise, scenario=event.scenario, verdict=event.verdict, refs=event.refs, held=event.held,
        evidence=tuple(str(one) for one in event.evidence), at=verified.recorded_at, position=verified.position,
        milliseconds=event.milliseconds,
    )  # fmt: skip


def is_work(verified: Verified) -> bool:
    """Whether an event is one of real work that says which controls it is about."""
    event = verified.event
    ours = event.author.startswith(RANGE) or verified.key.role == REDTEAM_ROLE
    about_ours = isinstance(event, AlertRaised) and event.suspect.startswith(RANGE)
    return bool(event.refs) and not ours and not about_ours


def added(before: Work | None, verified: Verified) -> Work:
    """Return the work of an id with one event more."""
    now = Work(1, verified.recorded_at, verified.position, verified.event.kind)
    return now if before is None else replace(now, events=before.events + 1)

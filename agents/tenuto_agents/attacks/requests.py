"""Attacks that people ask for: a signed request in the ledger, answered once, by whoever runs `tenuto attack serve`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from tenuto.errors import TenutoError
from tenuto.events import ExerciseEnded, ExerciseRequested, ExerciseStarted
from tenuto.settings import Settings
from tenuto.verification import VerificationFailed, Verified
from tenuto.wiring import open_follower

from ..text import visible_line
from .catalogue import SCENARIOS
from .exercise import Report, exercise
from .ground import Ground

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 5.0
log = logging.getLogger(__name__)


class Requests:
    """The requests that nobody has answered yet, in ledger order."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._open: dict[str, ExerciseRequested] = {}

    def take(self, verified: Verified) -> None:
        """Take the next event; the first request of a name counts, and one that was begun is never begun again."""
        event = verified.event
        if isinstance(event, ExerciseRequested):
            self._open.setdefault(event.exercise, event)
        elif isinstance(event, ExerciseStarted | ExerciseEnded):
            self._open.pop(event.exercise, None)

    def next(self) -> ExerciseRequested | None:
        """The oldest one that names an attack that there is."""
        return next((one for one in self._open.values() if one.scenario in SCENARIOS), None)

    def drop(self, exercise: str) -> None:
        """It is being dealt with."""
        self._open.pop(exercise, None)


def answer_requests(
    settings: Settings, open_ground: Callable[[], AbstractContextManager[Ground]], stop: threading.Event, show: Callable[[Report], None]
) -> None:
    """Run what is asked for, one after the other, until `stop` is set; the range exists only while something runs.

    What one request runs into ends that request. A defect of an attack is on record as `unproven`, with its sentence, and the next
    is taken. Where the range itself cannot be opened, the request stays and is tried again.
    """
    requests, follower = Requests(), open_follower(settings, payloads=False)
    pause = LOOK_SECONDS
    while not stop.wait(pause):
        pause = LOOK_SECONDS
        try:
            for verified in follower.catch_up():
                requests.take(verified)
            if (asked := requests.next()) is not None:
                with open_ground() as ground:
                    requests.drop(asked.exercise)
                    show(exercise(SCENARIOS[asked.scenario], ground, asked.exercise, (asked.id,)))
        except VerificationFailed:
            raise
        except Exception as error:
            # The outermost loop: other people's requests wait behind this one.
            pause = AGAIN_SECONDS
            defect = not isinstance(error, TenutoError)
            log.error("The red team goes on after: %s", visible_line(f"{type(error).__name__}: {error}"), exc_info=defect)

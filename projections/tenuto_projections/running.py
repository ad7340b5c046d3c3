"""The projector as a process: one loop that can be stopped, or killed, between any two pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event as Flag

from tenuto.errors import Busy
from tenuto.telemetry import Telemetry

from .alerts import Alerts
from .coverage.model import CoverageModel
from .fleet import Fleet
from .inbox import Inbox
from .integrity import Counts
from .losses import Losses
from .projection import Projection, Projector, Rewound
from .reviewing import Reviewing
from .rulings import Rulings
from .runs import Runs
from .signers import Signers

WAIT_SECONDS = 0.25


def all_projections() -> tuple[Projection, ...]:
    """Return every read model, new, before the first event."""
    return Runs(), Inbox(), Reviewing(), Rulings(), Signers(), Fleet(), Counts(), Losses(), Alerts(), CoverageModel()


def projection_named(name: str) -> Projection | None:
    """Return a read model by its name, with or without its version, or None."""
    return next((model for model in all_projections() if name in (model.name, model.name.partition("/")[0])), None)


def run_until(
    stop: Flag,
    start: Callable[[], Projector],
    say: Callable[[str], None],
    *,
    telemetry: Telemetry,
    wait_seconds: float = WAIT_SECONDS,
) -> None:
    """Project what the log signs until `stop` is set; `start` makes a projector that stands before the first event.

    A database that is away is waited for and said once. Raises VerificationFailed, and any defect.
    """
    projector, away = start(), ""
    while not stop.is_set():
        try:
            telemetry.stepped(projector.catch_up(stop.is_set))
            away = ""
        except Rewound as rewound:
            say(str(rewound))
            projector = start()
        except Busy as busy:
            telemetry.was_busy()
            if str(busy) != away:
                away = str(busy)
                say(away)
        stop.wait(wait_seconds)


def catch_up(start: Callable[[], Projector]) -> int:
    """Project everything that the log has signed and return how many events there are; raises Busy, VerificationFailed."""
    while True:
        try:
            return start().catch_up()
        except Rewound:
            continue


def names(projections: Sequence[Projection]) -> str:
    """List the read models for a person."""
    return ", ".join(projection.name for projection in projections)

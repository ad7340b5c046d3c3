"""The broker is away while everybody works: spools grow, nothing is lost, and the receipts come after."""

from __future__ import annotations

import os
import signal
from time import monotonic

from tests.fire.checking import check_events
from tests.fire.plant import AUTHORS, SECONDS_MAX, Plant, until

AWAY_EVENTS = 150


def broker_away(plant: Plant, events: int, *, seconds: float = 0.0) -> None:
    """Let the broker sleep until each author recorded so many events more, and at least so long."""
    broker = plant.kafka.pid
    os.kill(broker, signal.SIGSTOP)
    try:
        before, since = plant.taken(), monotonic()
        until(lambda: monotonic() - since >= seconds, "the time to pass", seconds_max=seconds + SECONDS_MAX)
        until(lambda: plant.taken() >= before + events * len(AUTHORS), "the authors to go on", plant)
        receipts = plant.receipts()
        assert plant.waiting() >= plant.taken() - receipts - 1, "what has no receipt lies in the spools"
        assert plant.waiting() >= events, "hundreds of events wait"
    finally:
        os.kill(broker, signal.SIGCONT)
    until(lambda: plant.receipts() > receipts + events, "the receipts of what waited", plant)


def test_while_the_broker_is_away_spools_grow_and_receipts_come_after(plant: Plant) -> None:
    broker_away(plant, AWAY_EVENTS)
    with plant.quiet():
        check_events(plant)

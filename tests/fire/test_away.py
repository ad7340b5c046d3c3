"""The broker is away while everybody works: spools grow, nothing is lost, and the receipts come after."""

from __future__ import annotations

import os
import signal

from tests.fire.checking import check_plant
from tests.fire.plant import AUTHORS, Plant, until

AWAY_EVENTS = 250


def broker_away(plant: Plant, events: int) -> None:
    """Let the broker sleep until each author recorded so many events more, all of them in its spool and nowhere else."""
    broker = plant.kafka.pid
    os.kill(broker, signal.SIGSTOP)
    try:
        before = plant.taken()
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
        check_plant(plant)

"""The broker is away while everybody works: spools grow, nothing is lost, and the receipts come after."""

from __future__ import annotations

from time import monotonic

from tests.fire.checking import check_events
from tests.fire.plant import AUTHORS, SECONDS_MAX, Plant, until
from tests.halting import halted

AWAY_EVENTS = 150


def broker_away(plant: Plant, events: int, *, seconds: float = 0.0) -> None:
    """Let the broker sleep until each author recorded so many events more, and at least so long."""
    with halted(plant.kafka.pid):
        before, since = plant.taken(), monotonic()
        until(lambda: monotonic() - since >= seconds, "the time to pass", seconds_max=seconds + SECONDS_MAX)
        until(lambda: plant.taken() >= before + events * len(AUTHORS), "the authors to go on", plant)
        # The authors go on while this looks, so what they were told is read first, and a spool that is busy is read again.
        receipts = plant.receipts()
        taken = plant.taken()
        until(lambda: plant.waiting() >= max(events, taken - receipts - 1), "all without receipt in the spools", plant)
    until(lambda: plant.receipts() > receipts + events, "the receipts of what waited", plant)


def test_while_the_broker_is_away_spools_grow_and_receipts_come_after(plant: Plant) -> None:
    broker_away(plant, AWAY_EVENTS)
    with plant.quiet():
        check_events(plant)

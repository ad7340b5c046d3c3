"""The broker is away while everybody works: spools grow, nothing is lost, and the receipts come after."""

from __future__ import annotations

from time import monotonic

from tenuto.accounting import OVERDUE_SECONDS, TELL_SECONDS

from tests.fire.checking import check_events
from tests.fire.plant import AUTHORS, SECONDS_MAX, Plant, until
from tests.halting import halted

AWAY_EVENTS = 150


def broker_away(plant: Plant, events: int, *, seconds: float = 0.0) -> None:
    """Let the broker sleep until each author recorded so many events more, and at least so long.

    After so long that receipts were overdue each author puts that on record, a moment after the last of them came or as long
    after it told so before. An author that still has to is not at rest, whatever its spool says.
    """
    told = accounts_told(plant)
    with halted(plant.kafka.pid):
        before, since = plant.taken(), monotonic()
        until(lambda: monotonic() - since >= seconds, "the time to pass", seconds_max=seconds + SECONDS_MAX)
        until(lambda: plant.taken() >= before + events * len(AUTHORS), "the authors to go on", plant)
        # The authors go on while this looks, so what they were told is read first, and a spool that is busy is read again.
        receipts = plant.receipts()
        taken = plant.taken()
        until(lambda: plant.waiting() >= max(events, taken - receipts - 1), "all without receipt in the spools", plant)
    until(lambda: plant.receipts() > receipts + events, "the receipts of what waited", plant)
    if seconds > OVERDUE_SECONDS:
        everybody = told + len(AUTHORS)
        until(lambda: accounts_told(plant) >= everybody, "what was spooled", plant, seconds_max=TELL_SECONDS + SECONDS_MAX)


def accounts_told(plant: Plant) -> int:
    """How often an author put on record that it had to keep events back."""
    with plant.admin() as sql:
        found = sql.execute("SELECT count(*) FROM ledger.entry WHERE topic = 'record.spooled'").fetchone()
    assert found is not None
    return found[0]


def test_while_the_broker_is_away_spools_grow_and_receipts_come_after(plant: Plant) -> None:
    broker_away(plant, AWAY_EVENTS)
    with plant.quiet():
        check_events(plant)

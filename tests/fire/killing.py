"""The rounds of killing, from one seed: who dies, after how much progress, and who dies with whom."""

from __future__ import annotations

from collections.abc import Callable
from random import Random, SystemRandom
from time import sleep

from tests.fire.checking import check_plant
from tests.fire.plant import Plant, until

VICTIMS = ("ingest", "seal", "deliver", "project", "witness", "pipeline", "code-review", "postgres", "kafka")
PROGRESS_EVENTS_MAX = 30
LINGER_SECONDS_MAX = 0.25


def new_seed() -> int:
    """A seed that nobody chose."""
    return SystemRandom().randrange(2**32)


def kill_round(
    plant: Plant, victims: list[str], chance: Random, check: Callable[[Plant], object] = check_plant
) -> None:
    """Kill each of them at an instant of its own, wait until the plant came to rest, and check it.

    The instant is so many events after the last, plus a moment: the seed says which, the machine says where that is.
    """
    for victim in victims:
        wanted = plant.receipts() + chance.randint(1, PROGRESS_EVENTS_MAX)
        until(lambda wanted=wanted: plant.receipts() >= wanted, f"progress before {victim} is killed", plant)
        sleep(chance.random() * LINGER_SECONDS_MAX)
        plant.kill(victim)
        plant.note(f"{victim} was killed")
    with plant.quiet():
        check(plant)


def everybody(chance: Random) -> list[str]:
    """Each victim once, in an order of the seed's."""
    return chance.sample(VICTIMS, len(VICTIMS))


def some(chance: Random, count: int) -> list[str]:
    """So many victims, some perhaps again and again."""
    return chance.choices(VICTIMS, k=count)

"""The plant under fire for as long as one likes: rounds of kills, a broker that is away for minutes, and everything checked.

    SOAK_MINUTES=30 FIRE_SEED=12345 make soak

Without a seed a new one is taken; it is printed, and it says who dies in which round and after how much progress.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from tests.fire.checking import check_plant
from tests.fire.killing import everybody, kill_round, new_seed, some
from tests.fire.plant import Plant
from tests.fire.test_away import broker_away

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
AWAY_SECONDS = 180.0
KILLS_A_ROUND = 6


@pytest.mark.timeout(0)
def test_rounds_of_fire_lose_and_double_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("FIRE_SEED") or new_seed())
    chance, end, rounds = Random(seed), monotonic() + 60 * MINUTES, 0
    with capsys.disabled(), Plant(tmp_path / "home", pause_seconds=0.1) as plant:
        print(f"\nFIRE_SEED={seed} SOAK_MINUTES={MINUTES:g}", flush=True)
        while monotonic() < end or rounds == 0:
            rounds += 1
            victims = everybody(chance) if rounds % 3 == 1 else some(chance, KILLS_A_ROUND)
            plant.note(f"round {rounds}: {' '.join(victims)}")
            kill_round(plant, victims, chance)
        plant.note(f"{rounds} rounds passed; the broker goes away for {AWAY_SECONDS:g} s")
        broker_away(plant, 1, seconds=AWAY_SECONDS)
        with plant.quiet():
            events = check_plant(plant)
        plant.note(f"seed {seed}: {rounds} rounds, {len(events):,} events, each exactly once")

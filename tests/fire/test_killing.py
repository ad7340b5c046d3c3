"""kill -9 of everything that runs, at random instants, while authors record: exactly once, all the same."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.fire.checking import check_events
from tests.fire.killing import everybody, kill_round, new_seed, some
from tests.fire.parts import ROOT
from tests.fire.plant import Plant

FIXED_SEED = 20261126
RANDOM_KILLS = 3


def test_each_part_may_be_killed_once_and_nothing_is_lost_or_doubled(plant: Plant) -> None:
    """What this could do to the read models or the published files would still be there after the next test's check."""
    chance = Random(FIXED_SEED)
    kill_round(plant, everybody(chance), chance, check_events)


def test_kills_that_nobody_chose_lose_and_double_nothing(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("FIRE_SEED") or new_seed())
    with capsys.disabled():
        print(f"\nFIRE_SEED={seed} python -m pytest {Path(__file__).relative_to(ROOT)}")
    chance = Random(seed)
    kill_round(plant, some(chance, RANDOM_KILLS), chance)

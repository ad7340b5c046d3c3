"""A simulated world comes to rest with everything in it that was said, whatever happened on the way.

SIMULATION_SEED gives the one fresh seed; without it chance does. Every seed is printed (`-s` shows it), and a failure names
the command that replays it. `make soak` runs the same for as long as one likes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.simulation.real import RealDatabase
from tests.simulation.run import Run, shrink, simulate

STEPS = 1200
SEEDS = (10, 28, 110, 151, 7001, 7005, 7006)
ROOT = Path(__file__).parents[2]


def demand_sound(run: Run) -> None:
    print(f"seed {run.seed}, {run.steps} steps, digest {run.digest[:16]}: {run.temper}")
    assert run.failure is None, shrink(run).story()


def fresh_seed() -> int:
    return int(os.environ.get("SIMULATION_SEED") or secrets.randbelow(2**32))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_invented_whatever_fails(seed: int) -> None:
    demand_sound(simulate(seed, STEPS))


def test_nothing_is_lost_doubled_or_invented_under_a_seed_that_nobody_chose() -> None:
    demand_sound(simulate(fresh_seed(), STEPS))


def test_a_real_database_leads_to_the_same_run_as_the_one_in_memory(database: Database) -> None:
    seed = 28
    real = simulate(seed, STEPS // 4, database=lambda: RealDatabase(database))
    demand_sound(real)
    assert real.digest == simulate(seed, STEPS // 4).digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_is_the_same_run_to_the_byte_in_every_process(hash_seed: str) -> None:
    here = simulate(110, 300)
    demand_sound(here)
    command = [sys.executable, "-m", "tests.simulation.run", "110", "--steps", "300"]
    there = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    ).stdout
    assert f"digest {here.digest[:16]}:" in there


def test_seeds_lead_to_different_runs() -> None:
    assert len({simulate(seed, 50).digest for seed in range(3)}) == 3

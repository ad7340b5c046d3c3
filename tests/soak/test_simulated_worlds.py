"""One simulated world after the other, for SOAK_MINUTES (10 unless set), each longer than in `make test`.

SIMULATION_SEED gives the first seed, the next ones count on; without it chance does. Now and then a seed runs on a real
database as well, and must come out the same to the byte.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from pathlib import Path

import psycopg
from tenuto.embedded import EmbeddedPostgres

from tests.conftest import TEMPLATE, Database
from tests.simulation.real import RealDatabase
from tests.simulation.run import Run, shrink, simulate

STEPS = 3000
REAL_EVERY, REAL_STEPS = 20, 400
SAY_SECONDS = 30.0


def minutes() -> float:
    return float(os.environ.get("SOAK_MINUTES") or 10)


def demand_sound(run: Run) -> None:
    assert run.failure is None, shrink(run).story()


def on_a_real_database(server: EmbeddedPostgres, seed: int) -> Run:
    name = f"soak_{seed}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            return simulate(seed, REAL_STEPS, database=lambda: RealDatabase(Database(server, name)))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_worlds_come_to_rest_for_as_long_as_one_likes(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    seed = first = int(os.environ.get("SIMULATION_SEED") or secrets.randbelow(2**32))
    begun, counts, writes, steps, said = time.monotonic(), Counter[str](), Counter[str](), 0, 0.0
    while (spent := time.monotonic() - begun) < 60 * minutes() or seed == first:
        run = simulate(seed, STEPS)
        demand_sound(run)
        counts.update(run.counts)
        writes.update(run.writes)
        steps += run.steps
        if (seed - first) % REAL_EVERY == 0:
            real = on_a_real_database(postgres, seed)
            demand_sound(real)
            assert real.digest == simulate(seed, REAL_STEPS).digest, f"seed {seed} is another run on a real database"
        if spent - said > SAY_SECONDS:
            said = spent
            print(f"{spent:6.0f} s: seeds {first} to {seed}, {steps:,} steps, {steps / spent:,.0f} a second", flush=True)
        seed += 1
    spent = time.monotonic() - begun
    print(f"seeds {first} to {seed - 1}: {steps:,} steps in {spent:.0f} s, {steps / spent:,.0f} a second")
    print("exercised: " + ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())))
    print("written: " + ", ".join(f"{count:,} {name}" for name, count in writes.most_common(40)))

"""`python -m benchmarks.run [--quick | --memory] [--json FILE]`: one run, one machine, every figure beside its baseline."""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.running import collect_rarely

from . import arms, freshness, memory, report, sides, walking
from .arms import Arm, Lap
from .plant import Plant, open_plant

ROAD = "road, with payloads"
BARE = "road, without payloads"
SHEAVES = "road, in sheaves of 10, with payloads"
SHEAVES_BARE = "road, in sheaves of 10, without payloads"
ROAD_TWICE = "road, with payloads, two processes"
SHEAVES_TWICE = "road, in sheaves of 10, bare, two processes"
ONLY_VERIFY = "signatures alone, one core"
LIBRARY = "eventsourcing recorder, unsigned, 500"
COPY = "plain COPY"
WALK = "verify"
WALK_PAYLOADS = "verify, payloads opened"
HASHES = "verify, hashes only"
SHA256 = "plain SHA-256 of the same entries"
PAIRS: dict[tuple[str, str], float | None] = {
    (ROAD, ONLY_VERIFY): 0.8,
    (ROAD_TWICE, ONLY_VERIFY): 0.8,
    (BARE, ONLY_VERIFY): None,
    (SHEAVES_BARE, LIBRARY): 2.0,
    (SHEAVES_TWICE, LIBRARY): 2.0,
    (SHEAVES, LIBRARY): None,
    (ROAD, LIBRARY): None,
    (BARE, LIBRARY): None,
    (ROAD, COPY): None,
    (LIBRARY, COPY): None,
    (HASHES, SHA256): 0.5,
}
"""Which ratios are shown, and the least that each should be, where there is one."""
SHEAF_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. events: of each arm. rounds: counted ones; one more before them warms up.

    rounds_seconds: no further round begins after so long, since a busy machine may be several times slower.
    """

    events: int
    rounds: int
    rounds_seconds: float
    live_seconds: float


FULL = Plan(events=24_000, rounds=6, rounds_seconds=120.0, live_seconds=10.0)
QUICK = Plan(events=8_000, rounds=2, rounds_seconds=15.0, live_seconds=3.0)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Fewer events and rounds, under a minute; too few for reading ahead to show.")
    parser.add_argument("--memory", action="store_true", help="Measure what memory does instead, over millions of events; three quarters of an hour.")
    parser.add_argument("--events", type=int, default=memory.EVENTS, help="With --memory: how many.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures there as well.")
    parser.add_argument("--seed", type=int, default=1, help="Orders the arms.")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.ERROR)
    if arguments.memory:
        kept = memory.measure_all(arguments.events)
        about = report.machine()
        finish(arguments.json, {"machine": about, "memory": kept}, "\n".join([*report.headline(about), "", memory.table(kept)]))
        return
    plan = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="tenuto-benchmark-") as folder, open_plant(Path(folder) / "home") as plant:
        figures = measure(plant, plan, arguments.seed)
    finish(arguments.json, figures, report.table(figures))


def finish(file: Path | None, figures: Mapping[str, Any], table: str) -> None:
    """Print the table, and write the figures where they were asked for."""
    print(table)
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n")


def measure(plant: Plant, plan: Plan, seed: int) -> dict[str, Any]:
    """Measure everything and return the figures."""
    about = report.machine()
    say("signing and publishing")
    with_payloads = plant.prepare("benchmark.payloads", plan.events, payloads=True)
    plant.prepare("benchmark.bare", plan.events, payloads=False)
    plant.prepare("benchmark.sheaves", plan.events, payloads=True, sheaf=SHEAF_EVENTS)
    plant.prepare("benchmark.sheaves.bare", plan.events, payloads=False, sheaf=SHEAF_EVENTS)
    entries = walking.recorded(plant, "benchmark.payloads", plan.events)
    leaves = [entry.entry for entry in entries]
    collect_rarely()  # as the process of ingest does; it serves the other arms as well
    laps = interleaved(
        {
            ROAD: arms.road(plant, "benchmark.payloads", plan.events),
            BARE: arms.road(plant, "benchmark.bare", plan.events),
            SHEAVES: arms.road(plant, "benchmark.sheaves", plan.events),
            SHEAVES_BARE: arms.road(plant, "benchmark.sheaves.bare", plan.events),
            ROAD_TWICE: sides.road_side_by_side(plant, "benchmark.payloads", plan.events),
            SHEAVES_TWICE: sides.road_side_by_side(plant, "benchmark.sheaves.bare", plan.events),
            ONLY_VERIFY: arms.only_verify(plant, with_payloads),
            LIBRARY: arms.recorder_of_the_library(plant, with_payloads),
            COPY: arms.copy(plant, with_payloads),
            WALK: walking.walk(plant, entries, payloads=False),
            WALK_PAYLOADS: walking.walk(plant, entries, payloads=True),
            HASHES: walking.hash_only(leaves),
            SHA256: walking.plain_hashes(leaves),
        },
        plan,
        random.Random(seed),
    )
    half = statistics.median(lap.rate for lap in laps[ROAD]) / 2
    say(f"waiting for checkpoints at {half:,.0f} events/s")
    waits = freshness.measure(plant, half, plan.live_seconds)
    return {
        "machine": about,
        "events": plan.events,
        "rounds": len(laps[ROAD]),
        "seed": seed,
        "rates": report.rates(laps),
        "ratios": report.ratios(laps, PAIRS),
        "freshness": report.freshness(waits),
    }


def interleaved(measured: Mapping[str, Arm], plan: Plan, order: random.Random) -> dict[str, list[Lap]]:
    """Run every arm once a round, each round in another order; the first round warms up and does not count."""
    laps: dict[str, list[Lap]] = {name: [] for name in measured}
    until = time.perf_counter() + plan.rounds_seconds
    for number in range(plan.rounds + 1):
        if number > 1 and time.perf_counter() > until:
            say(f"the machine is busy: {number - 1} rounds are enough")
            break
        say(f"round {number} of {plan.rounds}" if number else "warming up")
        names = list(measured)
        order.shuffle(names)
        for name in names:
            lap = measured[name]()
            if number:
                laps[name].append(lap)
    return laps


def say(sentence: str) -> None:
    """Tell the person who waits."""
    print(f"[{time.perf_counter() - STARTED:5.1f} s] {sentence}", file=sys.stderr)


STARTED = time.perf_counter()

if __name__ == "__main__":
    main()

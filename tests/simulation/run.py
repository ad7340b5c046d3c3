"""Run one seed, print what it was made of, and, when it fails, find fewer steps that fail in the same way.

    python -m tests.simulation.run 12345 --steps 400
    python -m tests.simulation.run 12345 --steps 400 --shrink
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulation.world import World

STEPS = 400
TRACE_LINES = 60


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one seed. `failure` is None, or the error with its traceback."""

    seed: int
    steps: int
    digest: str
    counts: dict[str, int]
    writes: dict[str, int]
    temper: str
    seconds: float
    failure: str | None
    trace: tuple[str, ...]

    def command(self) -> str:
        """The one command that replays it."""
        return f"python -m tests.simulation.run {self.seed} --steps {self.steps}"

    def story(self) -> str:
        """What to print when it failed."""
        last = "\n".join(self.trace[-TRACE_LINES:])
        return f"seed {self.seed}, {self.steps} steps: {self.temper}\n{last}\n{self.failure}\nReplay it: {self.command()}"


def simulate(seed: int, steps: int = STEPS, *, database: Callable[[], Any] | None = None) -> Run:
    """Run a world of this seed; never raises for what goes wrong in it."""
    home, begun, failure = Path(tempfile.mkdtemp(prefix="tenuto-simulation-")), time.monotonic(), None
    world = World(home, seed, database=None if database is None else database())
    digest = ""
    try:
        with world:
            try:
                world.run(steps)
                digest = world.digest()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failure = f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-6:])}"
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return Run(
        seed, steps, digest, dict(world.counts), dict(world.writes), str(world.temper), time.monotonic() - begun, failure,
        tuple(world.trace),
    )  # fmt: skip


def kind(failure: str | None) -> str:
    """What makes two failures the same: the first words of the error, without what changes from run to run."""
    return "" if failure is None else "".join(one for one in failure.splitlines()[0] if not one.isdigit())[:60]


def shrink(failed: Run) -> Run:
    """Find fewer steps of the same seed that fail in the same way: halve, then go back as long as it still fails."""
    best, low, high = failed, 0, failed.steps
    while low < high:
        middle = (low + high) // 2
        run = simulate(failed.seed, middle)
        if kind(run.failure) == kind(failed.failure):
            best, high = run, middle
        else:
            low = middle + 1
    return best


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description="Run one simulated world.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--shrink", action="store_true", help="when it fails, look for fewer steps that fail alike")
    parser.add_argument("--trace", action="store_true", help="print every step")
    asked = parser.parse_args()
    run = simulate(asked.seed, asked.steps)
    if run.failure is not None and asked.shrink:
        run = shrink(run)
    if asked.trace:
        print("\n".join(run.trace))
    if run.failure is not None:
        print(run.story())
        return 1
    print(f"seed {run.seed}, {run.steps} steps in {run.seconds:.1f} s, digest {run.digest[:16]}: {run.temper}")
    print("  " + ", ".join(f"{count} {name}" for name, count in sorted(run.counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

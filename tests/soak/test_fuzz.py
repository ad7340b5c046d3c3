"""The readers of `tests/fuzz`, for minutes instead of a moment, with other seeds each time: SOAK_MINUTES in all, 5 if unset.

A failure prints the seed; `spoiled(random.Random(seed), ...)` makes the same input again.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from pathlib import Path

import pytest

from tests.fuzz.folders import bundle_case, log_case
from tests.fuzz.inputs import TARGETS, Target
from tests.fuzz.mutating import spoiled

MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
SECONDS_EACH = 60 * MINUTES / (len(TARGETS) + 10)
INPUTS_AT_ONCE = 500

pytestmark = pytest.mark.timeout(120 + 60 * MINUTES)


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_spoiled_input_is_refused_or_says_the_same(target: Target) -> None:
    until, inputs = time.monotonic() + SECONDS_EACH, 0
    while time.monotonic() < until or inputs == 0:
        for _ in range(INPUTS_AT_ONCE):
            seed = secrets.randbits(64)
            chance = random.Random(seed)
            data = spoiled(chance, chance.choice(target.good), target.ways, rounds=6)
            try:
                target.demand(data)
            except BaseException as error:
                raise AssertionError(f"{target.name}, seed {seed}: {data!r}") from error
            inputs += 1
    print(f"{target.name}: {inputs:,} inputs")


@pytest.mark.parametrize("make", [bundle_case, log_case])
def test_no_byte_of_a_folder_can_become_another(tmp_path: Path, make) -> None:
    """Every byte of every file once, as far as the time goes, beginning at a place that is another each time."""
    case, chance = make(tmp_path), random.Random(secrets.randbits(64))
    places = [(file, place) for file in case.files() for place in range(file.stat().st_size)]
    chance.shuffle(places)
    until, looked = time.monotonic() + 5 * SECONDS_EACH, 0
    for file, place in places:
        data = file.read_bytes()
        file.write_bytes(data[:place] + bytes([data[place] ^ chance.randint(1, 255)]) + data[place + 1 :])
        accepted = case.demand(f"{file.name} byte {place}")
        assert not (accepted and case.decides(file, place)), f"{file.name} byte {place}"
        file.write_bytes(data)
        looked += 1
        if time.monotonic() > until:
            break
    print(f"{looked:,} of {len(places):,} bytes")

"""The verdicts of `tests/interop` on other signatures, proofs and notes each time: SOAK_MINUTES in all, 5 if unset.

A failure prints the seed.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable

import pytest

from tests.interop.edge_signatures import edges
from tests.interop.foreign import ForeignPrograms, built_programs, required
from tests.interop.test_ed25519_verdicts import STRICTER, demand_edges
from tests.interop.test_merkle_verdicts import claims_of_any_size, demand_consistencies, demand_inclusions
from tests.interop.test_note_verdicts import NOTES, demand_notes, inputs

MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
NOTE_BYTES_MAX = 4 * 1024**2  # a line of the foreign programs holds no more; we refuse far smaller ones

pytestmark = pytest.mark.timeout(600 + 60 * MINUTES)


@pytest.fixture(scope="module")
def programs() -> ForeignPrograms:
    return required(built_programs)


def signatures(programs: ForeignPrograms, seed: int) -> int:
    cases = list(edges(seed, 40))
    _, stricter = demand_edges(programs, cases)
    assert stricter <= STRICTER
    return len(cases)


def proofs(programs: ForeignPrograms, seed: int) -> int:
    inclusions, consistencies = claims_of_any_size(random.Random(seed), 150)
    demand_inclusions(programs, inclusions)
    demand_consistencies(programs, consistencies)
    return len(inclusions) + len(consistencies)


def notes(programs: ForeignPrograms, seed: int) -> int:
    given = [note for note in inputs(NOTES, seed, 3_000) if len(note) <= NOTE_BYTES_MAX]
    demand_notes(programs, given)
    return len(given)


@pytest.mark.parametrize("compare", [signatures, proofs, notes])
def test_the_verdicts_are_those_of_others(programs: ForeignPrograms, compare: Callable[[ForeignPrograms, int], int]) -> None:
    until, cases = time.monotonic() + 60 * MINUTES / 3, 0
    while time.monotonic() < until or cases == 0:
        seed = secrets.randbits(64)
        try:
            cases += compare(programs, seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
    print(f"{compare.__name__}: {cases:,} cases")

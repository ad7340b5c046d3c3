"""No reader of foreign bytes raises anything but Refused, reads two spellings as one, or accepts what was not signed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import TARGETS, Target
from tests.fuzz.mutating import spoiled

SPOILED = 1_200
HYPOTHESIS = settings(max_examples=40, deadline=None, database=None, derandomize=True)
each_target = pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])


def strategy_of(target: Target) -> st.SearchStrategy[bytes]:
    """Good input spoiled under hypothesis' control, so that it can look for the smallest that fails; and any bytes at all."""

    def spoil(chance: random.Random, data: bytes) -> bytes:
        return spoiled(chance, data, target.ways)

    return st.one_of(
        st.builds(spoil, st.randoms(use_true_random=False), st.sampled_from(list(target.good))),
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    )


@each_target
def test_good_input_is_accepted_as_it_is(target: Target) -> None:
    for data in target.good:
        assert target.demand(data)


@each_target
def test_spoiled_input_is_refused_or_says_the_same(target: Target) -> None:
    chance = random.Random(target.name)
    refused = 0
    for number in range(SPOILED):
        good = target.good[number % len(target.good)]
        refused += not target.demand(spoiled(chance, good, target.ways))
    assert refused > SPOILED // 10


@each_target
def test_hypothesis_finds_no_input_that_does_harm(target: Target) -> None:
    def harmless(data: bytes) -> None:
        target.demand(data)

    prepared: Any = given(strategy_of(target))(harmless)
    HYPOTHESIS(prepared)()


@each_target
def test_input_of_ten_million_bytes_is_refused(target: Target) -> None:
    """Of any kind; how soon is not measured, see `test_limits`."""
    good = max(target.good, key=len) or b"x"
    for data in (good * (10_000_000 // len(good)), b"\n" * 10_000_000, b"[" * 10_000_000, good + bytes(10_000_000)):
        if target.name not in BOUNDED_BY_THEIR_READER:
            assert target.demand(data) is False


BOUNDED_BY_THEIR_READER = {
    "entries", "entry", "base64", "document", "consistency file", "payload file", "manifest", "trust file",
    "checkpoint text", "witness request",
}  # fmt: skip

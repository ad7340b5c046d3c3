"""The foreign programs and vectors, once per run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from tenuto.embedded import PartMissing

from tests.interop.foreign import ForeignPrograms, built_programs
from tests.interop.vectors import wycheproof

Part = TypeVar("Part")


@pytest.fixture(scope="session")
def programs() -> ForeignPrograms:
    """The witness and the judges, built."""
    return required(built_programs)


@pytest.fixture(scope="session")
def wycheproof_ed25519() -> dict[str, Any]:
    """Wycheproof's vectors for Ed25519."""
    return required(lambda: wycheproof("ed25519_test.json"))


def required(part: Callable[[], Part]) -> Part:
    """Where it cannot be had, a local run skips and says so; CI fails, for there it must be."""
    try:
        return part()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"What we did not write is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))

"""The foreign programs and vectors, once per run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.foreign import BUILD_SECONDS_MAX, ForeignPrograms, built_programs, required
from tests.interop.vectors import wycheproof


@pytest.fixture(scope="session")
def programs() -> ForeignPrograms:
    """The witness and the judges, built."""
    return required(built_programs)


@pytest.fixture(scope="session")
def wycheproof_ed25519() -> dict[str, Any]:
    """Wycheproof's vectors for Ed25519."""
    return required(lambda: wycheproof("ed25519_test.json"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whichever test comes first waits for the build."""
    item.add_marker(pytest.mark.timeout(BUILD_SECONDS_MAX + 300))

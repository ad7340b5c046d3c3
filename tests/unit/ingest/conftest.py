"""A founded place for every test of ingest, where nobody waits for a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.ingest.place import Place


@pytest.fixture(scope="module", autouse=True)
def _no_waiting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenuto.ingest.IDLE_POLL_MS", 0)
        yield


@pytest.fixture
def place() -> Place:
    return Place()

"""One plant for all tests of this folder, in whatever state the one before left it; that is the point."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tenuto.embedded import PartMissing

from tests.fire.plant import Plant


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A running plant. Where no Apache Kafka can be had, a local run skips and says so; CI fails, for there it must be."""
    try:
        running = Plant(tmp_path_factory.mktemp("fire") / "home").__enter__()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required in CI: {missing}", pytrace=False)
        pytest.skip(f"No Apache Kafka on this machine: {missing}")
    yield running
    running.__exit__()

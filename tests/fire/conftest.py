"""One plant for all tests of this folder, in whatever state the one before left it; that is the point."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tenuto.embedded import PartMissing

from tests.fire.plant import Plant

HERE = Path(__file__).parent
_running: list[Plant] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """The plant is at work all the time, so it ends with its last test and not with the whole run."""
    ended = yield
    if nextitem is None or HERE not in nextitem.path.parents:
        while _running:
            _running.pop().__exit__()
    return ended


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A running plant. Where no Apache Kafka can be had, a local run skips and says so; CI fails, for there it must be."""
    try:
        running = Plant(tmp_path_factory.mktemp("fire") / "home").__enter__()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required in CI: {missing}", pytrace=False)
        pytest.skip(f"No Apache Kafka on this machine: {missing}")
    _running.append(running)
    yield running
    running.__exit__()

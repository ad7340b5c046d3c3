"""One container range for all tests here; where it cannot be had, a local run skips and says so, and CI fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tenuto_agents.attacks.container_range import ContainerRange
from tenuto_agents.attacks.scenario import Lacking

from tests.containers.stand import Stand


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerRange]:
    """Registry, keys, base image and world, for the whole run."""
    with ExitStack() as stack:
        try:
            ground = stack.enter_context(ContainerRange(tmp_path_factory.mktemp("containers")))
        except Lacking as lacking:
            if os.environ.get("CI") == "true":
                pytest.fail(f"Containers are required in CI: {lacking}", pytrace=False)
            pytest.skip(f"No containers here: {lacking}")
        yield ground


@pytest.fixture
def stand(ground: ContainerRange, tmp_path: Path) -> Iterator[Stand]:
    """One service on that ground, empty at the beginning and at the end."""
    made = Stand(ground, tmp_path)
    try:
        yield made
    finally:
        made.clear()

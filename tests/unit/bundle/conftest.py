"""One world with two runs, and a bundle of the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bundle.world import World, two_runs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return two_runs(tmp_path)

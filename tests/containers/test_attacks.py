"""The red team's attacks on images and releases, on the whole road: each is held, and the ledger shows by what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto_agents.attacks.catalogue import SCENARIOS
from tenuto_agents.attacks.container_range import ContainerRange
from tenuto_agents.attacks.exercise import exercise
from tenuto_agents.attacks.ground import Ground

from tests.conftest import Database
from tests.road import Road


@pytest.fixture
def red_ground(tmp_path: Path, database: Database, ground: ContainerRange) -> Iterator[Ground]:
    """A road, and the red team on it; `ground` skips where this machine has no containers."""
    with Road(tmp_path / "home", database) as road, road.working(), Ground(road.settings, tmp_path / "red") as opened:
        yield opened


def test_attacks_on_images_and_releases_are_held_with_evidence_in_the_ledger(red_ground: Ground) -> None:
    expected = {
        "image-copied-signature": {"M15"}, "burnt-bridge": {"R4"}, "release-calls-home": {"M17", "M22", "R4"},
        "release-sickens": {"M18", "R4"},
    }  # fmt: skip
    for name, controls in expected.items():
        report = exercise(SCENARIOS[name], red_ground)
        assert (name, report.verdict, report.lacking) == (name, "held", ()), report.seen
        assert set(report.held) == controls
    stages = [one.event.stage for one in red_ground.since() if one.event.kind == "deployment.quarantined"]
    assert stages == ["isolated", "preserved", "ended"], "the order is the ledger's"

"""The red team's attacks on images and releases, on the whole road: each is held, and the ledger shows by what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto_agents.attacks import releases
from tenuto_agents.attacks.catalogue import SCENARIOS
from tenuto_agents.attacks.container_range import ContainerRange
from tenuto_agents.attacks.exercise import exercise
from tenuto_agents.attacks.ground import Ground
from tenuto_agents.containers import network, registry

from tests.conftest import Database
from tests.road import Road


@pytest.fixture
def red_ground(tmp_path: Path, database: Database, ground: ContainerRange) -> Iterator[Ground]:
    """A road, and the red team on it; `ground` skips where this machine has no containers."""
    with Road(tmp_path / "home", database) as road, road.working(), Ground(road.settings, tmp_path / "red") as opened:
        yield opened


def test_attacks_on_images_and_releases_are_held_with_evidence_in_the_ledger(red_ground: Ground) -> None:
    expected = {
        "image-copied-signature": {"M15"}, "burnt-bridge": {"R4"}, "release-sickens": {"M18", "R4"},
        "release-calls-home": {"M17", "M22", "R4"},
    }  # fmt: skip
    for name, controls in expected.items():
        report = exercise(SCENARIOS[name], red_ground)
        assert (name, report.verdict, report.lacking) == (name, "held", ()), report.seen
        assert set(report.held) == controls
    stages = [one.event.stage for one in red_ground.since() if one.event.kind == "deployment.quarantined"]
    assert stages == ["isolated", "preserved", "ended"], "the order is the ledger's"


def test_without_the_policy_and_without_the_allow_list_the_attacks_reach_their_goals(
    red_ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controls switched off: the same attacks, broken."""
    monkeypatch.setattr(registry, "pull_policy", lambda site: {"default": [{"type": "insecureAcceptAnything"}]})
    assert exercise(SCENARIOS["image-unsigned"], red_ground).verdict == "broken"
    monkeypatch.setattr(network, "_rules", lambda allowed: f"table inet {network.TABLE} {{ }}")
    monkeypatch.setattr(releases, "DETECTED_SECONDS_MAX", 5.0)
    report = exercise(SCENARIOS["release-calls-home"], red_ground)
    assert (report.verdict, report.seen) == ("broken", "The control server heard b'stolen\\n'.")


def test_what_even_an_honest_image_cannot_do_here_is_not_counted_as_held(red_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "storage_driver", lambda: "no-such-driver")
    report = exercise(SCENARIOS["image-unsigned"], red_ground)
    assert (report.verdict, report.held) == ("not_run", ())
    assert "A signed image cannot be pulled on this machine" in report.lacking[0]

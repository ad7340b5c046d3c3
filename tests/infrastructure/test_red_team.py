"""The red team's attacks on state and plans, on the real road: each is held, with its evidence in the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tenuto_agents.attacks import plans, states
from tenuto_agents.attacks.exercise import exercise
from tenuto_agents.attacks.ground import Ground
from tenuto_agents.attacks.scenario import Scenario

from tests.conftest import Database
from tests.road import Road
from tests.unit.agents.terraform_here import terraform_or_skip

# kafka-python leaves sockets of connections that it gave up for the garbage collector, which a busy machine makes it do.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def ground(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Road(tmp_path_factory.mktemp("road"), database) as road:
        with road.working():
            road.register()
            with Ground(road.settings, tmp_path_factory.mktemp("range") / "scratch") as made:
                yield made


def held(ground: Ground, scenarios: tuple[Scenario, ...]) -> None:
    for scenario in scenarios:
        report = exercise(scenario, ground)
        assert (scenario.name, report.verdict) == (scenario.name, "held"), report.seen
        assert set(report.held) == set(scenario.refs[1:]) - {"M6"}
        assert report.event.evidence


def test_attacks_on_the_state_store_are_held(ground: Ground) -> None:
    held(ground, states.SCENARIOS)


def test_attacks_on_plans_are_held(ground: Ground) -> None:
    terraform_or_skip()
    held(ground, plans.SCENARIOS)

# ruff: noqa: F811 - fixtures are imported, and named again where a test takes them
"""What takes many plans of a real provider: the rule switched off, people asked for IAM, a second writer, attacks by hand."""

from __future__ import annotations

import pytest
from tenuto.events import AlertRaised, ApprovalRequested, DriftReverted
from tenuto_agents import stack as stacks
from tenuto_agents.attacks import drifting
from tenuto_agents.attacks.ground import Ground
from tenuto_agents.plan import PlanRefused
from tenuto_agents.reverting import RevertBraked
from tenuto_agents.terraform import TerraformFailed

from tests.infrastructure.cloud_site import ADDRESS, MAIN, MANY, OPEN, ROLE, CloudSite
from tests.infrastructure.conftest import cloud  # noqa: F401 - a fixture
from tests.infrastructure.parts import aws_archive
from tests.infrastructure.test_cloud import site, standing  # noqa: F401 - fixtures
from tests.infrastructure.test_red_team import ground, held  # noqa: F401 - a fixture, and how it is judged

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_without_the_rule_the_port_would_have_been_opened(site: CloudSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off: the fact is not read from the plan, so policy has nothing to deny."""
    monkeypatch.setattr(stacks, "world_open", lambda raw: ())
    site.change(MAIN + OPEN % "0.0.0.0/0")
    assert site.group("debug")
    monkeypatch.undo()
    site.change(MAIN)
    assert site.events(ApprovalRequested)[-1].quorum == 2, "a deletion takes one more"


def test_iam_and_public_addresses_are_for_people_and_five_hundred_things_for_nobody(site: CloudSite) -> None:
    with pytest.raises(PlanRefused, match="Split it"):
        site.change(MAIN + MANY % 501)
    assert site.applied() == 0
    site.change(MAIN + ROLE + ADDRESS)
    assert set(site.events(ApprovalRequested)[-1].risks) >= {"iam", "public_endpoint"}


def test_a_second_writer_is_not_fought_for_ever(site: CloudSite) -> None:
    site.open_port(31337)
    site.watch(revert=True, inventory=False)
    site.open_port(31337)
    done = len(site.events(DriftReverted))
    assert done >= 1
    with pytest.raises(RevertBraked, match="Somebody else"):
        site.watch(revert=True, inventory=False, reverts_max=done)
    assert len(site.events(DriftReverted)) == done
    assert 31337 in site.ports()
    assert site.events(AlertRaised)[-1].rule == "drift.fought_over"
    site.watch(revert=True, inventory=False, reverts_max=done + 1)
    assert 31337 not in site.ports()


def test_a_provider_that_is_not_on_the_list_is_not_fetched(site: CloudSite) -> None:
    with pytest.raises(TerraformFailed, match="init failed"):
        site.change(MAIN + 'resource "random_id" "a" {\n  byte_length = 4\n}\n')
    assert site.applied() == 0


def test_attacks_beside_terraform_are_found_and_taken_back(ground: Ground) -> None:
    aws_archive()
    held(ground, drifting.SCENARIOS)

"""Real plans of a real provider against a cloud's control plane: what policy denies, what people must see, and drift (M5, M6, M7, M20)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tenuto.errors import Busy
from tenuto.events import ApprovalRequested, DriftDetected, DriftReverted, PolicyDecided, ToolStarted
from tenuto.gate import ActionRefused
from tenuto_agents.inventory import AwsInventory
from tenuto_agents.provider import ProviderRefused

from tests.infrastructure.cloud_site import ADDRESS, MAIN, OPEN, CloudSite, rule
from tests.infrastructure.parts import Cloud
from tests.infrastructure.thief import insert_a_resource, write_state


@pytest.fixture(scope="module")
def standing(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudSite]:
    made = CloudSite(tmp_path_factory.mktemp("cloud-site"), cloud)
    with made.place.open():
        made.first()
        yield made


@pytest.fixture
def site(standing: CloudSite) -> CloudSite:
    standing.stand_back()
    return standing


def test_the_cloud_lets_in_only_who_may(cloud: Cloud) -> None:
    """Else every refusal below would be moto's indifference."""
    from botocore.exceptions import ClientError

    for environment in (cloud.reader, cloud.agent | {"AWS_SECRET_ACCESS_KEY": "wrong"}):
        with pytest.raises(ClientError):
            cloud.client("ec2", environment).create_vpc(CidrBlock="10.9.0.0/16")
    with pytest.raises(Busy, match="not whole"):
        AwsInventory(cloud.reader).listed()


def test_a_security_group_was_approved_by_people_before_it_was_made(site: CloudSite) -> None:
    asked = site.events(ApprovalRequested)[0]
    assert "security_group" in asked.risks
    assert site.ports() >= {443}


def test_a_plan_that_lets_the_internet_in_is_denied_and_nobody_is_asked(site: CloudSite) -> None:
    asked = len(site.events(ApprovalRequested))
    with pytest.raises(ActionRefused, match=r"plan\.open_to_world"):
        site.change(MAIN + OPEN % "0.0.0.0/1")
    assert len(site.events(ApprovalRequested)) == asked
    assert site.events(PolicyDecided)[-1].effect == "deny"
    assert site.applied() == 0



def test_a_resource_put_into_the_state_would_have_been_deleted_in_the_cloud(site: CloudSite) -> None:
    good = site.state()
    write_state(site, insert_a_resource)
    with pytest.raises(Exception, match="Somebody else wrote it"):
        site.change(site.repository.git("show", "HEAD:infra/main.tf") + "\n# another commit\n")
    assert site.applied() == 0
    site.heal(good)


def test_a_port_opened_by_hand_is_found_and_closed_again_by_a_plan_that_people_saw(site: CloudSite) -> None:
    assert site.watch(revert=False).count == 0, "what the provider writes differently is no drift"
    site.open_port(31337)
    found = site.watch(revert=True)
    assert [one.address for one in found.planned.changes] == ["aws_security_group.web"]
    assert 31337 not in site.ports()
    told, reverted = site.events(DriftDetected)[-1], site.events(DriftReverted)[-1]
    assert (told.stack, told.resources) == (site.stack, 1)
    assert reverted.digest == site.events(ToolStarted)[-1].digest
    assert set(reverted.refs) >= {"M20"}
    asked = site.events(ApprovalRequested)[-1]
    assert (asked.tool, asked.digest) == ("terraform.revert", reverted.digest)
    assert site.watch(revert=True).count == 0


def test_a_group_made_by_hand_is_invisible_to_terraform_and_found_by_the_inventory(site: CloudSite) -> None:
    made = site.outside.create_security_group(GroupName="rogue", Description="by hand")
    site.outside.authorize_security_group_ingress(GroupId=made["GroupId"], IpPermissions=[rule(4444)])
    try:
        assert site.watch(revert=False, inventory=False).count == 0, "the control switched off: Terraform sees nothing"
        found = site.watch(revert=True)
        assert [(one.type, one.id, one.name) for one in found.unmanaged] == [("aws_security_group", made["GroupId"], "rogue")]
        assert site.events(DriftDetected)[-1].resources == 1
        assert site.applied() == 0, "what nobody here manages is told and left alone"
    finally:
        site.outside.delete_security_group(GroupId=made["GroupId"])



def test_a_provider_with_another_hash_is_not_started(site: CloudSite) -> None:
    assert site.provider is not None
    honest = site.provider
    site.provider = replace(honest, sha256="0" * 64)
    try:
        with pytest.raises(ProviderRefused, match="the list of providers says"):
            site.change(MAIN + ADDRESS)
    finally:
        site.provider = honest
    assert site.applied() == 0

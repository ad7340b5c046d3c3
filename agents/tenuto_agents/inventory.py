"""What the cloud says is there, whoever made it; for what Terraform cannot see, which is all that it does not manage (M7).

A security group that somebody makes by hand is in no state, so no plan shows it. The inventory lists the kinds of things
that open doors, and what is in no state of ours is unmanaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tenuto.errors import Busy, NotConfigured

_SERVICE_ROLES = "/aws-service-role/"


@dataclass(frozen=True, slots=True, order=True)
class Listed:
    """One thing in the cloud: Terraform's type for it, the id that Terraform's state would have, and its name for people."""

    type: str
    id: str
    name: str


class Inventory(Protocol):
    """A listing of one account and region."""

    def listed(self) -> list[Listed]:
        """Return everything of the kinds that are looked for; raises Busy when the cloud does not answer whole."""
        ...


class AwsInventory:
    """Amazon Web Services, through boto3: security groups, networks, addresses, load balancers, machines, roles, policies."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` has the names that Amazon's own tools read, AWS_REGION, AWS_ACCESS_KEY_ID and so on."""
        try:
            import boto3
        except ImportError as missing:
            raise NotConfigured("The inventory needs boto3: install the extra `agents`.") from missing
        self._session = boto3.session.Session(
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
            region_name=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        )  # fmt: skip
        self._endpoint = environment.get("AWS_ENDPOINT_URL")

    def listed(self) -> list[Listed]:
        """See Inventory."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return sorted({*self._networks(), *self._machines(), *self._balancers(), *self._identities()})
        except (BotoCoreError, ClientError) as error:
            raise Busy(f"The cloud's inventory is not whole: {error}") from error

    def _networks(self) -> Iterator[Listed]:
        for group in self._pages("ec2", "describe_security_groups", "SecurityGroups"):
            if group["GroupName"] != "default":  # comes with every network and cannot be deleted
                yield Listed("aws_security_group", group["GroupId"], group["GroupName"])
        for network in self._pages("ec2", "describe_vpcs", "Vpcs"):
            if not network.get("IsDefault"):
                yield Listed("aws_vpc", network["VpcId"], network.get("CidrBlock", ""))

    def _machines(self) -> Iterator[Listed]:
        for address in self._client("ec2").describe_addresses()["Addresses"]:
            yield Listed("aws_eip", address["AllocationId"], address.get("PublicIp", ""))
        for reservation in self._pages("ec2", "describe_instances", "Reservations"):
            for machine in reservation["Instances"]:
                if machine["State"]["Name"] != "terminated":
                    yield Listed("aws_instance", machine["InstanceId"], machine.get("PublicIpAddress", ""))

    def _balancers(self) -> Iterator[Listed]:
        for balancer in self._pages("elbv2", "describe_load_balancers", "LoadBalancers"):
            yield Listed("aws_lb", balancer["LoadBalancerArn"], balancer["LoadBalancerName"])

    def _identities(self) -> Iterator[Listed]:
        for role in self._pages("iam", "list_roles", "Roles"):
            if not role["Path"].startswith(_SERVICE_ROLES):
                yield Listed("aws_iam_role", role["RoleName"], role["RoleName"])
        for policy in self._pages("iam", "list_policies", "Policies", Scope="Local"):
            yield Listed("aws_iam_policy", policy["Arn"], policy["PolicyName"])

    def _pages(self, service: str, call: str, field: str, **asked: str) -> Iterator[dict[str, Any]]:
        for page in self._client(service).get_paginator(call).paginate(**asked):
            yield from page[field]

    def _client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._endpoint)


def managed(states: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """Return type and id of everything that these Terraform states manage."""
    found = set()
    for state in states:
        for resource in state.get("resources", []):
            if resource.get("mode") == "managed":
                for instance in resource.get("instances", []):
                    found.add((str(resource["type"]), str((instance.get("attributes") or {}).get("id", ""))))
    return frozenset(found)


def unmanaged(listed: Iterable[Listed], states: Iterable[Mapping[str, Any]]) -> tuple[Listed, ...]:
    """Return what is there and in no state."""
    known = managed(states)
    return tuple(one for one in listed if (one.type, one.id) not in known)

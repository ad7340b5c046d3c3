"""A stack in a cloud: the AWS provider by its hash, moto behind it with its access checks on."""

from __future__ import annotations

from pathlib import Path

from tenuto_agents.drift import Drift
from tenuto_agents.inventory import AwsInventory
from tenuto_agents.provider import Provider
from tenuto_agents.reverting import DriftWatch, drift_run
from tenuto_agents.task import StopRequest, Task

from tests.infrastructure.parts import AWS_SHA256, Cloud, aws_archive
from tests.infrastructure.site import Site

CONFIGURATION = """
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
MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
}
resource "aws_security_group" "web" {
  name   = "web"
  vpc_id = aws_vpc.main.id
  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8"]
  }
}
"""
OPEN = """
resource "aws_security_group" "debug" {
  name   = "debug"
  vpc_id = aws_vpc.main.id
  ingress {
    from_port   = 8443
    to_port     = 8443
    protocol    = "tcp"
    cidr_blocks = ["%s"]
  }
}
"""
ROLE = """
resource "aws_iam_role" "deploy" {
  name               = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
"""
ADDRESS = """
resource "aws_eip" "front" {
  vpc = true
}
"""
MANY = """
resource "aws_eip" "front" {
  count = %d
  vpc   = true
}
"""


def provider_of(cloud: Cloud, environment: dict[str, str] | None = None) -> Provider:
    configuration = CONFIGURATION % {"at": cloud.address}
    return Provider("hashicorp/aws", aws_archive(), AWS_SHA256, configuration, environment or cloud.agent)


class CloudSite(Site):
    """The stack, the cloud, and the eyes of the drift watch."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        super().__init__(folder, MAIN, provider=provider_of(cloud))
        self.cloud = cloud
        self.outside = cloud.client("ec2", cloud.outsider)

    def watch(self, *, revert: bool, inventory: bool = True, reverts_max: int = 3) -> Drift:
        """Look once; raises what stops it."""
        eyes = AwsInventory(self.cloud.agent) if inventory else None
        watch = DriftWatch(self.agent(), self.terraform, eyes, reverts_max=reverts_max)
        (watched,) = watch.watched(self.task("drift"))
        return watch.check(self.task(drift_run(self.stack)), watched, [], revert=revert)

    def task(self, run: str) -> Task:
        return Task(self.road, self.gate, run, (), StopRequest())

    def group(self, name: str = "web") -> str:
        """The id of a security group."""
        found = self.outside.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])
        return str(found["SecurityGroups"][0]["GroupId"])

    def open_port(self, port: int) -> None:
        """What somebody does by hand, beside Terraform."""
        self.outside.authorize_security_group_ingress(GroupId=self.group(), IpPermissions=[rule(port)])

    def ports(self) -> set[int]:
        """Which ports the group opens."""
        found = self.outside.describe_security_groups(GroupIds=[self.group()])["SecurityGroups"][0]
        return {one["FromPort"] for one in found["IpPermissions"]}


def rule(port: int) -> dict[str, object]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}

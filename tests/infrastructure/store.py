"""A state store in this process, over real HTTP, with everything that it puts on record in a list."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenuto.errors import Busy
from tenuto_agents.statestore.credentials import STEP_SECONDS, Credentials, code_at
from tenuto_agents.statestore.door import Door
from tenuto_agents.statestore.keyports import KeyPort, LocalKey
from tenuto_agents.statestore.protocol import serving
from tenuto_agents.statestore.versions import States

from tests.doubles import StoppedClock

LINEAGE = "11111111-2222-3333-4444-555555555555"
SECRET = "planted-secret-7f3a"


class Listed:
    """A journal that is a list; `away` is a spool that takes nothing."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.away = False

    def record(self, kind: Any, **fields: Any) -> Any:
        if self.away:
            raise Busy("The spool is full.")
        self.events.append((str(kind.__struct_config__.tag), fields))


class Place:
    """The store with an agent `infrastructure` and a person `mara`."""

    def __init__(self, folder: Path, port: KeyPort | None = None, *, states: type[States] = States, journal: Any = None) -> None:
        self.folder, self.clock, self.journal = folder, StoppedClock(), journal or Listed()
        self.port = port or LocalKey(folder / "keys" / "state-key")
        self.credentials = Credentials(folder / "credentials.json", self.port, self.clock)
        self.token, _ = self.credentials.grant("infrastructure", "agent", ("read", "write"))
        self.persons_token, seed = self.credentials.grant("mara", "person", ("read", "write"))
        self.seed = base64.b32decode(seed)
        self.states = states(folder / "states", self.port, self.clock)
        self.door = Door(self.states, self.credentials, self.journal)
        self.address = ""

    @contextmanager
    def open(self) -> Iterator[str]:
        with serving(self.door) as self.address:
            yield self.address

    def code(self) -> str:
        """The one-time code of now; the clock then moves on, so that the next is another."""
        self.clock.advance(STEP_SECONDS)
        return code_at(self.seed, int(self.clock.now().timestamp()) // STEP_SECONDS)

    def ask(
        self, method: str, path: str, body: bytes = b"", *, user: str = "infrastructure", token: str | None = None,
        **headers: str,
    ) -> tuple[int, bytes]:
        own = {"infrastructure": self.token, "mara": self.persons_token}.get(user, "")
        proof = base64.b64encode(f"{user}:{own if token is None else token}".encode()).decode()
        sent = {"Authorization": f"Basic {proof}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST" and "Content-MD5" not in sent:
            sent["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def lock(self, identity: str = "lock-1", **how: Any) -> tuple[int, bytes]:
        return self.ask("LOCK", "/states/shop", lock_of(identity), **how)

    def unlock(self, identity: str = "lock-1", **how: Any) -> tuple[int, bytes]:
        return self.ask("UNLOCK", "/states/shop", lock_of(identity), **how)

    def write(self, serial: int, identity: str = "lock-1", *, lineage: str = LINEAGE, **how: Any) -> tuple[int, bytes]:
        body = how.pop("body", None) or state(serial, lineage)
        return self.ask("POST", f"/states/shop?ID={identity}", body, **how)

    def written(self, serial: int) -> bytes:
        """Write a version as Terraform does, and return it."""
        assert self.lock(f"lock-{serial}")[0] == 200
        assert self.write(serial, f"lock-{serial}")[0] == 200
        assert self.unlock(f"lock-{serial}")[0] == 200
        return state(serial)

    def refusals(self) -> list[tuple[str, str | None, str]]:
        return [(fields["operation"], fields["principal"], fields["reason"])
                for kind, fields in self.journal.events if kind == "state.refused"]  # fmt: skip


def state(serial: int, lineage: str = LINEAGE) -> bytes:
    """A state with a secret in it, as Terraform writes it: in clear."""
    outputs = {"password": {"value": SECRET, "type": "string", "sensitive": True}}
    document = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage, "outputs": outputs, "resources": []}
    return json.dumps(document).encode()


def lock_of(identity: str) -> bytes:
    return json.dumps({"ID": identity, "Operation": "OperationTypeApply", "Who": "agent@host", "Version": "1.11.4"}).encode()

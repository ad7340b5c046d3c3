"""Where the state of a stack lies: a file under this home, or the state store; what the agent reads of it, and how.

The agent looks at the bytes itself and computes their digest, so it need not believe what a store says about them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Protocol

from tenuto.errors import Refused

from .statestore.versions import read_state
from .statestore.visiting import Snapshot, StateAddress, StateStore

STATE_FILE = "terraform.tfstate"


class StateMoved(Refused):
    """Somebody else wrote to the state while we worked with it; what is there is not ours to vouch for (T8)."""

    reason = "state_moved"


class StateHome(Protocol):
    """One state. `name` is how events name it."""

    @property
    def name(self) -> str:
        """Lower case, at most 64 characters."""
        ...

    def read(self) -> Snapshot | None:
        """Return the state as it is now, None where there is none; raises Busy, Refused."""
        ...

    def read_after(self, before: Snapshot | None) -> Snapshot | None:
        """Return what one apply left since `before`; raises StateMoved when more than one writer wrote since."""
        ...

    def find(self, digest: str) -> Snapshot | None:
        """Return the version with this digest, None where it is not kept any more."""
        ...

    def backend(self) -> str:
        """The backend block that Terraform works with, without secrets."""
        ...

    def environment(self) -> dict[str, str]:
        """What the backend needs besides, for Terraform's environment alone."""
        ...


class LocalState:
    """A file, as it suits one machine and one user."""

    def __init__(self, name: str, file: Path) -> None:
        """`file` is made by the first apply."""
        self.name, self._file = name, file.resolve()

    def read(self) -> Snapshot | None:
        """See StateHome."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return None
        serial, lineage = read_state(content)
        return Snapshot(content, hashlib.sha256(content).hexdigest(), serial, lineage)

    def read_after(self, before: Snapshot | None) -> Snapshot | None:
        """See StateHome; a file does not tell its writers apart, so this sees the lineage alone."""
        now = self.read()
        if before is not None and (now is None or now.lineage != before.lineage):
            raise StateMoved(f"The state {self.name} is another one now than before the apply.")
        return now

    def find(self, digest: str) -> Snapshot | None:
        """See StateHome; a file has its newest version alone."""
        now = self.read()
        return now if now is not None and now.digest == digest else None

    def backend(self) -> str:
        """See StateHome."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return f'terraform {{\n  backend "local" {{\n    path = {json.dumps(str(self._file))}\n  }}\n}}\n'

    def environment(self) -> dict[str, str]:
        """See StateHome."""
        return {}


class StoredState:
    """A state in the state store, over Terraform's HTTP backend."""

    def __init__(self, address: StateAddress) -> None:
        """`address` says where, as whom, and with which token."""
        self.name, self._address, self._store = address.name, address, StateStore(address)

    def read(self) -> Snapshot | None:
        """See StateHome."""
        return self._store.read()

    def read_after(self, before: Snapshot | None) -> Snapshot | None:
        """See StateHome: all versions since must have come under one lock, or another writer was among them."""
        known = [facts for facts in self._store.versions() if before is None or facts.serial > before.serial]
        if len({(facts.lock, facts.principal) for facts in known}) > 1:
            writers = ", ".join(sorted({facts.principal for facts in known}))
            raise StateMoved(f"The state {self.name} was written under more than one lock during the apply, by {writers}.")
        now = self._store.read()
        if known and (now is None or now.digest != known[-1].digest):
            raise StateMoved(f"The state {self.name} was written again after the apply.")
        return now

    def find(self, digest: str) -> Snapshot | None:
        """See StateHome."""
        number = next((facts.version for facts in self._store.versions() if facts.digest == digest), None)
        return None if number is None else self._store.read(version=number)

    def backend(self) -> str:
        """See StateHome; address and credentials come by the environment, so no file holds them."""
        return 'terraform {\n  backend "http" {}\n}\n'

    def environment(self) -> dict[str, str]:
        """See StateHome."""
        url = self._address.url
        return {
            "TF_HTTP_ADDRESS": url, "TF_HTTP_LOCK_ADDRESS": url, "TF_HTTP_UNLOCK_ADDRESS": url, "TF_HTTP_RETRY_MAX": "0",
            "TF_HTTP_USERNAME": self._address.user, "TF_HTTP_PASSWORD": self._address.token,
        }  # fmt: skip

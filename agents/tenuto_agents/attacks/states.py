"""Attacks on infrastructure state (T8): with a stolen token at a real state store, and by poisoned state through a real plan.

The store and the stack are the range's own, in the range's folder; the code is the same that serves the working agents.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tenuto.events import StateRefused

from ..statestore.credentials import Credentials
from ..statestore.door import Door
from ..statestore.keyports import DISABLED_SUFFIX, LocalKey
from ..statestore.protocol import serving
from ..statestore.versions import States
from ..text import visible_line
from .ground import Ground
from .scenario import Scenario, Seen, Stop

RANGE_STORE, OWNER, STATE = "range-state", "range-agent", "range"
PLANTED = "planted-secret-of-the-range"
LINEAGE = "range-lineage"
EVIDENCE_SECONDS_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Store:
    """The range's store as it answers at `address`, with the token that was stolen from the agent."""

    ground: Ground
    address: str
    token: str
    credentials: Credentials
    folder: Path

    def ask(self, method: str, body: bytes = b"", *, lock: str = "") -> tuple[int, bytes]:
        """One request with the stolen token."""
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)
        proof = base64.b64encode(f"{OWNER}:{self.token}".encode()).decode()
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        try:
            path = f"/states/{STATE}" + (f"?ID={lock}" if lock else "")
            connection.request(method, path, body, {"Authorization": f"Basic {proof}", "Content-MD5": md5})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def write(self, serial: int, *, lineage: str = LINEAGE, lock: str = "lock-1") -> int:
        """Lock, write, unlock; return the status of the write."""
        self.ask("LOCK", _lock(lock))
        status, _ = self.ask("POST", _state(serial, lineage), lock=lock)
        self.ask("UNLOCK", _lock(lock))
        return status

    def stop(self, operation: str, reason: str, control: str, sentence: str) -> tuple[Stop, ...]:
        """Return the refusal as it stands in the ledger, or nothing when it does not come there."""
        found = self.ground.wait_for(
            lambda one: isinstance(one.event, StateRefused) and one.event.author == RANGE_STORE
            and (one.event.operation, one.event.reason) == (operation, reason), EVIDENCE_SECONDS_MAX,
        )  # fmt: skip
        return () if found is None else (Stop(control, sentence, (found.event.id,)),)


@contextmanager
def range_store(ground: Ground) -> Iterator[Store]:
    """Serve a state store of the range for the length of the block; what it has to say goes into the ledger."""
    ground.register_one(RANGE_STORE, "statekeeper")
    folder = ground.folder / "store"
    port = LocalKey(folder / "key")
    credentials = Credentials(folder / "credentials.json", port, ground.clock)
    token, _ = credentials.grant(OWNER, "agent", ("read", "write"))
    door = Door(States(folder / "states", port, ground.clock), credentials, ground.recorder(RANGE_STORE))
    with serving(door) as address:
        yield Store(ground, address, token, credentials, folder)


def revoked_token(ground: Ground) -> Seen:
    """Read state with a token that was stolen, and has been revoked since."""
    with range_store(ground) as store:
        store.write(1)
        store.credentials.revoke(OWNER)
        status, body = store.ask("GET")
        stops = store.stop("read", "credentials", "M30", "The store knows that the token was revoked, with the next request.")
    return Seen(PLANTED.encode() in body, f"The store answered {status}.", stops)


def forced_unlock(ground: Ground) -> Seen:
    """Break another's lock, as `terraform force-unlock` does: an UNLOCK that says nothing."""
    with range_store(ground) as store:
        store.ask("LOCK", _lock("lock-of-another"))
        status, _ = store.ask("UNLOCK")
        free, _ = store.ask("LOCK", _lock("lock-of-the-thief"))
        stops = store.stop("break", "second_factor", "M30", "Breaking a lock takes a person with a one-time code.")
    return Seen(free == http.HTTPStatus.OK, f"The store answered {status}, and {free} to a second lock.", stops)


def pushed_by_force(ground: Ground) -> Seen:
    """Put another state in the place of this one, as `terraform state push -force` does."""
    with range_store(ground) as store:
        store.write(5)
        foreign = store.write(6, lineage="lineage-of-the-thief")
        older = store.write(4)
        _, kept = store.ask("GET")
        stops = (
            *store.stop("write", "lineage", "M30", "A version of another lineage is not taken."),
            *store.stop("write", "serial", "M30", "A version that is older than the kept one is not taken."),
        )
    reached = json.loads(kept).get("serial") != 5
    return Seen(reached, f"The store answered {foreign} to the foreign state and {older} to the older one.", stops)


def without_a_lock(ground: Ground) -> Seen:
    """Write state while another holds the lock, as `-lock=false` does."""
    with range_store(ground) as store:
        store.ask("LOCK", _lock("lock-of-another"))
        status, _ = store.ask("POST", _state(1, LINEAGE))
        stops = store.stop("write", "locked", "M30", "A write needs the ID of the lock that is held now.")
        kept, _ = store.ask("GET")
    return Seen(kept == http.HTTPStatus.OK, f"The store answered {status}.", stops)


def at_rest(ground: Ground) -> Seen:
    """Search the store's files for a secret that is in the state; then read on after the customer disabled the key."""
    with range_store(ground) as store:
        store.write(1)
        found = subprocess.run(["grep", "-r", "-q", PLANTED, str(store.folder)], check=False).returncode == 0  # noqa: S607
        key = store.folder / "key"
        key.with_name(key.name + DISABLED_SUFFIX).touch()
        status, body = store.ask("GET")
        stops = store.stop("read", "key_away", "M31", "Without the customer's key nothing is read, and nothing is kept in clear.")
    reached = found or PLANTED.encode() in body
    return Seen(reached, visible_line(f"grep found {'the secret' if found else 'nothing'}; the store answered {status}."), stops)


def _state(serial: int, lineage: str) -> bytes:
    outputs = {"password": {"value": PLANTED, "type": "string", "sensitive": True}}
    return json.dumps({"version": 4, "serial": serial, "lineage": lineage, "outputs": outputs, "resources": []}).encode()


def _lock(identity: str) -> bytes:
    return json.dumps({"ID": identity, "Operation": "OperationTypeApply", "Who": "red-team@range"}).encode()


def _scenario(name: str, goal: str, control: str, attack: Callable[[Ground], Seen]) -> Scenario:
    return Scenario(name, goal, ("T8", control), attack)


SCENARIOS = (
    _scenario("stolen-state-token", "State read with a stolen token after its revocation.", "M30", revoked_token),
    _scenario("force-unlock", "Another's lock, taken away.", "M30", forced_unlock),
    _scenario("state-push-force", "Another state in the place of the kept one.", "M30", pushed_by_force),
    _scenario("write-without-lock", "State written while another holds the lock.", "M30", without_a_lock),
    _scenario("state-at-rest", "A secret out of the store's files, or without the key.", "M31", at_rest),
)

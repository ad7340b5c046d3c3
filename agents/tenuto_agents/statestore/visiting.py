"""A client of the state store for our own code and people: read, look at the versions, break a lock."""

from __future__ import annotations

import base64
import hashlib
import http.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tenuto.errors import UNREADABLE, Busy, NotConfigured, Refused

from .envelopes import Facts
from .versions import STATE_BYTES_MAX, read_state

VISIT_SECONDS = 15.0


class StateWithheld(Refused):
    """The store refused, in its own words."""

    reason = "state"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version as it was handed out. `digest` is computed here from `content`, hex; serial and lineage are read from it."""

    content: bytes
    digest: str
    serial: int
    lineage: str

    def document(self) -> dict[str, Any]:
        """The state as JSON; it may hold secrets in clear."""
        document: dict[str, Any] = msgspec.json.decode(self.content)
        return document


@dataclass(frozen=True, slots=True)
class StateAddress:
    """Where a state is, and with which credentials one comes; `token` is not shown."""

    store: str
    name: str
    user: str
    token: str

    def __repr__(self) -> str:
        """Without the token: a representation ends in logs."""
        return f"StateAddress({self.store}/states/{self.name} as {self.user})"

    @property
    def url(self) -> str:
        """The address that Terraform's http backend takes for all of its calls."""
        return f"{self.store}/states/{self.name}"


class StateStore:
    """The store as seen from outside. Every call raises Busy when it is away, and StateWithheld when it refuses."""

    def __init__(self, address: StateAddress) -> None:
        """Nothing is connected yet."""
        parts = urlsplit(address.store)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotConfigured(f"{address.store!r:.200} is no address of a state store, such as http://127.0.0.1:8600.")
        self.address, self._parts = address, parts

    def read(self, *, code: str = "", version: int | None = None) -> Snapshot | None:
        """Return a version, the newest by default; None where there is none."""
        status, body = self._call("GET", "" if version is None else f"/versions/{version}", code)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        self._demand(status, body)
        serial, lineage = read_state(body)
        return Snapshot(body, hashlib.sha256(body).hexdigest(), serial, lineage)

    def versions(self, *, code: str = "") -> list[Facts]:
        """Return the facts of all versions, oldest first."""
        status, body = self._call("GET", "/versions", code)
        self._demand(status, body)
        try:
            return msgspec.json.decode(body, type=list[Facts])
        except UNREADABLE as error:
            raise StateWithheld(f"The state store answered with something else than versions: {error}.") from error

    def break_lock(self, *, code: str = "") -> None:
        """Take the lock away from whoever holds it, as `terraform force-unlock` asks for it."""
        self._demand(*self._call("UNLOCK", "", code))

    def _demand(self, status: int, body: bytes) -> None:
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise Busy(f"The state store cannot serve {self.address.name}: {body[:400].decode('utf-8', 'replace')}")
        if status != http.HTTPStatus.OK:
            raise StateWithheld(f"The state store refused ({status}): {body[:400].decode('utf-8', 'replace')}")

    def _call(self, method: str, path: str, code: str) -> tuple[int, bytes]:
        connect = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        connection = connect(self._parts.hostname, self._parts.port, timeout=VISIT_SECONDS)
        proof = base64.b64encode(f"{self.address.user}:{self.address.token}".encode()).decode()
        headers = {"Authorization": f"Basic {proof}"} | ({"X-Tenuto-Code": code} if code else {})
        try:
            connection.request(method, f"{self._parts.path}/states/{self.address.name}{path}", headers=headers)
            answer = connection.getresponse()
            body = answer.read(STATE_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Busy(f"The state store at {self.address.store} gave no answer ({type(error).__name__}).") from error
        finally:
            connection.close()
        return answer.status, body


def read_token(file: Path) -> str:
    """Return the token in a file of mode 0600; raises NotConfigured, naming the file and the remedy."""
    try:
        if file.stat().st_mode & 0o077:
            raise NotConfigured(f"{file} can be read by others. Take their rights away: chmod 600 {file}")
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotConfigured(f"The token at {file} cannot be read: {error.strerror}. `tenuto state grant` makes one.") from error

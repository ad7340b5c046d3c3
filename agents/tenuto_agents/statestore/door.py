"""One request at the state store, from its credentials to its answer, and the signed event that says what became of it.

Every request goes through the same steps, in this order:

 1. whose credentials are these
 2. may they do this; a person needs a one-time code besides, whatever it is that is asked
 3. the store does it, or its rules say no
 4. the event is on record; only then is the answer given

The store answers nobody who is not on record: when the recorder cannot take the event, the request is not answered with
what was asked for. Agents come with a token; breaking another's lock is for people only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal, Protocol

import msgspec
from tenuto.errors import Refused
from tenuto.events import Event, StateAccessed, StateRefused, StateWritten

from .credentials import Credential, Credentials, NotLetIn
from .envelopes import Facts
from .keyports import KeyAway
from .versions import StateConflict, States

Operation = Literal["read", "write", "lock", "unlock", "break"]
REFS = ("T8", "M30")
_STATUS = {
    "credentials": 401, "rights": 403, "second_factor": 403, "not_locked": 409, "locked": 423, "checksum": 400,
    "malformed": 400, "lineage": 409, "serial": 409, "key_away": 503,
}  # fmt: skip


class Journal(Protocol):
    """Where what happened is put on record; a `Recorder` is one."""

    def record(self, kind: type[Event], **fields: Any) -> Event:
        """Put one event on record durably; raises Busy when it cannot."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, as the wire had it. code: a person's one-time code. lock: the `ID` of a write. md5: of `body`."""

    operation: Operation
    state: str
    user: str = ""
    token: str = ""
    code: str = ""
    body: bytes = b""
    md5: str = ""
    lock: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and headers of ours."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def state_run(state: str) -> str:
    """Name the run in which agents vouch for the versions of a state, so that they can be read together."""
    return f"state-{state}"


class Door:
    """The only way to the states. Requests go through it one at a time."""

    def __init__(self, states: States, credentials: Credentials, journal: Journal) -> None:
        """All three are open; this closes none of them."""
        self._states, self._credentials, self._journal = states, credentials, journal
        self._turn = RLock()

    def pass_through(self, request: Request) -> Answer:
        """Deal with one request; raises Busy when the record cannot be written, and then nothing is answered."""
        with self._turn:
            principal: str | None = None
            try:
                credential = self._credentials.identify(request.user, request.token)  # (1)
                principal = credential.name
                self._demand_allowed(credential, request)  # (2)
                return self._perform(request, credential)  # (3) (4)
            except KeyAway as away:
                return self._refuse(request, principal, "key_away", f"{away} Nothing is read or kept in clear instead.")
            except StateConflict as conflict:
                return self._refuse(request, principal, conflict.why, str(conflict), conflict.holder)
            except Refused as refused:
                return self._refuse(request, principal, refused.reason, str(refused))

    def _demand_allowed(self, credential: Credential, request: Request) -> None:
        self._credentials.demand_right(credential, "read" if request.operation == "read" else "write")
        if credential.kind == "person" or request.operation == "break":
            self._credentials.demand_second_factor(credential, request.code)

    def _perform(self, request: Request, credential: Credential) -> Answer:
        if request.operation == "read":
            return self._read(request, credential)
        if request.operation == "write":
            return self._write(request, credential)
        if request.operation == "lock":
            self._states.lock(request.state, request.body, credential.name)
        elif request.operation == "unlock":
            self._states.unlock(request.state, request.body, credential.name)
        else:
            self._states.break_lock(request.state)
        self._record(StateAccessed, request, principal=credential.name, operation=request.operation)
        return Answer(200)

    def _read(self, request: Request, credential: Credential) -> Answer:
        found = self._states.read(request.state, request.version)
        facts: dict[str, Any] = {} if found is None else {"serial": found[0].serial, "digest": found[0].digest}
        self._record(StateAccessed, request, principal=credential.name, operation="read", **facts)
        return Answer(404) if found is None else Answer(200, found[1], _headers(found[0]))

    def _write(self, request: Request, credential: Credential) -> Answer:
        digest = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        if not hmac.compare_digest(digest, request.md5):
            raise NotLetIn("The body is not the one that Content-MD5 was made of.", reason="checksum")
        facts, new = self._states.write(request.state, request.body, lock=request.lock, principal=credential.name)
        if new:
            self._record(
                StateWritten, request, principal=facts.principal, version=facts.version, serial=facts.serial,
                digest=facts.digest, previous=facts.previous, lock=facts.lock,
            )  # fmt: skip
        return Answer(200, headers=_headers(facts))

    def history(self, request: Request) -> Answer:
        """Answer with the facts of all versions, as JSON; for whoever may read the state."""
        with self._turn:
            principal: str | None = None
            try:
                credential = self._credentials.identify(request.user, request.token)
                principal = credential.name
                self._demand_allowed(credential, request)
                facts = self._states.versions(request.state)
            except Refused as refused:
                return self._refuse(request, principal, refused.reason, str(refused))
            self._record(StateAccessed, request, principal=credential.name, operation="read")
            return Answer(200, msgspec.json.encode(facts))

    def _refuse(self, request: Request, principal: str | None, why: str, sentence: str, holder: bytes = b"") -> Answer:
        self._record(StateRefused, request, operation=request.operation, reason=why, principal=principal)
        headers = {"WWW-Authenticate": 'Basic realm="state"'} if why == "credentials" else {}
        return Answer(_STATUS[why], holder or sentence.encode(), headers)

    def _record(self, kind: type[Event], request: Request, **fields: Any) -> None:
        refs = (*REFS, "M31") if fields.get("reason") == "key_away" else REFS
        # In no run: a run is kept in mind by every gate while it is not over, and the accesses to a state have no end.
        self._journal.record(kind, refs=refs, state=request.state, **fields)


def _headers(facts: Facts) -> dict[str, str]:
    return {"X-Tenuto-Digest": facts.digest, "X-Tenuto-Serial": str(facts.serial), "X-Tenuto-Version": str(facts.version)}

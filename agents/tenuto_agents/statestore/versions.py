"""What is kept of each state: every version, whole and sealed; the lock; and the rules by which a new version may come.

 1. a state is named by us, in lower case; each has a folder of its own
 2. one lock at a time; what is not locked is not written
 3. the first version says which lineage the state has, and no version of another lineage follows
 4. the serial grows with each version; the same serial again is only the same bytes again
 5. a version, once kept, is never written over and never deleted

3 and 4 are checked by Terraform's client too, and there they are switched off by `state push -force`; here they are not.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from tenuto.clock import Clock
from tenuto.errors import UNREADABLE, Refused
from tenuto.events import FIRST_PREV
from tenuto.log.durable import write_durably

from .envelopes import Facts, close_envelope, facts_of, open_envelope
from .keyports import KeyPort

STATE_BYTES_MAX = 16 * 1024 * 1024
LOCK_BYTES_MAX = 16 * 1024
STATE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LINEAGE = re.compile(r"[A-Za-z0-9-]{1,64}")
_LOCK_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
FORMAT = 4

Why = Literal["not_locked", "locked", "malformed", "lineage", "serial"]


class StateConflict(Refused):
    """The rules say no. `why` names the rule; `holder` is the lock that stands in the way, as its holder wrote it."""

    def __init__(self, sentence: str, why: Why, holder: bytes = b"") -> None:
        """`sentence` goes to the client."""
        super().__init__(sentence, reason=why)
        self.why, self.holder = why, holder


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held: its id, whose credentials it was taken with, and the holder's own JSON."""

    id: str
    principal: str
    info: bytes


class _Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    principal: str
    info: str


class States:
    """All states under one folder. Calls must not overlap; `door` sees to that."""

    def __init__(self, folder: Path, port: KeyPort, clock: Clock) -> None:
        """`folder` is made with mode 0700; `port` is the customer's key."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._port, self._clock = folder, port, clock

    def names(self) -> list[str]:
        """Every state with at least one version."""
        return sorted(path.name for path in self._folder.iterdir() if any(path.glob("*.state")))

    def versions(self, name: str) -> list[Facts]:
        """Return the facts of every version, oldest first; they are proven only by opening it."""
        return [facts_of(path.read_bytes()) for path in self._files(name)]

    def read(self, name: str, version: int | None = None) -> tuple[Facts, bytes] | None:
        """Return one version, the newest by default, or None; raises KeyAway, StoreDamaged."""
        files = self._files(name)
        wanted = files[-1] if files and version is None else self._file(name, version or 0)
        if wanted not in files:
            return None
        facts, content = open_envelope(wanted.read_bytes(), self._port)
        if (facts.state, f"{facts.version:08d}.state") != (name, wanted.name):
            raise StateConflict(f"{wanted.name} of {name} holds another version.", "malformed")
        return facts, content

    def write(self, name: str, content: bytes, *, lock: str, principal: str) -> tuple[Facts, bool]:
        """Keep `content` as the newest version; return its facts, and whether it is new. Raises StateConflict, KeyAway."""
        self._demand_lock(name, lock, principal)
        serial, lineage = read_state(content)
        digest = hashlib.sha256(content).hexdigest()
        last = self.newest(name)
        if last is not None:
            if lineage != last.lineage:
                raise StateConflict(f"The state {name} has the lineage {last.lineage}, and this one another.", "lineage")
            if (serial, digest) == (last.serial, last.digest):
                return last, False
            if serial <= last.serial:
                raise StateConflict(f"The state {name} is at serial {last.serial}; {serial} is not newer.", "serial")
        facts = Facts(
            state=name, version=1 if last is None else last.version + 1, serial=serial, lineage=lineage, digest=digest,
            previous=FIRST_PREV if last is None else last.digest, principal=principal, lock=lock,
            at=self._clock.now().isoformat(),
        )  # fmt: skip
        write_durably({self._file(name, facts.version): close_envelope(facts, content, self._port)})
        return facts, True

    def newest(self, name: str) -> Facts | None:
        """Return the facts of the newest version, or None."""
        files = self._files(name)
        return facts_of(files[-1].read_bytes()) if files else None

    def lock(self, name: str, info: bytes, principal: str) -> Lock:
        """Take the lock that `info` (Terraform's JSON) describes; raises StateConflict with the holder when it is held."""
        identity = read_lock(info)
        held = self.held(name)
        if held is not None:
            raise StateConflict(f"The state {name} is locked by {held.principal}.", "locked", held.info)
        kept = _Held(id=identity, principal=principal, info=info.decode())
        write_durably({self._lock_file(name): msgspec.json.encode(kept)})
        return Lock(identity, principal, info)

    def unlock(self, name: str, info: bytes, principal: str) -> Lock:
        """Let go of the lock that `info` names; raises StateConflict for another's, or when none is held."""
        held = self._demand_lock(name, read_lock(info), principal)
        self._lock_file(name).unlink()
        return held

    def break_lock(self, name: str) -> Lock | None:
        """Take the lock away from whoever holds it and return it; None where there was none."""
        held = self.held(name)
        self._lock_file(name).unlink(missing_ok=True)
        return held

    def held(self, name: str) -> Lock | None:
        """Return the lock that is held now, or None."""
        try:
            kept = msgspec.json.decode(self._lock_file(name).read_bytes(), type=_Held)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            raise StateConflict(f"The lock of {name} cannot be read; a person has to break it.", "locked", b"{}") from error
        return Lock(kept.id, kept.principal, kept.info.encode())

    def _demand_lock(self, name: str, identity: str, principal: str) -> Lock:
        held = self.held(name)
        if held is None:
            raise StateConflict(f"The state {name} is not locked; nothing is written without a lock.", "not_locked")
        if (held.id, held.principal) != (identity, principal):
            raise StateConflict(f"The state {name} is locked by {held.principal}.", "locked", held.info)
        return held

    def _files(self, name: str) -> list[Path]:
        return sorted(self._home(name).glob("*.state"))

    def _file(self, name: str, version: int) -> Path:
        return self._home(name) / f"{version:08d}.state"

    def _lock_file(self, name: str) -> Path:
        return self._home(name) / "lock.json"

    def _home(self, name: str) -> Path:
        if not STATE_NAME.fullmatch(name):
            raise StateConflict(f"{name!r:.80} is no name of a state: lower case letters, digits, hyphens.", "malformed")
        return self._folder / name


def read_state(content: bytes) -> tuple[int, str]:
    """Return serial and lineage of a state in Terraform's format 4; raises StateConflict for anything else."""
    try:
        state: Any = msgspec.json.decode(content)
    except UNREADABLE as error:
        raise StateConflict("The body is no JSON.", "malformed") from error
    if not isinstance(state, dict) or state.get("version") != FORMAT:
        raise StateConflict(f"The body is no Terraform state of the format {FORMAT}.", "malformed")
    serial, lineage = state.get("serial"), state.get("lineage")
    if type(serial) is not int or not 0 <= serial < 2**53:
        raise StateConflict("The state has no serial.", "malformed")
    if not isinstance(lineage, str) or not _LINEAGE.fullmatch(lineage):
        raise StateConflict("The state has no lineage.", "malformed")
    return serial, lineage


def read_lock(info: bytes) -> str:
    """Return the ID in the JSON that Terraform sends with LOCK and UNLOCK; raises StateConflict."""
    try:
        lock: Any = msgspec.json.decode(info)
    except UNREADABLE as error:
        raise StateConflict("The lock is no JSON.", "malformed") from error
    identity = lock.get("ID") if isinstance(lock, dict) else None
    if not isinstance(identity, str) or not _LOCK_NAME.fullmatch(identity):
        raise StateConflict("The lock has no ID of lower case letters, digits and hyphens.", "malformed")
    return identity

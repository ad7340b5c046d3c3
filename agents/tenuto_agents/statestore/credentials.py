"""Who may come to the state store: a token for each agent and person, kept as a hash; for people a second factor too (M30).

A token is 256 bits of chance, so its SHA-256 is as safe as a slow hash of a password. A person's one-time code is TOTP
(RFC 6238: SHA-1, six digits, 30 seconds), its seed sealed by the customer's key; the store remembers the last step that was
used, so a code that somebody looked at over a shoulder is good for nothing (section 5.2).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from tenuto.clock import Clock
from tenuto.errors import NotConfigured, Refused
from tenuto.log.durable import write_durably

from .keyports import KeyPort

TOKEN_BYTES = 32
SEED_BYTES = 20
STEP_SECONDS = 30
DIGITS = 6
STEPS_BEHIND_MAX = 1
WRONG_CODES_MAX = 5
_NOBODY = hashlib.sha256(b"nobody").hexdigest()

Kind = Literal["agent", "person"]
Right = Literal["read", "write"]


class NotLetIn(Refused):
    """The credentials do not do. `reason` is an entry of `tenuto.events.state.StateRefusal`."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One who may come. seed: of the one-time codes, wrapped. step: the last one used. wrong: wrong codes in a row."""

    name: str
    kind: Kind
    rights: tuple[Right, ...]
    token_sha256: str
    seed: str = ""
    step: int = 0
    wrong: int = 0
    revoked: bool = False


class Credentials:
    """The credentials in one file of mode 0600; changes of other processes are seen at once."""

    def __init__(self, file: Path, port: KeyPort, clock: Clock) -> None:
        """`file` is made by the first grant."""
        self._file, self._port, self._clock = file, port, clock

    def grant(self, name: str, kind: Kind, rights: tuple[Right, ...]) -> tuple[str, str]:
        """Let `name` in from now on; return the token, and for a person the seed of the codes (base32). Neither is kept."""
        token, seed = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_bytes(SEED_BYTES) if kind == "person" else b""
        made = Credential(
            name=name, kind=kind, rights=rights, token_sha256=_hash(token),
            seed=self._port.wrap(seed, _about(name)) if seed else "",
        )  # fmt: skip
        with self._changing() as known:
            known[name] = made
        return token, base64.b32encode(seed).decode()

    def revoke(self, name: str) -> None:
        """From now on `name` is not let in; raises NotConfigured when it never was."""
        with self._changing() as known:
            if name not in known:
                raise NotConfigured(f"Nobody called {name} was ever let in to the state store.")
            known[name] = msgspec.structs.replace(known[name], revoked=True)

    def identify(self, name: str, token: str) -> Credential:
        """Return whose token this is; raises NotLetIn (credentials), without telling an unknown name from a wrong token."""
        found = self._read().get(name)
        expected = found.token_sha256 if found is not None else _NOBODY
        right = hmac.compare_digest(expected, _hash(token))
        if found is None or not right or found.revoked:
            raise NotLetIn("These credentials are unknown, wrong or revoked.", reason="credentials")
        return found

    def demand_right(self, credential: Credential, right: Right) -> None:
        """Raise NotLetIn (rights) unless it has the right."""
        if right not in credential.rights:
            raise NotLetIn(f"{credential.name} may not {right} state.", reason="rights")

    def demand_second_factor(self, credential: Credential, code: str) -> None:
        """Raise NotLetIn (second_factor) unless `code` is fresh and was never used; an agent has none and never passes.

        After WRONG_CODES_MAX (5) wrong codes in a row no code counts any more, until the person is granted anew.
        """
        if credential.kind != "person":
            raise NotLetIn(f"{credential.name} is no person, and only people may do this.", reason="second_factor")
        with self._changing() as known:
            now = known.get(credential.name, credential)
            if now.wrong >= WRONG_CODES_MAX:
                raise NotLetIn(f"{now.name} gave {now.wrong} wrong codes in a row; grant it anew.", reason="second_factor")
            step = self._matching_step(now, code)
            if step is None:
                known[now.name] = msgspec.structs.replace(now, wrong=now.wrong + 1)
            else:
                known[now.name] = msgspec.structs.replace(now, step=step, wrong=0)
        if step is None:
            sentence = f"{credential.name} needs a one-time code that is right, fresh and was not used before."
            raise NotLetIn(sentence, reason="second_factor")

    def _matching_step(self, credential: Credential, code: str) -> int | None:
        seed = self._port.unwrap(credential.seed, _about(credential.name))
        present = int(self._clock.now().timestamp()) // STEP_SECONDS
        for step in range(present - STEPS_BEHIND_MAX, present + 1):
            if hmac.compare_digest(code_at(seed, step).encode(), code.encode()) and step > credential.step:
                return step
        return None

    def _read(self) -> dict[str, Credential]:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return {}
        return {one.name: one for one in msgspec.json.decode(content, type=list[Credential])}

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Credential]]:
        """Give what is known, to be changed, and keep it; two processes never change it at once."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file.with_name(self._file.name + ".lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            known = self._read()
            yield known
            write_durably({self._file: msgspec.json.encode(list(known.values()))})
            self._file.chmod(0o600)


def code_at(seed: bytes, step: int) -> str:
    """Return the one-time code of a time step (RFC 6238 with T0 = 0)."""
    totp = TOTP(seed, DIGITS, SHA1(), STEP_SECONDS, enforce_key_length=False)  # noqa: S303 - SHA-1 is what RFC 6238 names
    return totp.generate(step * STEP_SECONDS).decode()


def _about(name: str) -> bytes:
    return f"tenuto state credential v1\n{name}\n".encode()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

"""Where the key is that protects state at rest, and the two things that are asked of it: wrap a data key, unwrap one.

The key that wraps belongs to the customer (M31): who disables it has ended every reading of the state, and of its backups.
So there is no cache of unwrapped keys and no way past the port; a key that cannot be used is `KeyAway`, never plaintext.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tenuto.errors import Busy, NotConfigured
from tenuto.log.durable import in_turn

KEY_BYTES = 32
NONCE_BYTES = 12
ANSWER_BYTES_MAX = 65_536
TRANSIT_SECONDS = 5.0
DISABLED_SUFFIX = ".disabled"


class KeyAway(Busy):
    """The key cannot be used: disabled, revoked, sealed, or its keeper is away. Nothing was read and nothing was written."""


class KeyPort(Protocol):
    """A key-encryption key. `name` goes beside what it wrapped. Both calls raise KeyAway; `about` binds the result to its use."""

    @property
    def name(self) -> str:
        """Which key this is, for people."""
        ...

    def wrap(self, key: bytes, about: bytes) -> str:
        """Return `key` encrypted, as printable text."""
        ...

    def unwrap(self, wrapped: str, about: bytes) -> bytes:
        """Return what `wrap` was given, only for the same `about`."""
        ...


class LocalKey:
    """A key in a file of mode 0600, for one machine. It is disabled by a file of its name with `.disabled` behind it."""

    def __init__(self, file: Path) -> None:
        """`file` is made when it is not there; raises NotConfigured when others can read it."""
        self._file, self.name = file, f"local:{file.name}"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with in_turn(file.parent):  # processes that start side by side have one key, and none sees half of it
            if not file.exists():
                handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as made:
                    made.write(secrets.token_bytes(KEY_BYTES))
                    made.flush()
                    os.fsync(made.fileno())
        if file.stat().st_mode & 0o077:
            raise NotConfigured(f"{file} can be read by others. Take their rights away: chmod 600 {file}")

    def wrap(self, key: bytes, about: bytes) -> str:
        """See KeyPort."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + AESGCM(self._key()).encrypt(nonce, key, about)).decode()

    def unwrap(self, wrapped: str, about: bytes) -> bytes:
        """See KeyPort."""
        try:
            box = base64.b64decode(wrapped, validate=True)
            return AESGCM(self._key()).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise KeyAway(f"{self.name} does not open this: it was wrapped by another key, or for something else.") from error

    def _key(self) -> bytes:
        try:
            if self._file.with_name(self._file.name + DISABLED_SUFFIX).exists():
                raise KeyAway(f"The key {self.name} is disabled.")
            key = self._file.read_bytes()
        except OSError as error:
            raise KeyAway(f"The key {self.name} cannot be read: {error.strerror}.") from error
        if len(key) != KEY_BYTES:
            raise KeyAway(f"The key {self.name} has {len(key)} bytes and should have {KEY_BYTES}.")
        return key


class TransitKey:
    """A key of OpenBao's or Vault's transit engine (`encrypt` and `decrypt` of its HTTP API); it never leaves the server."""

    def __init__(self, address: str, key: str, token: str) -> None:
        """`address` such as `https://bao.example:8200`, `key` the transit key's name, `token` allowed to use it and no more."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotConfigured(f"{address!r:.200} is not the address of a transit engine, such as https://bao.example:8200.")
        self._parts, self._key, self._token, self.name = parts, key, token, f"transit:{key}"

    def wrap(self, key: bytes, about: bytes) -> str:
        """See KeyPort."""
        asked = {"plaintext": base64.b64encode(key).decode(), "associated_data": base64.b64encode(about).decode()}
        return self._text(self._ask("encrypt", asked), "ciphertext")

    def unwrap(self, wrapped: str, about: bytes) -> bytes:
        """See KeyPort."""
        asked = {"ciphertext": wrapped, "associated_data": base64.b64encode(about).decode()}
        try:
            return base64.b64decode(self._text(self._ask("decrypt", asked), "plaintext"), validate=True)
        except ValueError as error:
            raise KeyAway(f"The key {self.name} gave no plaintext.") from error

    def _text(self, data: dict[str, Any], field: str) -> str:
        value = data.get(field)
        if not isinstance(value, str) or not value:
            raise KeyAway(f"The key {self.name} gave no {field}.")
        return value

    def _ask(self, operation: str, body: dict[str, str]) -> dict[str, Any]:
        connect = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        connection = connect(self._parts.hostname, self._parts.port, timeout=TRANSIT_SECONDS)
        try:
            connection.request(
                "POST", f"/v1/transit/{operation}/{self._key}", json.dumps(body), {"X-Vault-Token": self._token}
            )
            answer = connection.getresponse()
            text = answer.read(ANSWER_BYTES_MAX)
            found = json.loads(text) if answer.status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise KeyAway(f"The keeper of {self.name} gave no answer ({type(error).__name__}).") from error
        finally:
            connection.close()
        if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
            raise KeyAway(f"The keeper of {self.name} refuses to {operation} (status {answer.status}).")
        data: dict[str, Any] = found["data"]
        return data

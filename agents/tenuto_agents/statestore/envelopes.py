"""State as it lies on the disk: sealed under a data key of its own, which is wrapped by the customer's key.

    first line   JSON: what may be known without the key (who wrote it, serial, digest), key name, wrapped key, nonce
    the rest     AES-256-GCM of the state, with the whole first line as associated data

So a file cannot be passed off as another version, nor its facts changed, without the opening failing.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tenuto.errors import UNREADABLE, Refused

from .keyports import KEY_BYTES, NONCE_BYTES, KeyPort

LINE_FEED = b"\n"


class StoreDamaged(Refused):
    """A kept file is not what was written: altered, exchanged or cut off."""

    reason = "malformed"


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a version without its key. digest, previous: SHA-256 of the clear bytes, hex; at: UTC, ISO 8601."""

    state: str
    version: int
    serial: int
    lineage: str
    digest: str
    previous: str
    principal: str
    lock: str
    at: str


class _FirstLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    facts: Facts
    key: str
    wrapped: str
    nonce: str


def close_envelope(facts: Facts, content: bytes, port: KeyPort) -> bytes:
    """Return the bytes to keep; raises KeyAway."""
    key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    wrapped = port.wrap(key, _about(facts))
    line = _FirstLine(facts=facts, key=port.name, wrapped=wrapped, nonce=base64.b64encode(nonce).decode())
    first = msgspec.json.encode(line)
    return first + LINE_FEED + AESGCM(key).encrypt(nonce, content, first)


def facts_of(kept: bytes) -> Facts:
    """Return the facts of an envelope, which are not yet proven; raises StoreDamaged."""
    return _split(kept)[1].facts


def open_envelope(kept: bytes, port: KeyPort) -> tuple[Facts, bytes]:
    """Return facts and state; raises KeyAway, or StoreDamaged when anything in the file is not as it was written."""
    first, line, box = _split(kept)
    key = port.unwrap(line.wrapped, _about(line.facts))
    try:
        content = AESGCM(key).decrypt(base64.b64decode(line.nonce), box, first)
    except (InvalidTag, ValueError) as error:
        raise StoreDamaged(f"Version {line.facts.version} of {line.facts.state} is not what was written.") from error
    if hashlib.sha256(content).hexdigest() != line.facts.digest:
        raise StoreDamaged(f"Version {line.facts.version} of {line.facts.state} has another digest than its facts say.")
    return line.facts, content


def _about(facts: Facts) -> bytes:
    """What the wrapped key is good for: this version of this state."""
    return f"tenuto state v1\n{facts.state}\n{facts.version}\n{facts.digest}\n".encode()


def _split(kept: bytes) -> tuple[bytes, _FirstLine, bytes]:
    first, found, box = kept.partition(LINE_FEED)
    try:
        line: Any = msgspec.json.decode(first, type=_FirstLine)
    except UNREADABLE as error:
        raise StoreDamaged(f"A kept version does not begin with its facts: {error}.") from error
    if not found or not box:
        raise StoreDamaged("A kept version is cut off.")
    return first, line, box

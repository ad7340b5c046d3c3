"""The small world of the golden files: fixed authors, keys, ids and times, so that a rebuild gives the same bytes.

Everything here is derived from words by SHA-256. Nothing of it may ever be used outside of tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from nacl import bindings
from tenuto import header as headers
from tenuto.envelope import Envelope
from tenuto.events import FIRST_PREV, DecisionMade, Event, KeyRegistered, KeyRevoked, ToolStarted
from tenuto.keyring import ENTITLED, Keyring
from tenuto.payload import NONCE_BYTES, SALT_BYTES, Ciphertext, Sealed, commitment, exchange_key
from tenuto.signing import SeedSigner, sign_header, sign_headers

ORIGIN = "golden.tenuto.test/log"
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EPOCH = 1
AUTHORS = {
    "deployment": "agent", "infrastructure": "agent", "carol": "reviewer", "retired": "agent", "pipeline": "pipeline",
    "ingest": "ingest", "anomaly-watch": "detector", "console": "console", "router": "router", "keeper": "keeper",
    "red-team": "redteam", "state": "statekeeper",
}  # fmt: skip
DIGEST = "d" * 64


def digest(*words: object) -> bytes:
    """32 bytes that stand for these words."""
    return hashlib.sha256(repr(words).encode()).digest()


def signer(author: str) -> SeedSigner:
    """The author's signer."""
    return SeedSigner(author, digest("seed", author))


def uuid(*words: object) -> UUID:
    """A UUIDv7 that stands for these words, at START."""
    milliseconds = int(START.timestamp()) * 1000
    noise = int.from_bytes(digest("uuid", *words)[:10], "big")
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)


def epoch_keys() -> tuple[bytes, bytes]:
    """The X25519 key pair to which payloads are sealed: public, secret."""
    return bindings.crypto_box_seed_keypair(digest("epoch", EPOCH))


def common(author: str, seq: int = 0, prev: str = FIRST_PREV, session: str = "session") -> dict[str, Any]:
    """The fields that every header of `author` has."""
    return {
        "v": 1, "log_origin": ORIGIN, "author": author, "key_id": signer(author).key_id, "session": uuid(session, author),
        "seq": seq, "prev": prev, "at": START + timedelta(seconds=seq), "id": uuid("event", session, author, seq),
    }  # fmt: skip


def tool_started(author: str = "deployment", **fields: Any) -> ToolStarted:
    """The event most golden files are about: an agent starts a tool."""
    own: dict[str, Any] = {"call": "call-7", "tool": "deploy.release", "resource": "service/checkout", "digest": DIGEST}
    return ToolStarted(**(common(author, seq=4, prev="a" * 64) | {"run": "pr-12", "refs": ("M13",)} | own | fields))


def decision_made(author: str = "deployment", seq: int = 5, **fields: Any) -> DecisionMade:
    """An event that may be signed together with others."""
    own: dict[str, Any] = {"subject": "commit", "subject_digest": DIGEST, "verdict": "comment", "model": "scripted"}
    return DecisionMade(**(common(author, seq=seq, prev="b" * 64) | own | fields))


def sealed(plaintext: bytes, recipient: bytes | None = None, *, word: str = "payload") -> tuple[Sealed, str]:
    """As `tenuto.payload.seal`, with salt, key and nonces that stand for `word`."""
    salt, key, nonce = digest("salt", word)[:SALT_BYTES], digest("key", word), digest("nonce", word)[:NONCE_BYTES]
    commit = commitment(salt, plaintext)
    return box(salt + plaintext, commit, nonce, key, recipient or epoch_keys()[0]), commit.hex()


def box(salted: bytes, associated: bytes, nonce: bytes, key: bytes, recipient: bytes) -> Sealed:
    """Encrypt `salted` and seal the key, as `tenuto.payload.PayloadSealer` does, with an exchange that is not random."""
    body = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(salted, associated, nonce, key)
    public, secret = bindings.crypto_box_seed_keypair(digest("ephemeral", key))
    shared = exchange_key(bindings.crypto_box_beforenm(recipient, secret), public, recipient)
    return Sealed(public + bindings.crypto_secretbox(key, nonce, shared), Ciphertext(nonce, body))


def with_payload(plaintext: bytes, commit: str) -> dict[str, Any]:
    """The three payload fields."""
    return {"payload_type": "text/plain", "payload_len": len(plaintext), "payload_commit": commit}


def signed(event: Event, payload: Sealed | None = None, *, by: str | None = None) -> Envelope:
    """The event as its author would send it; `by` signs in the author's place."""
    return signed_bytes(headers.encode(event), payload, by=by or event.author)


def signed_bytes(header: bytes, payload: Sealed | None = None, *, by: str = "deployment") -> Envelope:
    """Header bytes that need not be a header, signed."""
    signature = sign_header(signer(by), header)
    return Envelope(header, signature) if payload is None else Envelope(header, signature, EPOCH, payload)


def sheaf(events: Sequence[Event], payload: Sealed | None = None) -> list[Envelope]:
    """These events of one author under one signature; each has the payload, if there is one."""
    encoded = [headers.encode(event) for event in events]
    signatures = sign_headers(signer(events[0].author), encoded)
    epoch = 0 if payload is None else EPOCH
    return [Envelope(header, signature, epoch, payload) for header, signature in zip(encoded, signatures, strict=True)]


def entitled_author(kind: str) -> str:
    """An author of this world whose role may write the kind: the root only where nobody else may."""
    return next((author for author, role in AUTHORS.items() if kind in ENTITLED[role]), "root")


def key_events() -> list[Event]:
    """The root registers everybody and revokes the key of `retired`."""
    events: list[Event] = []
    for author, role in AUTHORS.items():
        one = signer(author)
        events.append(
            KeyRegistered(
                **common("root", seq=len(events) + 1), subject=author, subject_key_id=one.key_id,
                public_key=one.public_key.hex(), role=role, owner=f"owner-of-{author}",
            )  # type: ignore[arg-type]
        )  # fmt: skip
    old = signer("retired").key_id
    events.append(
        KeyRevoked(**common("root", seq=len(events) + 1), subject="retired", subject_key_id=old, reason="retired")
    )
    return events


def ring() -> Keyring:
    """The keys after `key_events`."""
    keyring = Keyring(signer("root").public_key)
    for position, event in enumerate(key_events()):
        keyring.verify_entitlement(event)
        keyring.apply(event, position)
    return keyring

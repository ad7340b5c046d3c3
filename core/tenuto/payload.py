"""What lies beside an event: encrypted with a key of its own, committed to by a salted hash of the plaintext.

The author encrypts before the payload leaves its process, so a broker, a backup or a log segment holds ciphertext only,
and destroying one wrapped key forgets one payload everywhere. The commitment is over the plaintext: an AEAD ciphertext
can be made to open to two texts under two keys, a hash cannot. It is salted, so that a short secret cannot be guessed
from it once the payload is gone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import CryptoError

from .errors import Refused
from .events import PAYLOAD_BYTES_MAX

KEY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 24
TAG_BYTES = 16
SEALED_KEY_BYTES = KEY_BYTES + 48  # crypto_box_seal adds an ephemeral public key and a tag
WRAPPED_KEY_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES


class PayloadRefused(Refused):
    """The payload is not what the signed header committed to, or is over its limit."""

    reason = "payload"


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encrypted payload: XChaCha20-Poly1305 over `salt || plaintext`, the commitment as associated data."""

    nonce: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext with its key sealed to one recipient (X25519 sealed box)."""

    sealed_key: bytes
    ciphertext: Ciphertext


def commitment(salt: bytes, plaintext: bytes) -> bytes:
    """`SHA-256(0x02 || salt || plaintext)`; the prefix keeps it apart from Merkle leaves (0x00) and nodes (0x01)."""
    return hashlib.sha256(b"\x02" + salt + plaintext).digest()


def seal(plaintext: bytes, recipient: bytes) -> tuple[Sealed, str]:
    """Encrypt under a fresh key sealed to the X25519 public key `recipient`; return it with the commitment in hex.

    Raises PayloadRefused above PAYLOAD_BYTES_MAX (1 MiB); store larger ones by reference.
    """
    if len(plaintext) > PAYLOAD_BYTES_MAX:
        sentence = f"The payload has {len(plaintext):,} bytes; at most {PAYLOAD_BYTES_MAX:,} travel with an event."
        raise PayloadRefused(sentence + " Store it elsewhere and record its digest.", reason="oversized")
    salt, key, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    commit = commitment(salt, plaintext)
    body = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(salt + plaintext, commit, nonce, key)
    return Sealed(bindings.crypto_box_seal(key, recipient), Ciphertext(nonce, body)), commit.hex()


def open_seal(sealed_key: bytes, public_key: bytes, secret_key: bytes) -> bytes:
    """Return the payload key that was sealed to this X25519 key pair; raises PayloadRefused if it was not."""
    try:
        return bytes(bindings.crypto_box_seal_open(sealed_key, public_key, secret_key))
    except (CryptoError, ValueError) as error:
        raise PayloadRefused("The payload key was not sealed to this ledger's current epoch key.") from error


def open_payload(ciphertext: Ciphertext, key: bytes, commit: str, length: int) -> bytes:
    """Return the plaintext; raises PayloadRefused unless it is what the header's commitment and length say."""
    expected = bytes.fromhex(commit)
    try:
        salted = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext.body, expected, ciphertext.nonce, key)
    except (CryptoError, ValueError) as error:
        raise PayloadRefused("The payload does not open under its key: it was altered or belongs to another event.") from error
    salt, plaintext = salted[:SALT_BYTES], salted[SALT_BYTES:]
    if not hmac.compare_digest(commitment(salt, plaintext), expected):
        raise PayloadRefused("The payload is not the one that the signed header commits to.")
    if len(plaintext) != length:
        raise PayloadRefused(f"The header says {length:,} payload bytes, there are {len(plaintext):,}.")
    return plaintext


def wrap_key(key: bytes, storage_key: bytes, context: bytes) -> bytes:
    """Encrypt a payload key under the storage key; the context (the commitment) ties it to its payload."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(key, context, nonce, storage_key)


def unwrap_key(wrapped: bytes, storage_key: bytes, context: bytes) -> bytes:
    """The inverse of `wrap_key`; raises PayloadRefused for a foreign or altered key."""
    nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    try:
        return bytes(bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(body, context, nonce, storage_key))
    except (CryptoError, ValueError) as error:
        raise PayloadRefused("The stored payload key was altered or wrapped under another storage key.") from error


def reseal(key: bytes, signing_public_key: bytes) -> bytes:
    """Seal a payload key to the receiver of a message, who needs no other key than the one it signs with."""
    return bytes(bindings.crypto_box_seal(key, bindings.crypto_sign_ed25519_pk_to_curve25519(signing_public_key)))

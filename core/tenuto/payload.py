"""What lies beside an event: encrypted with a key of its own, committed to by a salted hash of the plaintext.

The author encrypts before the payload leaves its process, so a broker, a backup or a log segment holds ciphertext only,
and destroying one key forgets one payload everywhere (`keytree.py`). The commitment is over the plaintext: an AEAD ciphertext
can be made to open to two texts under two keys, a hash cannot. It is salted, so that a short secret cannot be guessed
from it once the payload is gone.

Sealing a key takes an X25519 exchange, which costs several times what everything else about a small payload costs. So an
author makes one exchange for a short run of payloads, and whoever opens them makes it once as well; the key of each
payload stays its own. See docs/decisions/0008-one-exchange-for-a-run-of-payloads.md.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError

from . import sodium
from .errors import Refused
from .events import PAYLOAD_BYTES_MAX
from .keytree import StorageKey

KEY_BYTES, NONCE_BYTES, TAG_BYTES = sodium.KEY_BYTES, sodium.NONCE_BYTES, sodium.TAG_BYTES
SALT_BYTES = 16
EXCHANGE_BYTES = 32
SEALED_KEY_BYTES = EXCHANGE_BYTES + KEY_BYTES + TAG_BYTES
WRAPPED_KEY_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
EXCHANGE_PAYLOADS_MAX = 64
EXCHANGE_SECONDS_MAX = 60.0
"""An author's key pair is for so many payloads and so long; what an intruder finds in its memory opens no more than these."""
EXCHANGES_KEPT_MAX = 4096


class PayloadRefused(Refused):
    """The payload is not what the signed header committed to, or is over its limit."""

    reason = "payload"


class Ciphertext(msgspec.Struct, frozen=True, gc=False):
    """An encrypted payload: XChaCha20-Poly1305 over `salt || plaintext`, the commitment as associated data."""

    nonce: bytes
    body: bytes


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """A ciphertext with its key sealed to one recipient: the ledger (by PayloadSealer) or a receiver (by `reseal`).

    sealed_key: an X25519 public key of the sender, then the payload key in a box. PayloadSealer's is a NaCl secret box
    (XSalsa20-Poly1305) under `exchange_key` and the ciphertext's nonce, which is random and 24 bytes long, so that it serves
    two ciphers under two keys; that of `reseal` is a libsodium sealed box.
    """

    sealed_key: bytes
    ciphertext: Ciphertext


def commitment(salt: bytes, plaintext: bytes) -> bytes:
    """`SHA-256(0x02 || salt || plaintext)`; the prefix keeps it apart from Merkle leaves (0x00) and nodes (0x01)."""
    return hashlib.sha256(b"\x02" + salt + plaintext).digest()


class PayloadSealer:
    """An author's side: encrypts each payload under a fresh key and seals that key to one recipient. Any thread may call."""

    def __init__(self, recipient: bytes, *, now: Callable[[], float] = time.monotonic) -> None:
        """`recipient` is an X25519 public key; `now` tells the seconds that an exchange has lasted."""
        self._recipient, self._now = recipient, now
        self._turn = threading.Lock()
        self._exchange = (b"", b"")
        self._payloads_left, self._until = 0, 0.0

    def seal(self, plaintext: bytes) -> tuple[Sealed, str]:
        """Return the payload, encrypted, with the commitment in hex.

        Raises PayloadRefused above PAYLOAD_BYTES_MAX (1 MiB); store larger ones by reference.
        """
        if len(plaintext) > PAYLOAD_BYTES_MAX:
            sentence = f"The payload has {len(plaintext):,} bytes; at most {PAYLOAD_BYTES_MAX:,} travel with an event."
            raise PayloadRefused(sentence + " Store it elsewhere and record its digest.", reason="oversized")
        salt, key, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        commit = commitment(salt, plaintext)
        body = sodium.encrypt(salt + plaintext, commit, nonce, key)
        public_key, shared = self._exchanged()
        return Sealed(public_key + bindings.crypto_secretbox(key, nonce, shared), Ciphertext(nonce, body)), commit.hex()

    def _exchanged(self) -> tuple[bytes, bytes]:
        """Return the public key of the present exchange and what it led to; the secret key is forgotten at once."""
        with self._turn:
            if not self._payloads_left or self._now() >= self._until:
                public_key, secret_key = bindings.crypto_box_keypair()
                agreed = bindings.crypto_box_beforenm(self._recipient, secret_key)
                self._exchange = (public_key, exchange_key(agreed, public_key, self._recipient))
                self._payloads_left, self._until = EXCHANGE_PAYLOADS_MAX, self._now() + EXCHANGE_SECONDS_MAX
            self._payloads_left -= 1
            return self._exchange


class SealOpener:
    """The recipient's side of `PayloadSealer`. Any thread may call."""

    def __init__(self, secret_key: bytes) -> None:
        """`secret_key` is the X25519 secret (32 bytes) of the key that was sealed to."""
        self._secret_key, self._public_key = secret_key, bindings.crypto_scalarmult_base(secret_key)
        self._exchanged: dict[bytes, bytes] = {}

    def open(self, sealed: Sealed) -> bytes:
        """Return the payload key; raises PayloadRefused if it was not sealed to this key."""
        public_key, box = sealed.sealed_key[:EXCHANGE_BYTES], sealed.sealed_key[EXCHANGE_BYTES:]
        try:
            shared = self._exchanged.get(public_key) or self._exchange(public_key)
            return sodium.open_box(box, sealed.ciphertext.nonce, shared)
        except (CryptoError, ValueError) as error:
            raise PayloadRefused("The payload key was not sealed to this ledger's current epoch key.") from error

    def _exchange(self, public_key: bytes) -> bytes:
        agreed = bindings.crypto_box_beforenm(public_key, self._secret_key)
        shared = exchange_key(agreed, public_key, self._public_key)
        if len(self._exchanged) >= EXCHANGES_KEPT_MAX:  # whoever floods us with keys only makes each cost what it costs
            self._exchanged.clear()
        self._exchanged[public_key] = shared
        return shared


def exchange_key(agreed: bytes, sender: bytes, recipient: bytes) -> bytes:
    """Return the key of an exchange: what X25519 agreed on, bound to both public keys as they were written.

    X25519 reads several spellings of a public key as the same; a record must have one.
    """
    return hashlib.blake2b(sender + recipient, key=agreed, digest_size=KEY_BYTES).digest()


def seal(plaintext: bytes, recipient: bytes) -> tuple[Sealed, str]:
    """Encrypt one payload for `recipient`; see `PayloadSealer.seal`. Whoever has many keeps a sealer."""
    return PayloadSealer(recipient).seal(plaintext)


def open_seal(sealed_key: bytes, public_key: bytes, secret_key: bytes) -> bytes:
    """Return the payload key that `reseal` sealed to this X25519 key pair; raises PayloadRefused if it was not."""
    try:
        return bytes(bindings.crypto_box_seal_open(sealed_key, public_key, secret_key))
    except (CryptoError, ValueError) as error:
        raise PayloadRefused("The payload key was not sealed to this receiver.") from error


def open_payload(ciphertext: Ciphertext, key: bytes, commit: str, length: int) -> bytes:
    """Return the plaintext; raises PayloadRefused unless it is what the header's commitment and length say."""
    return open_salted(ciphertext, key, commit, length)[1]


def open_salted(ciphertext: Ciphertext, key: bytes, commit: str, length: int) -> tuple[bytes, bytes]:
    """Return salt and plaintext, from which whoever has the header computes the commitment; see `open_payload`."""
    expected = bytes.fromhex(commit)
    try:
        salted = sodium.decrypt(ciphertext.body, expected, ciphertext.nonce, key)
    except (CryptoError, ValueError) as error:
        raise PayloadRefused("The payload does not open under its key: it was altered or belongs to another event.") from error
    salt, plaintext = salted[:SALT_BYTES], salted[SALT_BYTES:]
    if not hmac.compare_digest(commitment(salt, plaintext), expected):
        raise PayloadRefused("The payload is not the one that the signed header commits to.")
    if len(plaintext) != length:
        raise PayloadRefused(f"The header says {length:,} payload bytes, there are {len(plaintext):,}.")
    return salt, plaintext


def wrap_key(key: bytes, storage_key: StorageKey, commit: bytes) -> bytes:
    """Encrypt a payload key under the wrapping key of its payload, which has this commitment.

    Raises KeyDestroyed when that key was cut out of the storage key: what was purged is not written again.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + sodium.encrypt(key, commit, nonce, storage_key.key_for(commit))


def unwrap_key(wrapped: bytes, storage_key: StorageKey, commit: bytes) -> bytes:
    """The inverse of `wrap_key`; raises PayloadRefused for a foreign or altered key, KeyDestroyed after a purge.

    What does not open is tried again with the storage key as its file has it at this moment: it may just have been renewed.
    """
    nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    for again in (False, True):
        if again:
            storage_key.refresh(at_once=True)
        for wrapping in storage_key.keys_for(commit):
            try:
                return sodium.decrypt(body, commit, nonce, wrapping)
            except (CryptoError, ValueError):
                continue
    raise PayloadRefused("The stored payload key was altered or wrapped under another storage key.")


def reseal(key: bytes, signing_public_key: bytes) -> bytes:
    """Seal a payload key to the receiver of a message, who needs no other key than the one it signs with (sealed box)."""
    return bytes(bindings.crypto_box_seal(key, bindings.crypto_sign_ed25519_pk_to_curve25519(signing_public_key)))

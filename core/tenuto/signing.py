"""Signatures over bytes, never over a re-encoding of them.

What is signed is the DSSE pre-authentication encoding (DSSE protocol v1, "PAE"), so the payload type is inside the
signature. Verification is libsodium's: it refuses small-order public keys, under which a signature proves nothing, and we
refuse such keys again when they are registered.

An author signs one header, or a sheaf of them (`tenuto.sheaf`) under another payload type, so that neither signature can
pass for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from nacl import bindings
from nacl.exceptions import CryptoError

from . import sodium
from .errors import Refused
from .payload import open_seal
from .sheaf import SIGNATURE_BYTES, SheafRefused, bind, signed_by_member

EVENT_TYPE = b"application/vnd.tenuto.event.v1+json"
SHEAF_TYPE = b"application/vnd.tenuto.sheaf.v1"
PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SHEAVES_KEPT_MAX = 4096
_EVENT_PREFIX = b"DSSEv1 %d %s " % (len(EVENT_TYPE), EVENT_TYPE)
_SHEAF_PREFIX = b"DSSEv1 %d %s " % (len(SHEAF_TYPE), SHEAF_TYPE)


class SignatureRefused(Refused):
    """The signature does not hold under this key."""

    reason = "signature"


class KeyRefused(Refused):
    """The public key may not be used at all."""

    reason = "unknown_key"


class Signer(Protocol):
    """Something that signs in the name of one author; the private key may live elsewhere (file, PKCS#11, KMS)."""

    @property
    def author(self) -> str:
        """Whose signature this is."""
        ...

    @property
    def key_id(self) -> str:
        """Which registered key signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature (RFC 8032) over exactly these bytes."""
        ...


class SeedSigner:
    """A signer with its Ed25519 seed in memory."""

    def __init__(self, author: str, seed: bytes) -> None:
        """`seed` is the 32-byte private key of RFC 8032."""
        if len(seed) != SEED_BYTES:
            message = f"An Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}."
            raise KeyRefused(message)
        self.author = author
        self.public_key, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.key_id = key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def open_seal(self, sealed_key: bytes) -> bytes:
        """Return the payload key that `payload.reseal` sealed to this author; raises PayloadRefused if it was not.

        The one other use of the signing key, on the Edwards curve's X25519 form, so that a receiver needs no second key.
        """
        public_key = bindings.crypto_sign_ed25519_pk_to_curve25519(self.public_key)
        return open_seal(sealed_key, public_key, bindings.crypto_sign_ed25519_sk_to_curve25519(self._secret))


def key_id(public_key: bytes) -> str:
    """Name a key by the first 16 hex digits of its SHA-256: short enough to read aloud, long enough not to collide."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def pae(header: bytes) -> bytes:
    """DSSE pre-authentication encoding of header bytes: what the author signs."""
    return b"%s%d %s" % (_EVENT_PREFIX, len(header), header)


def sheaf_pae(body: bytes) -> bytes:
    """DSSE pre-authentication encoding of what is signed for a sheaf (`sheaf.signed_bytes`)."""
    return b"%s%d %s" % (_SHEAF_PREFIX, len(body), body)


def sign_header(signer: Signer, header: bytes) -> bytes:
    """Return the author's signature over the header bytes."""
    return signer.sign(pae(header))


def sign_headers(signer: Signer, headers: Sequence[bytes]) -> list[bytes]:
    """Sign once for all these headers and return what belongs to each: a signature for one, members of a sheaf for more.

    Raises SheafRefused for none, or for more than a sheaf holds.
    """
    if len(headers) == 1:
        return [sign_header(signer, headers[0])]
    body, tails = bind(headers)
    signature = signer.sign(sheaf_pae(body))
    return [signature + tail for tail in tails]


def verify_header(header: bytes, signature: bytes, public_key: bytes, in_sheaf: bool = False) -> None:
    """Raise SignatureRefused unless `signature` is the author's over exactly these header bytes.

    in_sheaf: whether the event is of a kind that may be signed together with others (`events.IN_SHEAF`); without it only
    a signature over this header alone counts.
    """
    if len(signature) == SIGNATURE_BYTES:
        verify_signature(pae(header), signature, public_key)
        return
    try:
        body = signed_by_member(header, signature)
    except SheafRefused as error:
        raise SignatureRefused(str(error)) from error
    if not in_sheaf:
        raise SignatureRefused("An event of this kind is signed alone; this one was signed in a sheaf with others.")
    _verify_sheaf(body, signature[:SIGNATURE_BYTES], public_key)


@lru_cache(maxsize=SHEAVES_KEPT_MAX)
def _verify_sheaf(body: bytes, signature: bytes, public_key: bytes) -> None:
    """The one signature that all members share, checked when the first of them is met.

    Remembered is only that this very signature holds over this very body under this very key: what is refused raises, and
    what raises is not kept. That a header belongs to the body is checked for each of them.
    """
    verify_signature(sheaf_pae(body), signature, public_key)


def verify_signature(message: bytes, signature: bytes, public_key: bytes) -> None:
    """Raise SignatureRefused unless `signature` is this Ed25519 key's over `message`; the one place where we verify.

    Stricter than RFC 8032 5.1.7 where that leaves room: a key or an R of small order is refused as well, and so is a key
    in a second spelling. libsodium releases the GIL here, so a thread pool verifies on all cores.
    """
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        raise SignatureRefused(f"The signature has {len(signature)} bytes and the key {len(public_key)}; 64 and 32 are right.")
    try:
        sodium.verify_detached(signature, message, public_key)
    except (CryptoError, ValueError) as error:
        raise SignatureRefused("The signature does not hold over these bytes under this key.") from error


def verify_public_key(public_key: bytes) -> None:
    """Raise KeyRefused for a key of small order, off the main subgroup, or not in canonical form (RFC 8032 5.1.3)."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise KeyRefused(f"An Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}.")
    if not bindings.crypto_core_ed25519_is_valid_point(public_key):
        raise KeyRefused("This public key is degenerate (small order or not canonical): a signature under it proves nothing.")

"""The four calls into libsodium that every event costs, without what its binding does around them.

PyNaCl looks at the type of each argument, makes three buffers and copies the outcome twice: that takes three times as long as
the cipher does for a payload of a few hundred bytes. Here the lengths are looked at, since C does not, and the same functions
of the same library are called. Everything that is not done for every event goes through PyNaCl's own binding.

libsodium releases the GIL in each of them. A failure is CryptoError, a wrong length ValueError; nothing else is raised.
"""

from __future__ import annotations

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # compiled, without stubs
from nacl.exceptions import CryptoError

SIGNATURE_BYTES, PUBLIC_KEY_BYTES = 64, 32
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 24, 16
_new_bytes = ffi.new_allocator(should_clear_after_alloc=False)
_BYTES = ffi.typeof("unsigned char[]")
_buffer, _NOTHING = ffi.buffer, ffi.NULL


def verify_detached(signature: bytes, message: bytes, public_key: bytes) -> None:
    """Raise CryptoError unless the Ed25519 signature (64 bytes) is this key's (32) over `message`."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError("a signature has 64 bytes and its key 32")
    signed = signature + message
    if lib.crypto_sign_open(_NOTHING, _NOTHING, signed, len(signed), public_key) != 0:
        raise CryptoError("the signature does not hold")


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """Return what `crypto_secretbox_easy` (XSalsa20-Poly1305) put under this nonce (24 bytes) and key (32)."""
    length = len(box) - TAG_BYTES
    if length < 0 or len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError("a box has at least 16 bytes, its nonce 24 and its key 32")
    plain = _new_bytes(_BYTES, length)
    if lib.crypto_secretbox_open_easy(plain, box, len(box), nonce, key) != 0:
        raise CryptoError("the box does not open")
    return bytes(_buffer(plain, length))


def encrypt(plain: bytes, beside: bytes, nonce: bytes, key: bytes) -> bytes:
    """Return `plain` under XChaCha20-Poly1305 with a nonce of 24 bytes and a key of 32; `beside` is authenticated as well."""
    if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError("a nonce has 24 bytes and a key 32")
    length = len(plain) + TAG_BYTES
    body = _new_bytes(_BYTES, length)
    done = lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        body, _NOTHING, plain, len(plain), beside, len(beside), _NOTHING, nonce, key
    )
    if done != 0:
        raise CryptoError("it was not encrypted")
    return bytes(_buffer(body, length))


def decrypt(body: bytes, beside: bytes, nonce: bytes, key: bytes) -> bytes:
    """The inverse of `encrypt`."""
    length = len(body) - TAG_BYTES
    if length < 0 or len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError("a body has at least 16 bytes, its nonce 24 and its key 32")
    plain = _new_bytes(_BYTES, length)
    done = lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, _NOTHING, _NOTHING, body, len(body), beside, len(beside), nonce, key
    )
    if done != 0:
        raise CryptoError("the body does not open")
    return bytes(_buffer(plain, length))

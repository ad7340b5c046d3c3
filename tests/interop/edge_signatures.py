"""Ed25519 signatures from the edges of the curve, thousands from one seed, each of a named kind.

They are made from scalars, not from seeds, since an honest signer would make none of them. What each should be is not
said here: two other implementations and the bare arithmetic say it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import NamedTuple

from nacl import bindings

from tests.unit.edwards25519 import ORDER, P
from tests.unit.test_signing import NOT_CANONICAL, SMALL_ORDER

SMALL = [bytes.fromhex(encoding) for encoding in SMALL_ORDER.values()]
RESPELLED = [bytes.fromhex(encoding) for encoding in NOT_CANONICAL.values()]
TORSION = [point for point in SMALL if point != (1).to_bytes(32, "little")]
ABOVE_THE_PRIME = [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]
"""Every encoding with a coordinate that is not reduced, whether a point of the curve or not."""
OTHERS_ABOVE = [encoding for encoding in ABOVE_THE_PRIME if encoding not in RESPELLED]


class Edge(NamedTuple):
    """One signature over a message, and the reason why it is worth a look."""

    kind: str
    key: bytes
    message: bytes
    signature: bytes


class _Secret(NamedTuple):
    scalar: int
    point: bytes


def edges(seed: int, rounds: int) -> Iterator[Edge]:
    """Yield all kinds `rounds` times, with other keys and messages each time."""
    chance = random.Random(seed)
    for _ in range(rounds):
        key, nonce, message = _secret(chance), _secret(chance), chance.randbytes(chance.randrange(80))
        signature = _signed(key, nonce, message)
        yield Edge("honest", key.point, message, signature)
        yield from _bent(chance, key, message, signature)
        # A signature over more, with the beginning of the message counted to the signature.
        yield Edge("slid", key.point, message, _signed(key, nonce, b"x" + message) + b"x")
        yield from _degenerate(chance, key, nonce, message)


def _bent(chance: random.Random, key: _Secret, message: bytes, signature: bytes) -> Iterator[Edge]:
    """Honest signatures with something changed."""
    scalar = int.from_bytes(signature[32:], "little")
    for times in range(1, 16):
        yield Edge("s_raised", key.point, message, signature[:32] + (scalar + times * ORDER).to_bytes(32, "little"))
    for value in (0, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**253 - 1, 2**255 - 19, 2**256 - 1):
        yield Edge("s_replaced", key.point, message, signature[:32] + value.to_bytes(32, "little"))
    for bit in (255, 254, 253, 252):
        yield Edge("s_high_bit", key.point, message, _flipped(signature, 256 + bit))
    yield Edge("r_bit", key.point, message, _flipped(signature, chance.randrange(256)))
    yield Edge("s_bit", key.point, message, _flipped(signature, 256 + chance.randrange(256)))
    yield Edge("key_bit", _flipped(key.point, chance.randrange(256)), message, signature)
    yield Edge("another_message", key.point, message + b"!", signature)
    yield Edge("swapped_halves", key.point, message, signature[32:] + signature[:32])
    for length in (0, 1, 31, 32, 33, 63):
        yield Edge("truncated", key.point, message, signature[:length])
    for more in (b"\0", message[:1] or b"x", bytes(32), signature):
        yield Edge("too_long", key.point, message, signature + more)
    for length in (0, 31, 33):
        yield Edge("key_of_another_length", (key.point * 2)[:length], message, signature)
    yield Edge("noise", chance.randbytes(32), message, chance.randbytes(64))


def _degenerate(chance: random.Random, key: _Secret, nonce: _Secret, message: bytes) -> Iterator[Edge]:
    """Forgeries that need no secret, or a secret and a point of small order."""
    plain = nonce.point + nonce.scalar.to_bytes(32, "little")
    for kind, points in (("small_key", SMALL), ("respelled_small_key", RESPELLED)):
        for point in points:
            yield Edge(kind, point, message, plain)  # holds whenever the challenge is a multiple of the point's order
            yield Edge(f"{kind}_and_r", point, message, chance.choice(SMALL + RESPELLED) + bytes(32))
    for kind, points in (("small_r", SMALL), ("respelled_small_r", RESPELLED)):
        for point in points:
            challenge = _challenge(point, key.point, message)
            yield Edge(kind, key.point, message, point + (challenge * key.scalar % ORDER).to_bytes(32, "little"))
    for torsion in TORSION:
        mixed = _Secret(key.scalar, bindings.crypto_core_ed25519_add(key.point, torsion))
        yield Edge("mixed_key", mixed.point, message, _signed(mixed, nonce, message))
        moved = _Secret(nonce.scalar, bindings.crypto_core_ed25519_add(nonce.point, chance.choice(TORSION)))
        yield Edge("mixed_key_and_r", mixed.point, message, _signed(mixed, moved, message))
        yield Edge("mixed_r", key.point, message, _signed(key, moved, message))
    yield Edge("key_above_the_prime", chance.choice(OTHERS_ABOVE), message, plain)
    yield Edge("r_above_the_prime", key.point, message, chance.choice(OTHERS_ABOVE) + plain[32:])


def _secret(chance: random.Random) -> _Secret:
    scalar = chance.randrange(1, ORDER)
    return _Secret(scalar, bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little")))


def _signed(key: _Secret, nonce: _Secret, message: bytes) -> bytes:
    scalar = (nonce.scalar + _challenge(nonce.point, key.point, message) * key.scalar) % ORDER
    return nonce.point + scalar.to_bytes(32, "little")


def _challenge(commitment: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + key + message).digest(), "little") % ORDER


def _flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]

"""The curve in a page of arithmetic, slow and obvious, as an independent witness of what is degenerate and what holds."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def decompress(encoding: bytes) -> Point:
    """The point of an encoding, also of a non-canonical one; raises ValueError where there is none."""
    number = int.from_bytes(encoding, "little")
    sign, y = number >> 255, (number & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        raise ValueError("not on the curve")
    return ((P - x) % P if x & 1 != sign else x, y)


def add(left: Point, right: Point) -> Point:
    """The complete addition law of the twisted Edwards curve (RFC 8032 5.1.4, in affine coordinates)."""
    (x1, y1), (x2, y2) = left, right
    product = _D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times_eight(point: Point) -> Point:
    """Eight times the point: the identity exactly when it is of small order."""
    for _ in range(3):
        point = add(point, point)
    return point


def is_degenerate(encoding: bytes) -> bool:
    """Whether the bytes are no point, a point of small order, or a point in a second spelling."""
    try:
        point = decompress(encoding)
    except ValueError:
        return True
    return times_eight(point) == IDENTITY or compress(point) != encoding


def compress(point: Point) -> bytes:
    """The one canonical encoding of a point (RFC 8032 5.1.2)."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def multiply(scalar: int, point: Point) -> Point:
    """`scalar` times the point, by doubling and adding with a common denominator (RFC 8032 5.1.4)."""
    total, addend = (0, 1, 1, 0), (*point, 1, point[0] * point[1] % P)
    while scalar:
        if scalar & 1:
            total = _add_extended(total, addend)
        addend, scalar = _add_extended(addend, addend), scalar >> 1
    inverse = pow(total[2], -1, P)
    return total[0] * inverse % P, total[1] * inverse % P


def holds(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether `S < L` and the bare equation `S*B == R + h*A` holds, without asking what kind of points these are."""
    scalar = int.from_bytes(signature[32:], "little")
    if len(key) != 32 or len(signature) != 64 or scalar >= ORDER:
        return False
    try:
        x, y = decompress(key)
    except ValueError:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    found = add(multiply(scalar, BASE), multiply(challenge, ((P - x) % P, y)))
    return compress(found) == signature[:32]


def _add_extended(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, int, int, int]:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = left, right
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * _D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))

"""The curve in ten lines of arithmetic, slow and obvious, as an independent witness of which points are degenerate."""

from __future__ import annotations

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

"""A sheaf: 2 to 64 headers of one author under one signature, each with the path that proves it by itself.

What the author signs is the root of the RFC 6962 tree whose entries are the headers, with their number before it. Kept
with each header, in place of a signature of 64 bytes, is that of the sheaf and the header's own path:

    64-byte signature | path, 32 bytes a hash, the header's sibling first | u8 index | u8 0x80 + number of headers

How many hashes there are follows from index and number, so a member has one spelling. The last byte tells a member from
a lone signature: an Ed25519 signature ends in the highest byte of a number below 2^253 (RFC 8032 5.1.7), which is less
than 0x20. Where a header stands in its sheaf means nothing; its place in history is its session, `seq` and `prev`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .errors import Refused
from .log.merkle import HASH_BYTES, leaf_hash, node_hash

SIGNATURE_BYTES = 64
SHEAF_HEADERS_MIN, SHEAF_HEADERS_MAX = 2, 64
PATH_HASHES_MAX = 6
MEMBER_BYTES_MAX = SIGNATURE_BYTES + PATH_HASHES_MAX * HASH_BYTES + 2
_MARK = 0x80


class SheafRefused(Refused):
    """The bytes are not one member of a sheaf."""

    reason = "malformed"


def bind(headers: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Return what is signed for these headers, and for each of them what follows the signature.

    Raises SheafRefused unless there are 2 to SHEAF_HEADERS_MAX (64) of them.
    """
    count = len(headers)
    if not SHEAF_HEADERS_MIN <= count <= SHEAF_HEADERS_MAX:
        raise SheafRefused(f"A sheaf has {SHEAF_HEADERS_MIN} to {SHEAF_HEADERS_MAX} headers, not {count}.")
    root, paths = _grown([leaf_hash(header) for header in headers])
    return signed_bytes(count, root), [path + bytes((index, _MARK + count)) for index, path in enumerate(paths)]


def signed_bytes(count: int, root: bytes) -> bytes:
    """Return the body that the author signs: `u8 number of headers || root`."""
    return bytes((count,)) + root


def member_length(data: bytes) -> int:
    """Return how many of the last bytes of `data` are a signature: 64, or more for a member of a sheaf.

    Raises SheafRefused when they end like a member and name a place that no sheaf has.
    """
    if len(data) < 2 or data[-1] < _MARK:
        return SIGNATURE_BYTES
    length = _LENGTHS.get(data[-2:])
    if length is None:
        raise SheafRefused(f"There is no place {data[-2]} in a sheaf of {data[-1] - _MARK} headers.")
    return length


def signed_by_member(header: bytes, member: bytes) -> bytes:
    """Return the body that the sheaf's signature must be over, if `member` is this header's; see `signed_bytes`.

    Walks up as RFC 9162 2.1.3.2 says, while `bind` walks down the definition, so that one slip cannot hide in both. Raises
    SheafRefused when the bytes are not exactly one member.
    """
    if len(member) <= SIGNATURE_BYTES or len(member) != member_length(member):
        raise SheafRefused(f"{len(member)} bytes are neither a signature nor a member of a sheaf.")
    place, count = member[-2], member[-1] - _MARK
    last, node, start, sha256 = count - 1, leaf_hash(header), SIGNATURE_BYTES, hashlib.sha256
    while last:
        # `node_hash` written out: four of them for each event, on a road where a call costs as much as its hash.
        if place & 1:
            node = sha256(b"\x01" + member[start : start + HASH_BYTES] + node).digest()
            start += HASH_BYTES
        elif place < last:
            node = sha256(b"\x01" + node + member[start : start + HASH_BYTES]).digest()
            start += HASH_BYTES
        place, last = place >> 1, last >> 1
    return signed_bytes(count, node)


def _hashes_at(index: int, count: int) -> int:
    """Return how many levels the header has a sibling on."""
    place, last, hashes = index, count - 1, 0
    while last:
        hashes += place & 1 or place < last
        place, last = place >> 1, last >> 1
    return hashes


_LENGTHS = {
    bytes((index, _MARK + count)): SIGNATURE_BYTES + _hashes_at(index, count) * HASH_BYTES + 2
    for count in range(SHEAF_HEADERS_MIN, SHEAF_HEADERS_MAX + 1)
    for index in range(count)
}
"""How long a member is, by its last two bytes; what is not in here is no place in a sheaf."""


def _grown(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the root over these leaf hashes and the path of each (RFC 6962 2.1 and 2.1.1)."""
    if len(leaves) == 1:
        return leaves[0], [b""]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    left, left_paths = _grown(leaves[:middle])
    right, right_paths = _grown(leaves[middle:])
    return node_hash(left, right), [path + right for path in left_paths] + [path + left for path in right_paths]

"""The Merkle tree of RFC 6962 (and RFC 9162 2.1): one hash for everything that was recorded, in its order.

Plain hashing, nothing of our own: a leaf is `SHA-256(0x00 || entry)`, a node `SHA-256(0x01 || left || right)`, and the
tree over n leaves splits at the largest power of two below n. To append, only the frontier is needed: the roots of the
perfect subtrees that n is made of, one for each set bit of n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the 32-byte hash of a leaf. The prefix keeps leaves and nodes apart, so neither can pass for the other."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of the node above two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the `leaf_hash` of each; an audit of hashes alone does nothing else for an entry, so no call is made for it."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def _perfect_root(nodes: list[bytes]) -> bytes:
    """Return the root above these nodes, whose number is a power of two."""
    sha256 = hashlib.sha256
    while len(nodes) > 1:
        pairs = iter(nodes)
        nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return nodes[0]


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that must be kept of a tree to append to it: `size` leaves, and the roots of its perfect subtrees.

    `hashes` holds one 32-byte root for each set bit of `size`, largest subtree first.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier after appending these leaf hashes; one node hash per leaf, amortised."""
        # Runs while every writer waits for the head row, so whole subtrees are hashed level by level: the largest that
        # begins where the tree ends and that the leaves fill.
        size, stack, rest = self.size, list(self.hashes), list(leaves)
        start = 0
        while start < len(rest):
            fits = 1 << (len(rest) - start).bit_length() - 1
            width = min(fits, size & -size) if size else fits
            carry, node = size // width, _perfect_root(rest[start : start + width])
            while carry & 1:
                node = node_hash(stack.pop(), node)
                carry >>= 1
            stack.append(node)
            size, start = size + width, start + width
        return Frontier(size, tuple(stack))

    def root(self) -> bytes:
        """Return the root over all leaves; EMPTY_ROOT when there are none."""
        if not self.hashes:
            return EMPTY_ROOT
        return reduce(lambda right, left: node_hash(left, right), reversed(self.hashes))

    def to_bytes(self) -> bytes:
        """Return the hashes one after another; together with `size` this is the frontier."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """The inverse of `to_bytes`; raises ValueError unless `data` has one hash for each set bit of `size`."""
        if size < 0 or len(data) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"A frontier over {size} events cannot have {len(data)} bytes; the head was damaged.")
        return cls(size, tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)))

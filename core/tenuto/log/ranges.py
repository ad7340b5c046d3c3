"""Part of a log under a signed root: the events from one position to another, without those before and after them.

A range needs the roots of the largest complete subtrees that lie beside it, at most two for each level of the tree. With
them and its own leaves the root of the whole tree can be computed, so nothing else can stand at these positions. The range
begins and ends at multiples of 256, as bundles and partitions do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .merkle import HASH_BYTES, Frontier, node_hash
from .proof import HashSource, ProofRefused, tree_root
from .tiles import TILE_HEIGHT, TILE_WIDTH


def beside(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield level and index of the complete subtrees of a tree of `size` leaves that lie outside of `first` to `end - 1`.

    Raises ValueError unless 0 <= first < end <= size and both are multiples of 256.
    """
    if not 0 <= first < end <= size or first % TILE_WIDTH or end % TILE_WIDTH:
        raise ValueError(f"{first} to {end} is no range of whole bundles in a log of {size}.")
    low = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            yield from _beside(level, low >> level, first, end)
            low += 1 << level


def _beside(level: int, index: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    low, high = index << level, (index + 1) << level
    if high <= first or low >= end:
        yield level, index
    elif low < first or high > end:
        yield from _beside(level - 1, 2 * index, first, end)
        yield from _beside(level - 1, 2 * index + 1, first, end)


def hashes_beside(first: int, end: int, size: int, source: HashSource) -> bytes:
    """Return the hashes of `beside`, 32 bytes each, in its order."""
    return b"".join(source.hash_at(level, index) for level, index in beside(first, end, size))


class RangeTree:
    """A tree of which only one range and what lies beside it are known; `take` the range bundle by bundle, then `root`."""

    def __init__(self, first: int, end: int, size: int, hashes: bytes) -> None:
        """`hashes` as from `hashes_beside`; raises ProofRefused when they are not as many as belong there."""
        places = list(beside(first, end, size))
        if len(hashes) != len(places) * HASH_BYTES:
            raise ProofRefused(f"{len(places)} hashes lie beside the range, not {len(hashes) / HASH_BYTES:g}.")
        self._size, self._next, self._end = size, first, end
        self._known = {place: hashes[HASH_BYTES * at : HASH_BYTES * (at + 1)] for at, place in enumerate(places)}

    def take(self, leaves: Sequence[bytes]) -> None:
        """Take the leaf hashes of the next bundle; raises ProofRefused unless it is full and belongs into the range."""
        if len(leaves) != TILE_WIDTH or self._next >= self._end:
            raise ProofRefused(f"{len(leaves)} entries are no bundle of the range at position {self._next}.")
        self._known[TILE_HEIGHT, self._next // TILE_WIDTH] = Frontier().extend(leaves).root()
        self._next += TILE_WIDTH

    def root(self) -> bytes:
        """Return the root of the whole tree; raises ProofRefused while bundles are missing."""
        if self._next != self._end:
            raise ProofRefused(f"The range ends at position {self._end}, and only {self._next} were taken.")
        return tree_root(self._size, _Filled(self._known))


class _Filled:
    """A `HashSource` that computes what is not known from what is."""

    def __init__(self, known: Mapping[tuple[int, int], bytes]) -> None:
        self._known = known

    def hash_at(self, level: int, index: int) -> bytes:
        found = self._known.get((level, index))
        if found is not None:
            return found
        if level <= TILE_HEIGHT:
            raise ProofRefused(f"No hash at level {level}, place {index} is known.")
        return node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))

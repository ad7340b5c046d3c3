"""Proofs over the tree: that an entry is in it (inclusion), that a newer tree only appended to an older (consistency).

Making and checking use different algorithms on purpose: proofs are made by walking down the definition of RFC 6962
2.1.1 and 2.1.2, and checked by walking up as RFC 9162 2.1.3.2 and 2.1.4.2 say, so that one slip cannot hide in both.

A proof for one entry travels as text (C2SP tlog-proof): index, hashes, and the checkpoint that it leads to. With the
entry and the log's key, that is all a stranger needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from ..errors import Refused
from .checkpoint import SIZE_MAX, CheckpointRefused, parse_size
from .merkle import EMPTY_ROOT, HASH_BYTES, node_hash
from .note import NOTE_BYTES_MAX, NoteRefused, decode_base64, encode_base64

PROOF_HASHES_MAX = 64
EXTRA_BYTES_MAX = 65_536
PROOF_TEXT_BYTES_MAX = 2 * EXTRA_BYTES_MAX + NOTE_BYTES_MAX
_PROOF_HEAD = b"c2sp.org/tlog-proof@v1"


class ProofRefused(Refused):
    """The proof does not lead to the root it should lead to, or is no proof at all."""


class HashSource(Protocol):
    """Where the hashes of complete subtrees come from: a folder of tiles, or a test's list of leaves."""

    def hash_at(self, level: int, index: int) -> bytes:
        """Return the root of the `2**level` leaves that begin at leaf `index * 2**level`, all of which must exist."""
        ...


@dataclass(frozen=True, slots=True)
class LogProof:
    """The offline proof of one entry. `extra` is opaque and authenticated by nothing."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    def to_text(self) -> bytes:
        """Return the C2SP tlog-proof text; by custom its file is named `*.tlog-proof`."""
        lines = [_PROOF_HEAD.decode()]
        if self.extra:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines.extend(encode_base64(proof_hash) for proof_hash in self.hashes)
        return "\n".join(lines).encode() + b"\n\n" + self.note


def tree_root(size: int, source: HashSource) -> bytes:
    """Return the root over the first `size` leaves."""
    return _root_of(0, size, source) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, source: HashSource) -> tuple[bytes, ...]:
    """Return the hashes that lead from leaf `index` to the root over `size` leaves, the leaf's sibling first."""
    if not 0 <= index < size:
        raise ProofRefused(f"There is no proof for entry {index} in a log of {size}.")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_root_of(middle, high, source))
            high = middle
        else:
            path.append(_root_of(low, middle, source))
            low = middle
    return tuple(reversed(path))


def consistency_proof(old_size: int, new_size: int, source: HashSource) -> tuple[bytes, ...]:
    """Return the hashes that show the tree over `new_size` leaves to extend that over `old_size`.

    Empty where nothing needs showing: from the empty tree, and from a tree to itself.
    """
    if not 0 <= old_size <= new_size:
        raise ProofRefused(f"A log of {new_size} entries cannot extend one of {old_size}.")
    if old_size in (0, new_size):
        return ()
    low, high, path = 0, new_size, []
    while high != old_size:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(_root_of(middle, high, source))
            high = middle
        else:
            path.append(_root_of(low, middle, source))
            low = middle
    if low:  # the old tree's own root is known to the checker; a part of it is not
        path.append(_root_of(low, high, source))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofRefused unless `leaf` is the leaf hash of entry `index` of `size` under `root` (RFC 9162 2.1.3.2)."""
    _demand_hashes(proof)
    _demand_lengths((leaf, root))
    if not 0 <= index < size <= SIZE_MAX:
        raise ProofRefused(f"There is no entry {index} in a log of {size}.")
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefused(f"The proof for entry {index} of {size} has too many hashes.")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last or node != root:
        raise ProofRefused(f"The proof for entry {index} does not lead to the root over {size} entries.")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofRefused unless the new tree begins with all of the old one (RFC 9162 2.1.4.2)."""
    _demand_hashes(proof)
    _demand_lengths((old_root, new_root))
    if not 0 <= old_size <= new_size <= SIZE_MAX:
        raise ProofRefused(f"A log of {new_size} entries cannot extend one of {old_size}.")
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise ProofRefused(f"From {old_size} to {new_size} entries no proof is needed, but the roots must agree.")
        return
    if old_size & (old_size - 1) == 0:
        proof = (old_root, *proof)
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old, new = _walked_up(place, last, proof)
    if old != old_root or new != new_root:
        raise ProofRefused(f"The log of {new_size} entries does not begin with the log of {old_size} seen before.")


def parse_log_proof(text: bytes) -> LogProof:
    """Return the proof in a C2SP tlog-proof text; raises ProofRefused. Its checkpoint note is not verified here.

    The reader then (1) hashes the entry he has, (2) calls `parse_checkpoint` and `verify_policy` on `note`, and
    (3) calls `verify_inclusion` with the root found there.
    """
    if len(text) > PROOF_TEXT_BYTES_MAX:
        raise ProofRefused(f"The proof has {len(text):,} bytes; at most {PROOF_TEXT_BYTES_MAX:,} are allowed.")
    head, gap, note = text.partition(b"\n\n")
    lines = head.split(b"\n")
    if not gap or lines.pop(0) != _PROOF_HEAD:
        raise ProofRefused(f"A proof begins with the line {_PROOF_HEAD.decode()} and ends with a checkpoint.")
    try:
        extra = decode_base64(lines.pop(0)[6:].decode("ascii")) if lines and lines[0].startswith(b"extra ") else b""
        if not lines or not lines[0].startswith(b"index "):
            raise ProofRefused("The proof does not say the index of its entry.")
        index = parse_size(lines.pop(0)[6:])
        hashes = parse_hash_lines(lines)
    except (NoteRefused, CheckpointRefused, UnicodeDecodeError) as error:
        raise ProofRefused(f"The proof is malformed: {error}") from error
    if len(extra) > EXTRA_BYTES_MAX:
        raise ProofRefused(f"The proof carries {len(extra):,} extra bytes; at most {EXTRA_BYTES_MAX:,} are allowed.")
    return LogProof(index, hashes, note, extra)


def parse_hash_lines(lines: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the hashes on these base64 lines; raises ProofRefused above PROOF_HASHES_MAX (64) or when malformed."""
    if len(lines) > PROOF_HASHES_MAX:
        raise ProofRefused(f"The proof has {len(lines)} hashes; at most {PROOF_HASHES_MAX} are allowed.")
    try:
        hashes = tuple(decode_base64(line.decode("ascii")) for line in lines)
    except (NoteRefused, UnicodeDecodeError) as error:
        raise ProofRefused(f"A line of the proof is refused: {error}") from error
    _demand_hashes(hashes)
    return hashes


def _walked_up(place: int, last: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not proof:
        raise ProofRefused("The proof of consistency is empty.")
    old = new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofRefused("The proof of consistency has too many hashes.")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRefused("The proof of consistency has too few hashes.")
    return old, new


def _demand_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > PROOF_HASHES_MAX:
        raise ProofRefused(f"The proof has {len(proof)} hashes; at most {PROOF_HASHES_MAX} are allowed.")
    _demand_lengths(proof)


def _demand_lengths(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofRefused(f"The proof contains a hash that is not {HASH_BYTES} bytes long.")


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _root_of(low: int, high: int, source: HashSource) -> bytes:
    """Return the root over leaves `low` to `high - 1`, where `low` is a multiple of the first subtree's width."""
    hashes = list(_perfect_subtrees(low, high, source))
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))


def _perfect_subtrees(low: int, high: int, source: HashSource) -> Iterator[bytes]:
    while low < high:
        level = (high - low).bit_length() - 1
        yield source.hash_at(level, low >> level)
        low += 1 << level

"""Merkle proofs of trees of any size up to 2^64, true ones and each bent in every way that we could think of.

A tree of 2^62 leaves need not exist to have a proof: the hashes are random, and the roots are those to which the definition
of RFC 6962 2.1.1 and 2.1.2 leads from them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tenuto.log.merkle import EMPTY_ROOT, HASH_BYTES, node_hash

from tests.unit.log.naive import flipped

HUGE = (2**31, 2**32 + 1, 2**53, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)


class Inclusion(NamedTuple):
    """A claim that a leaf stands in a tree. kind: `true`, or what was done to it."""

    kind: str
    leaf: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]
    root: bytes


class Consistency(NamedTuple):
    """A claim that one tree begins with another."""

    kind: str
    old: int
    old_root: bytes
    new: int
    new_root: bytes
    proof: tuple[bytes, ...]


def split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def included(chance: random.Random, index: int, size: int) -> Inclusion:
    """A true claim about a tree of random hashes."""
    leaf = chance.randbytes(HASH_BYTES)
    root, proof = _path(chance, leaf, index, size)
    return Inclusion("true", leaf, index, size, proof, root)


def extended(chance: random.Random, old: int, new: int) -> Consistency:
    """A true claim about two trees of random hashes."""
    if old == 0:
        new_root = chance.randbytes(HASH_BYTES) if new else EMPTY_ROOT
        return Consistency("true", 0, EMPTY_ROOT, new, new_root, ())
    old_root, new_root, proof = _extension(chance, old, new, whole=True)
    return Consistency("true", old, old_root, new, new_root, proof)


def bent_inclusions(chance: random.Random, claim: Inclusion) -> Iterator[Inclusion]:
    """The claim, changed; a few of the changes leave it true."""
    for kind, proof in bent_proofs(chance, claim.proof, (claim.leaf, claim.root, EMPTY_ROOT)):
        yield claim._replace(kind=kind, proof=proof)
    for index in {claim.index + 1, claim.index - 1, claim.index ^ 1, claim.size, 0, chance.choice(HUGE)} - {claim.index}:
        yield claim._replace(kind="index", index=index)
    for size in {claim.size + 1, claim.size - 1, claim.size * 2, 0, claim.index, chance.choice(HUGE)} - {claim.size}:
        yield claim._replace(kind="size", size=size)
    yield claim._replace(kind="index and size", index=claim.index * 2, size=claim.size * 2)
    for root in (flipped(claim.root, chance.randrange(32)), claim.leaf, EMPTY_ROOT, claim.root[:-1], claim.root + b"\0", b""):
        yield claim._replace(kind="root", root=root)
    for leaf in (flipped(claim.leaf, chance.randrange(32)), claim.root, claim.leaf[:-1], b"", claim.leaf * 2):
        yield claim._replace(kind="leaf", leaf=leaf)
    more = chance.randbytes(HASH_BYTES)
    for root in (node_hash(more, claim.root), node_hash(claim.root, more)):  # where one hash too many would lead
        yield claim._replace(kind="a root above", proof=(*claim.proof, more), root=root)
    yield claim._replace(kind="leaf is root", leaf=claim.leaf[:31], root=claim.leaf[:31])


def bent_consistencies(chance: random.Random, claim: Consistency) -> Iterator[Consistency]:
    """The claim, changed; a few of the changes leave it true."""
    for kind, proof in bent_proofs(chance, claim.proof, (claim.old_root, claim.new_root, EMPTY_ROOT)):
        yield claim._replace(kind=kind, proof=proof)
    for size in {claim.old + 1, claim.old - 1, claim.old * 2, 0, claim.new, chance.choice(HUGE)} - {claim.old}:
        yield claim._replace(kind="old size", old=size)
    for size in {claim.new + 1, claim.new - 1, claim.new * 2, 0, claim.old, chance.choice(HUGE)} - {claim.new}:
        yield claim._replace(kind="new size", new=size)
    other = Consistency("swapped", claim.new, claim.new_root, claim.old, claim.old_root, claim.proof)
    yield other
    for kind, size in (("same size", claim.old), ("same size", claim.new), ("both empty", 0)):
        yield claim._replace(kind=kind, old=size, new=size)
        yield claim._replace(kind=kind, old=size, new=size, proof=())
        yield claim._replace(kind=kind, old=size, new=size, new_root=claim.old_root, proof=())
    for root in (flipped(claim.old_root, chance.randrange(32)), claim.new_root, EMPTY_ROOT, claim.old_root[1:], b""):
        yield claim._replace(kind="old root", old_root=root)
    for root in (flipped(claim.new_root, chance.randrange(32)), claim.old_root, EMPTY_ROOT, claim.new_root + b"\0", b""):
        yield claim._replace(kind="new root", new_root=root)
    more = chance.randbytes(HASH_BYTES)
    for old_root in (claim.old_root, node_hash(more, claim.old_root)):
        for new_root in (node_hash(more, claim.new_root), node_hash(claim.new_root, more)):
            proof = (*claim.proof, more)
            yield claim._replace(kind="roots above", old_root=old_root, new_root=new_root, proof=proof)
    yield claim._replace(kind="short roots", new=claim.old, old_root=b"x", new_root=b"x", proof=())


def bent_proofs(
    chance: random.Random, proof: tuple[bytes, ...], spare: Sequence[bytes]
) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Hashes missing, more, repeated, out of order, altered, of another length, and far too many."""
    yield "none", ()
    yield "first missing", proof[1:]
    yield "last missing", proof[:-1]
    for one in spare:
        yield "one before", (one, *proof)
        yield "one behind", (*proof, one)
    yield "twice", proof * 2
    yield "backwards", proof[::-1]
    yield "63 hashes", (proof + tuple(spare) * 63)[:63]
    yield "64 hashes", (proof + tuple(spare) * 64)[:64]
    yield "65 hashes", (proof + tuple(spare) * 65)[:65]
    if proof:
        place = chance.randrange(len(proof))
        before, one, behind = proof[:place], proof[place], proof[place + 1 :]
        yield "one missing", (*before, *behind)
        yield "one repeated", (*before, one, one, *behind)
        yield "one altered", (*before, flipped(one, chance.randrange(32), 1 << chance.randrange(8)), *behind)
        yield "one short", (*before, one[:-1], *behind)
        yield "one long", (*before, one + b"\0", *behind)
        yield "one empty", (*before, b"", *behind)
        yield "one replaced", (*before, chance.choice(spare), *behind)
        yield "two as one", (*before, one + one, *behind)


def _path(chance: random.Random, node: bytes, index: int, size: int) -> tuple[bytes, tuple[bytes, ...]]:
    if size == 1:
        return node, ()
    middle, sibling = split(size), chance.randbytes(HASH_BYTES)
    if index < middle:
        below, proof = _path(chance, node, index, middle)
        return node_hash(below, sibling), (*proof, sibling)
    below, proof = _path(chance, node, index - middle, size - middle)
    return node_hash(sibling, below), (*proof, sibling)


def _extension(chance: random.Random, old: int, new: int, *, whole: bool) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    if old == new:
        root = chance.randbytes(HASH_BYTES)
        return root, root, () if whole else (root,)
    middle, sibling = split(new), chance.randbytes(HASH_BYTES)
    if old <= middle:
        old_root, new_root, proof = _extension(chance, old, middle, whole=whole)
        return old_root, node_hash(new_root, sibling), (*proof, sibling)
    old_root, new_root, proof = _extension(chance, old - middle, new - middle, whole=False)
    return node_hash(sibling, old_root), node_hash(sibling, new_root), (*proof, sibling)

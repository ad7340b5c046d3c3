"""The storage key, from which one event's wrapping key can be cut out for ever while every other one stays.

It is a puncturable pseudorandom function: the tree of Goldreich, Goldwasser and Micali (1986), punctured as Boneh and
Waters (2013) and Green and Miers (2015) do. A node of 32 bytes leads to its sixteen children, one BLAKE2s step each, and the
first 64 bits of an event's payload commitment are its path from the root. Whoever holds a node holds everything below it,
and nothing above or beside it. To cut out an event, its ancestors are replaced by the siblings along its path: at most
15 * 16 nodes, 7,680 bytes. From then on nobody who reads the key file can derive that one wrapping key, so that a wrapped
payload key in an old dump, a log archive or a copied disk is as dead as the deleted row.

The path comes from the signed header, never from a column of the database: nobody can lead a purge to another event's key
by changing a row, and a payload that was written twice (a transaction that failed, a backup) was wrapped under the same
key. It takes 2^64 hashes to write a payload whose path is that of somebody else's.

A tree that bears no more holes is followed by a fresh one: see `keystock.py`.

See docs/decisions/0018-a-storage-key-with-holes.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2s
from itertools import pairwise
from typing import Protocol

from .errors import NotConfigured, Refused

NODE_BYTES = 32
PATH_BYTES = 8
PATH_DIGITS = PATH_BYTES * 2
SIBLINGS_MAX = 15 * PATH_DIGITS
"""So many nodes a puncture adds at most."""
PUNCTURES_MAX = 4096
"""About 60 MB of key file, read by each process that opens payloads in some seconds."""
FORMAT = "tenuto storage key 2"
_KEPT_BYTES = 2
_DIGITS = "0123456789abcdef"
_STEPS = tuple(bytes([number]) for number in range(16))
_HIGH = tuple(_STEPS[byte >> 4] for byte in range(256))
_LOW = tuple(_STEPS[byte & 15] for byte in range(256))
WRAPPING, READ_MODEL = b"tenuto wrap", b"tenuto read model"
"""What a key is for: to wrap an event's payload key; to seal what a read model copies out of its payload."""


class KeyDestroyed(Refused):
    """The wrapping key of this payload was destroyed by a purge: nobody can open it, and nobody may write it again."""

    reason = "payload"


class StorageKey(Protocol):
    """Where the wrapping keys come from: a `KeyTree`, a `KeyStock`, or the file that holds one."""

    def key_for(self, commit: bytes, purpose: bytes = WRAPPING) -> bytes:
        """Return the key (32 bytes) of the payload with this commitment; raises KeyDestroyed once it was cut out."""
        ...

    def keys_for(self, commit: bytes, purpose: bytes = WRAPPING) -> Iterator[bytes]:
        """Yield every key under which something of this payload may lie, that of `key_for` first; raises as that does."""
        ...

    def refresh(self, *, at_once: bool = False) -> None:
        """Forget what was read from a file that is another one now; `at_once`, however short ago it was looked at."""
        ...


class KeyTree:
    """What is left of the tree. Never changes; `punctured` returns another one. Any thread may call."""

    def __init__(self, nodes: Mapping[str, bytes], gone: Iterable[str] = ()) -> None:
        """`nodes` by their path in hex digits, "" for the root; `gone`: the paths, of 16 digits, that were cut out.

        Raises ValueError unless nodes and holes together are the whole tree, each part once: a node that got lost is a
        thousand payloads that got lost.
        """
        self._nodes, self.gone = dict(nodes), frozenset(gone)
        self._kept: dict[bytes, bytes | None] = {}
        _demand_whole(self._nodes, self.gone)

    @classmethod
    def whole(cls, root: bytes) -> KeyTree:
        """The tree from which nothing was cut out; its root is 32 random bytes."""
        return cls({"": root})

    def key_for(self, commit: bytes, purpose: bytes = WRAPPING) -> bytes:
        """Return the key (32 bytes) of the payload with this commitment; raises KeyDestroyed once it was cut out.

        Raises ValueError for what is too short to be a commitment.
        """
        return blake2s(self.leaf(commit) + purpose).digest()

    def keys_for(self, commit: bytes, purpose: bytes = WRAPPING) -> Iterator[bytes]:
        """Yield the key of `key_for`, the only one."""
        yield self.key_for(commit, purpose)

    def leaf(self, commit: bytes) -> bytes:
        """Return the leaf (32 bytes) from which all keys of a payload come; raises as `key_for` does."""
        if len(commit) < PATH_BYTES:
            path_of(commit)
        upper = commit[:_KEPT_BYTES]
        try:
            node = self._kept[upper]
        except KeyError:
            node = self._keep(upper)
        if node is None:
            return self._leaf(path_of(commit))
        for byte in commit[_KEPT_BYTES:PATH_BYTES]:
            node = blake2s(blake2s(node + _HIGH[byte]).digest() + _LOW[byte]).digest()
        return node

    def refresh(self, *, at_once: bool = False) -> None:
        """Nothing to do: a tree never changes."""

    def punctured(self, commits: Iterable[bytes]) -> KeyTree:
        """Return the tree without the keys of these payloads; what is gone already stays gone.

        Raises NotConfigured above PUNCTURES_MAX.
        """
        nodes, gone = dict(self._nodes), set(self.gone)
        for path in sorted({path_of(commit) for commit in commits} - gone):
            gone.add(path)
            if len(gone) > PUNCTURES_MAX:
                sentence = f"{PUNCTURES_MAX:,} payloads were cut out of this storage key, which is as many as it bears."
                raise NotConfigured(sentence + " Nothing was purged. Run `tenuto key storage renew`, then purge again.")
            depth = self._depth(nodes, path)
            node = nodes.pop(path[:depth])
            for place in range(depth, PATH_DIGITS):
                nodes |= {path[:place] + digit: _child(node, digit) for digit in _DIGITS if digit != path[place]}
                node = _child(node, path[place])
        return KeyTree(nodes, gone)

    def to_text(self) -> str:
        """Return the key file: the root's hex digits while the tree is whole, otherwise a line for each node and hole."""
        if not self.gone:
            return self._nodes[""].hex() + "\n"
        nodes = [f"node {path} {self._nodes[path].hex()}" for path in sorted(self._nodes)]
        return "\n".join([FORMAT, *nodes, *(f"gone {path}" for path in sorted(self.gone))]) + "\n"

    @classmethod
    def from_text(cls, text: str) -> KeyTree:
        """The inverse of `to_text`; raises ValueError for anything else, also for a file that lost a line."""
        lines = text.splitlines()
        if lines[:1] != [FORMAT]:
            if len(lines) != 1:
                raise ValueError(f"it begins neither with {FORMAT!r} nor is it one key")
            return cls.whole(_node(lines[0]))
        nodes, gone = dict[str, bytes](), list[str]()
        for number, line in enumerate(lines[1:], start=2):
            word, _, rest = line.partition(" ")
            path, _, value = rest.partition(" ")
            if not set(path) <= set(_DIGITS) or word not in ("node", "gone") or path in nodes:
                raise ValueError(f"line {number} is no node and no hole")
            if word == "node":
                nodes[path] = _node(value)
            else:
                gone.append(rest)
        return cls(nodes, gone)

    def _keep(self, upper: bytes) -> bytes | None:
        """Return the node that one or two bytes of path lead to, remembered; None where something below it was cut out."""
        above = self._kept.get(upper[:-1]) if len(upper) == 1 or upper[:1] in self._kept else self._keep(upper[:1])
        if above is not None:
            byte = upper[-1]
            node: bytes | None = blake2s(blake2s(above + _HIGH[byte]).digest() + _LOW[byte]).digest()
        else:
            path = upper.hex()
            depth = next((depth for depth in range(len(path) + 1) if path[:depth] in self._nodes), None)
            node = None if depth is None else self._down(path[:depth], path)
        self._kept[upper] = node
        return node

    def _leaf(self, path: str) -> bytes:
        return self._down(path[: self._depth(self._nodes, path)], path)

    def _down(self, start: str, path: str) -> bytes:
        node = self._nodes[start]
        for digit in path[len(start) :]:
            node = _child(node, digit)
        return node

    @staticmethod
    def _depth(nodes: Mapping[str, bytes], path: str) -> int:
        """Return how deep the node above a path lies that is still there."""
        for depth in range(PATH_DIGITS + 1):
            if path[:depth] in nodes:
                return depth
        raise KeyDestroyed("The key of this payload was destroyed by a purge; nobody can open it or write it again.")


def path_of(commit: bytes) -> str:
    """Return the path of a payload: the first 64 bits of its commitment as 16 hex digits. Raises ValueError if shorter."""
    if len(commit) < PATH_BYTES:
        raise ValueError(f"a commitment has 32 bytes, not {len(commit)}")
    return commit[:PATH_BYTES].hex()


def _child(node: bytes, digit: str) -> bytes:
    """BLAKE2s of the node and one byte: all inputs have the same length, and it has no length extension to abuse."""
    return blake2s(node + _STEPS[int(digit, 16)]).digest()


def _node(text: str) -> bytes:
    node = bytes.fromhex(text)
    if len(node) != NODE_BYTES or node.hex() != text:
        raise ValueError(f"a node has {NODE_BYTES * 2} hex digits, in lower case")
    return node


def _demand_whole(nodes: Mapping[str, bytes], gone: frozenset[str]) -> None:
    paths = sorted([*nodes, *gone])
    if any(len(path) != PATH_DIGITS for path in gone) or any(len(node) != NODE_BYTES for node in nodes.values()):
        raise ValueError("a hole has 16 hex digits, and a node 32 bytes")
    if any(later.startswith(earlier) for earlier, later in pairwise(paths)):
        raise ValueError("a part of the tree is there twice")
    if sum(16 ** (PATH_DIGITS - len(path)) for path in paths) != 16**PATH_DIGITS:
        raise ValueError("a part of the tree is missing")

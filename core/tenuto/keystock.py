"""The storage key after its renewals: the tree of now, and the leaves of former trees that are still wanted.

A tree bears so many holes and no more. The one that follows it has none, but what was wrapped before is wrapped under the
leaves of the tree before. So each of those leaves that a stored payload needs is kept: encrypted under the leaf that the
new tree has at the same place, in a file beside the key. The old tree is destroyed. Rows, archives, read models and old
dumps stay byte for byte as they are and open as before; and to cut a payload out of the new tree is to cut out what was
kept for it, in every copy. What former trees lost stays lost: their holes are remembered by path.

    the tree of now                                     bears holes, as every tree
    gone        the holes of former trees               8 bytes each, for ever
    kept        leaves of former trees                  in a file of its own (`adapters/keptleaves.py`)
    late        the same for what was on its way        in the key's own file
    closing     the tree before, during a renewal       readable by it too, nothing is purged meanwhile

See docs/decisions/0033-a-renewed-storage-key.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2s
from typing import Protocol

from nacl.exceptions import CryptoError

from . import sodium
from .errors import Busy, Refused
from .keytree import NODE_BYTES, PATH_BYTES, PATH_DIGITS, WRAPPING, KeyDestroyed, KeyTree, path_of

FORMAT = "tenuto storage key 3"
KEEPING = b"tenuto kept leaf"
BOX_BYTES = NODE_BYTES + sodium.TAG_BYTES
UNFINISHED = "The storage key is being renewed. Run `tenuto key storage renew` to its end, then purge again; nothing was purged."
_TREE = "tree"


class LeafDamaged(Refused):
    """What was kept for this payload is not what a renewal wrote."""

    reason = "payload"


class Kept(Protocol):
    """The leaves that a renewal kept, each encrypted."""

    def find(self, path: bytes) -> Sequence[bytes]:
        """Return what was kept for the payloads with this path (8 bytes), in the order of its use; mostly nothing, or one."""
        ...


@dataclass(frozen=True, slots=True)
class Past:
    """What remains of former trees. renewal: how many there were. covered: events of the log that the last renewal saw.

    gone: the paths, of 16 digits, that were cut out of them. late: by path, what was kept for payloads that were being
    written while the key changed.
    """

    renewal: int = 0
    covered: int = 0
    gone: frozenset[str] = frozenset()
    late: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)


class KeyStock:
    """A storage key. Never changes; `punctured` returns another one. Any thread may call."""

    def __init__(
        self, tree: KeyTree, past: Past | None = None, kept: Kept | None = None, closing: KeyStock | None = None
    ) -> None:
        """`kept` is there after a renewal, `closing`, the storage key before, only while one is under way."""
        self.tree, self.past, self.kept, self.closing = tree, past or Past(), kept, closing

    @property
    def gone(self) -> frozenset[str]:
        """Every path that was ever cut out."""
        return self.tree.gone | self.past.gone

    def key_for(self, commit: bytes, purpose: bytes = WRAPPING) -> bytes:
        """Return the key (32 bytes) under which anything of this payload is written; raises KeyDestroyed after a purge."""
        if not self.past.renewal:
            return self.tree.key_for(commit, purpose)
        return blake2s(next(self.leaves(commit)) + purpose).digest()

    def keys_for(self, commit: bytes, purpose: bytes = WRAPPING) -> Iterator[bytes]:
        """Yield every key under which something of this payload may lie; raises KeyDestroyed, LeafDamaged."""
        return (blake2s(leaf + purpose).digest() for leaf in self.leaves(commit))

    def refresh(self, *, at_once: bool = False) -> None:
        """Nothing to do: it never changes."""

    def leaves(self, commit: bytes) -> Iterator[bytes]:
        """Yield the leaves of a payload, the one that is written under first.

        What a renewal kept comes before the tree's own leaf, so that the same text of a read model is always sealed alike.
        For what was on its way just then it is the other way round: its copies were sealed under the own leaf already.
        """
        path = path_of(commit)
        if path in self.past.gone:
            raise KeyDestroyed("The key of this payload was destroyed by a purge; nobody can open it or write it again.")
        own = self.tree.leaf(commit)
        if self.kept is not None:
            yield from _opened(self.kept.find(commit[:PATH_BYTES]), path, own)
        yield own
        yield from _opened(self.past.late.get(path, ()), path, own)
        if self.closing is not None:
            yield from self.closing.leaves(commit)

    def punctured(self, commits: Iterable[bytes]) -> KeyStock:
        """Return the storage key without the keys of these payloads; raises NotConfigured as `KeyTree.punctured` does.

        Raises Busy while a renewal is under way: the tree before would still open them.
        """
        left = {commit[:PATH_BYTES] for commit in commits if path_of(commit) not in self.past.gone}
        tree = self.tree.punctured(left)
        if self.closing is not None and tree.gone != self.tree.gone:
            raise Busy(UNFINISHED)
        late = {path: boxes for path, boxes in self.past.late.items() if path not in tree.gone}
        return KeyStock(tree, replace(self.past, late=late), self.kept, self.closing)

    def without_closing(self) -> KeyStock:
        """Return what will be left once the renewal that is under way has ended."""
        return KeyStock(self.tree, self.past, self.kept)

    def carried(self, path: bytes, tree: KeyTree) -> list[bytes]:
        """Return what must be kept for a path (8 bytes) under another `tree`; nothing once it was cut out."""
        late = path.hex() in self.past.late
        try:
            leaves = list(self.without_closing().leaves(path))
        except KeyDestroyed:
            return []
        needed = leaves if late or len(leaves) == 1 else leaves[:-1]  # the own leaf behind a kept one wraps nothing
        key = blake2s(tree.leaf(path) + KEEPING).digest()
        return [sodium.encrypt(leaf, path, _nonce(number), key) for number, leaf in enumerate(needed)]

    def to_text(self) -> str:
        """Return the key file; before the first renewal that of the tree alone."""
        if not self.past.renewal:
            return self.tree.to_text()
        lines = [FORMAT, f"renewal {self.past.renewal}", f"covered {self.past.covered}"]
        lines += [f"gone {path}" for path in sorted(self.past.gone)]
        lines += [f"late {path} {box.hex()}" for path in sorted(self.past.late) for box in self.past.late[path]]
        return "\n".join([*lines, _TREE]) + "\n" + self.tree.to_text()

    @classmethod
    def from_text(cls, text: str, kept_of: Callable[[int], Kept], closing: KeyStock | None = None) -> KeyStock:
        """The inverse of `to_text`; raises ValueError for anything else. `kept_of` opens the file of a renewal."""
        if not text.startswith(FORMAT + "\n"):
            return cls(KeyTree.from_text(text), closing=closing)
        head, found, rest = text.partition(f"\n{_TREE}\n")
        lines = head.splitlines()[1:]
        if not found or len(lines) < 2:
            raise ValueError(f"there is no line {_TREE!r}, or nothing before it")
        renewal, covered = _number(lines[0], "renewal"), _number(lines[1], "covered")
        if renewal < 1:
            raise ValueError("a renewal has a number from 1 on")
        gone, late = set[str](), dict[str, tuple[bytes, ...]]()
        for number, line in enumerate(lines[2:], start=4):
            word, _, said = line.partition(" ")
            path, _, box = said.partition(" ")
            if len(path) != PATH_DIGITS or bytes.fromhex(path).hex() != path or word != ("late" if box else "gone"):
                raise ValueError(f"line {number} is no hole and no leaf")
            if box:
                late[path] = (*late.get(path, ()), _box(box))
            else:
                gone.add(path)
        past = Past(renewal, covered, frozenset(gone), late)
        return cls(KeyTree.from_text(rest), past, kept_of(renewal), closing)


def _opened(boxes: Sequence[bytes], path: str, own: bytes) -> Iterator[bytes]:
    if not boxes:
        return
    key = blake2s(own + KEEPING).digest()
    for number, box in enumerate(boxes):
        try:
            yield sodium.decrypt(box, bytes.fromhex(path), _nonce(number), key)
        except (CryptoError, ValueError) as error:
            sentence = "What the renewal of the storage key kept for this payload is damaged. Restore the key folder's `.kept` file."
            raise LeafDamaged(sentence) from error


def _nonce(number: int) -> bytes:
    """A key of KEEPING encrypts the leaves of one path, once, in their order: counting is enough."""
    return number.to_bytes(sodium.NONCE_BYTES, "big")


def _number(line: str, word: str) -> int:
    said = line.removeprefix(word + " ")
    if said == line or not said.isdecimal() or not said.isascii():
        raise ValueError(f"the number of `{word}` is missing")
    return int(said)


def _box(text: str) -> bytes:
    box = bytes.fromhex(text)
    if len(box) != BOX_BYTES or box.hex() != text:
        raise ValueError(f"a kept leaf has {BOX_BYTES * 2} hex digits, in lower case")
    return box

"""The file of what a renewal of the storage key kept: written once, looked up by everybody who opens payloads, never changed.

    16 bytes    "tenuto kept 1" and line feeds
     8 bytes    how many leaves, little-endian
     8 bytes    each: the path, first 64 bits of the payload's commitment, as a little-endian number, ascending
    48 bytes    each: the leaf, encrypted (`tenuto.keystock`), in the same order

Whoever has this file and not the storage key has nothing. Without it the storage key opens nothing from before the renewal,
so it lies in the key folder, and is backed up with it. It is mapped, not read: a process pays for what it looks up.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO

from ..errors import NotConfigured
from ..keystock import BOX_BYTES
from ..keytree import PATH_BYTES

_HEAD = b"tenuto kept 1".ljust(16, b"\n")
_COUNT_BYTES = 8
_START = len(_HEAD) + _COUNT_BYTES
FLUSH_LEAVES = 65_536
"""So many leaves are gathered before they are written."""


def kept_file(renewal: int) -> str:
    """The file name of what the renewal of this number kept."""
    return f"storage-{renewal}.kept"


class KeptLeaves:
    """One such file, open; it outlives the file's name. Any thread may call."""

    def __init__(self, path: Path) -> None:
        """Raise NotConfigured, with the remedy, when it is missing or not whole."""
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise NotConfigured(f"{path} belongs to the storage key and cannot be read: {error}. Restore it.") from error
        number = int.from_bytes(self._data[len(_HEAD) : _START], "little")
        if self._data[: len(_HEAD)] != _HEAD or len(self._data) != _START + number * (PATH_BYTES + BOX_BYTES):
            raise NotConfigured(f"{path} is not whole: it does not hold what a renewal of the storage key wrote. Restore it.")
        self._boxes_at = _START + number * PATH_BYTES
        self._paths: Sequence[int] = memoryview(self._data)[_START : self._boxes_at].cast("Q")
        if sys.byteorder == "big":
            swapped = array("Q", self._paths)
            swapped.byteswap()
            self._paths = swapped

    def __len__(self) -> int:
        """How many leaves it holds."""
        return len(self._paths)

    def find(self, path: bytes) -> list[bytes]:
        """Return what was kept for this path; see `keystock.Kept`."""
        wanted, found = int.from_bytes(path, "big"), list[bytes]()
        for place in count(bisect_left(self._paths, wanted)):
            if place == len(self._paths) or self._paths[place] != wanted:
                return found
            start = self._boxes_at + place * BOX_BYTES
            found.append(self._data[start : start + BOX_BYTES])
        return found


def write_kept(path: Path, leaves: Iterable[tuple[int, Sequence[bytes]]]) -> int:
    """Write the file: beside its place, durably, then renamed; return how many leaves are in it.

    `leaves`: path and what is kept for it, by ascending path. The folder is not flushed; what an earlier attempt left is
    replaced. May be repeated after a crash at any point.
    """
    paths, boxes = array("Q"), path.with_name(path.name + ".boxes")
    new = path.with_name(path.name + ".new")
    with _created(boxes) as file:
        gathered = bytearray()
        for place, kept in leaves:
            for box in kept:
                paths.append(place)
                gathered += box
            if len(gathered) >= FLUSH_LEAVES * BOX_BYTES:
                file.write(gathered)
                gathered.clear()
        file.write(gathered)
    if sys.byteorder == "big":
        paths.byteswap()
    with _created(new) as file, boxes.open("rb") as middle:
        file.write(_HEAD + len(paths).to_bytes(_COUNT_BYTES, "little") + paths.tobytes())
        while part := middle.read(FLUSH_LEAVES * BOX_BYTES):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    boxes.unlink()
    new.replace(path)
    return len(paths)


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

"""An endless log made once, and read from a file by every part that is measured: to make an event takes as long as to read ten.

The file holds one record after the other: the length of its key, the length of the record, key, record. It is read in order
and no further than it is asked for, so whoever reads keeps one block of it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from .endless import Endless, Made

AT_ONCE = 4096
AHEAD_EVENTS = 20_000
"""So many more are made than are measured: ingest reads ahead, and every part takes whole slices."""
RECORD_BYTES = 1200
"""What a record takes in the file, rounded up; a sealed log takes less."""
FREE_BYTES = 2 * 2**30
_LENGTHS = struct.Struct("<HI")


class NoRoomToMeasure(Exception):
    """The disk has no room for so many events."""


def prepare(file: Path, events: int) -> None:
    """Make the first `events` records of a new endless log, and AHEAD_EVENTS more.

    Raises NoRoomToMeasure unless the disk takes them twice, since the sealer writes them once more.
    """
    needed, free = 2 * (events + AHEAD_EVENTS) * RECORD_BYTES + FREE_BYTES, shutil.disk_usage(file.parent).free
    if free < needed:
        sentence = f"{events:,} events need {needed >> 30} GiB in {file.parent} and {free >> 30} are free."
        raise NoRoomToMeasure(f"{sentence} Set TMPDIR to a larger disk, or ask for fewer with --events.")
    log, left = Endless(), events + AHEAD_EVENTS
    with file.open("wb") as written:
        while left > 0:
            made = log.take(min(AT_ONCE, left))
            written.writelines(_LENGTHS.pack(len(one.key), len(one.record)) + one.key + one.record for one in made)
            left -= len(made)


class Prepared:
    """The records of such a file, one after another (`endless.Records`); a context manager."""

    def __init__(self, file: Path) -> None:
        """At the first record."""
        self._file = file.open("rb")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def take(self, events: int) -> Sequence[Made]:
        """Return the next ones; raises EOFError where there are not so many."""
        return [self._next() for _ in range(events)]

    def _next(self) -> Made:
        lengths = self._file.read(_LENGTHS.size)
        if not lengths:
            raise EOFError(f"{self._file.name} ends here; prepare more events.")
        key, record = _LENGTHS.unpack(lengths)
        return Made(self._file.read(key), self._file.read(record))

"""One step of the export: take what was newly signed, hold it until its root is final, hand it over, move the cursor.

What never happens:

 1. An event is written that the signed checkpoint does not cover.
 2. A line is written before the line of an earlier position.
 3. The cursor says that an event is there before the sink said so.
 4. An export goes on under a log that contradicts its cursor, or the file it writes to.

A follower's pages are final only once it has compared the root, so lines wait in a spool (memory, then an unnamed file)
until it has; a catch-up over any number of events needs no more memory than one page.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol

import msgspec
from tenuto.errors import NotConfigured
from tenuto.log.checkpoint import Checkpoint
from tenuto.log.merkle import Frontier
from tenuto.verification import LogWalk, Verified

from .cursor import Cursor, CursorFile, CursorRefused, NoCursor
from .jsonl import ascii_json
from .sinks import LineReader, Sink

SPOOL_MEMORY_BYTES = 16 * 1024 * 1024
PART_BYTES = 4 * 1024 * 1024
PART_EVENTS = 500


class Following(Protocol):
    """What the export needs of `tenuto.following.Follower`."""

    walk: LogWalk

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest signed checkpoint."""
        ...

    def pages(self) -> Iterator[list[Verified]]:
        """Yield what was signed since the last call."""
        ...


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How events are written. record: event, checkpoint size, whether with payload, to the object of its line."""

    name: str
    record: Callable[[Verified, int, bool], dict[str, Any]]
    reader: LineReader


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines that are handed over at once: their length in the spool, and the cursor once they are there."""

    length: int
    size: int
    root: bytes


class Exporter:
    """One export to one destination, from where its cursor stands."""

    def __init__(
        self, follower: Following, sink: Sink, line_format: LineFormat, store: CursorFile | NoCursor, cursor: Cursor,
        *, payloads: bool = False,
    ) -> None:  # fmt: skip
        """`cursor` is where it would begin, `store` knows better if it began before; `store` and `sink` are its own.

        Raises CursorRefused, or NotConfigured, when cursor, sink and log do not belong together.
        """
        self._follower, self._sink, self._format, self._store = follower, sink, line_format, store
        self._payloads = payloads
        self._spool = _spool(store.path.parent if isinstance(store, CursorFile) else None)
        self._frontier = Frontier()
        self._parts: deque[Part] = deque()
        self._read_from = 0
        try:
            self.cursor = self._saved = store.load(cursor)
            self._start = self.cursor.size
            self._there = deque(sink.resume(self._start, line_format.reader))
            self._verify_beginning()
        except BaseException:
            self.close()
            raise

    def step(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Export what the log has signed since, and return by how many events the cursor moved.

        Raises Busy, from ledger or sink: nothing is lost, call it again. Raises VerificationFailed: stop for good.
        """
        for page in self._follower.pages():
            self._hold(page)
            if stopped():
                return 0
        self._verify_reached()
        return self._hand_over(stopped)

    def close(self) -> None:
        """Let go of sink, cursor and spool."""
        self._sink.close()
        self._store.close()
        self._spool.close()

    def _verify_beginning(self) -> None:
        if self._there and self._there[0].position not in (self._start - 1, self._start):
            sentence = f"The destination begins at position {self._there[0].position:,}, and its cursor is not here."
            raise NotConfigured(f"{sentence} Name the cursor with --cursor, or another destination.")

    def _hold(self, page: list[Verified]) -> None:
        """Write the lines of a page into the spool, in parts; what the destination has already is only compared."""
        leaves: list[bytes] = []
        length = 0
        self._spool.seek(0, os.SEEK_END)
        for verified in page:
            leaves.append(verified.leaf)
            there = self._is_there(verified)
            if verified.position >= self._start and not there:
                length += self._spool.write(self._frame(verified))
            if verified.position + 1 == self._start or length >= PART_BYTES or len(leaves) >= PART_EVENTS:
                self._end_part(leaves, length)
                leaves, length = [], 0
        if leaves:
            self._end_part(leaves, length)

    def _end_part(self, leaves: list[bytes], length: int) -> None:
        self._frontier = self._frontier.extend(leaves)
        size = self._frontier.size
        if size < self._start:
            return
        root = self._frontier.root()
        if size > self._start:
            self._parts.append(Part(length, size, root))
        elif root.hex() != self.cursor.root:
            raise CursorRefused(f"the first {size:,} events are not those that were exported before")

    def _is_there(self, verified: Verified) -> bool:
        """Compare an event with the line that the destination holds of it; raises CursorRefused if they differ."""
        if not self._there or self._there[0].position != verified.position:
            return False
        mark = self._there.popleft()
        if (mark.origin, mark.leaf) != (verified.event.log_origin, verified.leaf.hex()):
            raise CursorRefused(f"the destination holds another event at position {verified.position} than the log")
        return True

    def _frame(self, verified: Verified) -> bytes:
        checkpoint = self._follower.checkpoint
        size = self._follower.walk.size if checkpoint is None else checkpoint.size
        line = ascii_json(self._format.record(verified, size, self._payloads))
        longest = self._sink.line_bytes_max
        if self._payloads and longest is not None and len(line) > longest:
            line = ascii_json(self._format.record(verified, size, False))
        return self._sink.frame(verified, line)

    def _verify_reached(self) -> None:
        """Raise VerificationFailed when the signed log ends before the cursor, or before what the destination holds."""
        size = self._follower.walk.size
        if size < self.cursor.size:
            raise CursorRefused(f"{self.cursor.size:,} events were exported before, the log has signed {size:,}")
        if self._there:
            last = self._there[-1].position
            raise CursorRefused(f"the destination holds position {last}, the log has signed {size:,} events")
        if self._payloads:
            self._follower.walk.verify_no_payload_missing()

    def _hand_over(self, stopped: Callable[[], bool]) -> int:
        before = self.cursor.size
        self._save()
        while self._parts:
            if stopped():
                return self.cursor.size - before
            part = self._parts[0]
            self._spool.seek(self._read_from)
            frames = self._spool.read(part.length)
            if frames:
                self._sink.write(frames)
            # From here on the destination has them: a cursor that cannot be saved must not bring them back. A crash
            # before it is saved is what `resume` is for.
            self._parts.popleft()
            self._read_from += part.length
            self.cursor = msgspec.structs.replace(self.cursor, size=part.size, root=part.root.hex())
            self._save()
        self._spool.seek(0)
        self._spool.truncate()
        self._read_from = 0
        return self.cursor.size - before

    def _save(self) -> None:
        if self.cursor is not self._saved:
            self._store.save(self.cursor)
            self._saved = self.cursor


def _spool(folder: Path | None) -> SpooledTemporaryFile[bytes]:
    return SpooledTemporaryFile(SPOOL_MEMORY_BYTES, dir=None if folder is None else str(folder))

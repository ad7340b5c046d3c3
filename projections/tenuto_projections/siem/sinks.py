"""Where exported lines go. A sink says when they are there; until then the cursor does not move.

What a crash leaves, for a file:

| crash | left behind | at the next start |
| --- | --- | --- |
| before the write | nothing | written |
| inside the write | whole lines and a piece of one | whole ones are compared and kept, the piece is cut off |
| after the write, before the cursor | whole lines | compared and kept, none is written twice |
| after the cursor | whole lines | the export goes on behind them |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Protocol

from tenuto.errors import Busy, NotConfigured
from tenuto.verification import Verified

from .cursor import CursorRefused, lock, sync_folder
from .jsonl import Mark, NotALine

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LineReader:
    """How a sink recognises the lines of a format: how they begin, and what they say; `mark` raises NotALine."""

    opening: bytes
    mark: Callable[[bytes], Mark]


class Sink(Protocol):
    """A destination of the export.

    line_bytes_max: a longer line is written without its payload; None where any length fits.
    """

    line_bytes_max: int | None

    def resume(self, size: int, reader: LineReader) -> Sequence[Mark]:
        """Return what the sink holds already, from position `size - 1` on, in order; `size` is the cursor's."""
        ...

    def frame(self, verified: Verified, line: bytes) -> bytes:
        """Return the bytes of one line as they travel."""
        ...

    def write(self, frames: bytes) -> None:
        """Write whole frames; they are in the destination's hands on return. Raises Busy if it is away: repeat."""
        ...

    def close(self) -> None:
        """Let go of the destination."""
        ...


class PipeSink:
    """Standard output: what was flushed is the reader's."""

    line_bytes_max: int | None = None

    def resume(self, size: int, reader: LineReader) -> Sequence[Mark]:
        """A pipe holds nothing."""
        return ()

    def frame(self, verified: Verified, line: bytes) -> bytes:
        """One line."""
        return line + b"\n"

    def write(self, frames: bytes) -> None:
        """Write and flush; a reader that closed the pipe ends the command quietly."""
        try:
            sys.stdout.buffer.write(frames)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Python would complain once more when it flushes at exit, so that flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None

    def close(self) -> None:
        """Standard output stays open."""


class FileSink:
    """A file that only grows, a line per event; durable when `write` returns."""

    line_bytes_max: int | None = None

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Open or create `path`, mode 0600; raises NotConfigured if that cannot be, Busy if another export has it."""
        self.path, self._say = path, say
        try:
            self._file = self._open()
        except OSError as error:
            raise NotConfigured(f"The file {path} cannot be written: {error.strerror}.") from error

    def resume(self, size: int, reader: LineReader) -> Sequence[Mark]:
        """Find the lines behind the cursor, cut off what a crash left of the last one, return the marks of the rest.

        An empty file goes on at the cursor: it was rotated away. Raises CursorRefused when the file ends before the
        cursor, NotConfigured when it holds something else than this export; then nothing in it was changed.
        """
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                if size:
                    self._say(f"{self.path} is empty and goes on at position {size:,}, where the cursor stands.")
                return ()
            marks, good = _marks(file, self._line_of(file, size - 1, reader) if size else 0, reader)
            file.seek(good)
            rest = file.read()
        if rest:
            self._demand_torn(rest, good, reader)
            self._say(f"{len(rest):,} bytes that a crash left at the end of {self.path} were cut off.")
            self._cut(good)
        return marks

    def frame(self, verified: Verified, line: bytes) -> bytes:
        """One line."""
        return line + b"\n"

    def write(self, frames: bytes) -> None:
        """Append and fsync, in a new file if the old one was moved away (rotation).

        Raises Busy when the disk is full, after taking back what of the frames was written.
        """
        try:
            if self._is_moved():
                self._file.close()
                self._file = self._open()
            before = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise Busy(f"{self.path} cannot be written: {error.strerror}.") from error
        try:
            rest = memoryview(frames)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(before)
            raise Busy(f"{self.path} cannot take more: {error.strerror}.") from error

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()

    def _open(self) -> FileIO:
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        sync_folder(self.path.parent)
        return lock(self.path, f"the file {self.path}")

    def _is_moved(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self._file.fileno()))

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)
        os.fsync(self._file.fileno())

    def _line_of(self, file: BufferedReader, position: int, reader: LineReader) -> int:
        """Return the offset of the line of `position`, looking from the end; lines that a crash tore are passed over.

        In a file that was rotated since, the next line, or none at all, is as good.
        """
        first: tuple[int, int] | None = None
        for offset, line in lines_backwards(file):
            try:
                first = offset, reader.mark(line).position
            except NotALine:
                continue
            if first[1] == position:
                return offset
            if first[1] < position:
                break
        if first is None or first == (0, position + 1):
            return 0
        sentence = f"{self.path} does not hold position {position}, of which the cursor says that it is there"
        raise CursorRefused(sentence)

    def _demand_torn(self, rest: bytes, offset: int, reader: LineReader) -> None:
        """Only what a crash can leave may be cut: a line without its end, or blocks that never reached the disk."""
        piece = b"\n" not in rest and (rest.startswith(reader.opening) or reader.opening.startswith(rest))
        if piece or (offset and b"\0" in rest):
            return
        sentence = f"{self.path} holds something else than this export, from byte {offset:,} on."
        raise NotConfigured(f"{sentence} Name another file, or move it away together with its cursor.")


def lines_backwards(file: BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of every line that has its end, from the last to the first."""
    position, head, ended = file.seek(0, os.SEEK_END), b"", False
    while position > 0:
        step = min(BLOCK_BYTES, position)
        position -= step
        file.seek(position)
        head, *lines = (file.read(step) + head).split(b"\n")
        if not lines:
            continue
        if not ended:
            ended = True
            lines.pop()
        offset = position + len(head) + 1 + sum(len(line) + 1 for line in lines)
        for line in reversed(lines):
            offset -= len(line) + 1
            yield offset, line
    if ended:
        yield 0, head


def _marks(file: BufferedReader, start: int, reader: LineReader) -> tuple[list[Mark], int]:
    """Return the marks of the lines from offset `start` on that follow one another, and the offset behind them."""
    marks: list[Mark] = []
    file.seek(start)
    for line in file:
        try:
            found = reader.mark(line) if line.endswith(b"\n") else None
        except NotALine:
            found = None
        if found is None or (marks and found.position != marks[-1].position + 1):
            break
        marks.append(found)
        start += len(line)
    return marks, start

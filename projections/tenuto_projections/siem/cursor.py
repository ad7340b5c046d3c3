"""How far an export came, and in which history: a small file that is replaced whole, after the sink has the events.

The cursor is a checkpoint of the export's own: origin, number of events, and the root over exactly those. A log that
was rolled back, rewritten or exchanged cannot continue under it; the export says so and never sends a second history.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from io import FileIO
from pathlib import Path

import msgspec
from tenuto.errors import UNREADABLE, Busy, NotConfigured
from tenuto.events.base import Hash
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.verification import VerificationFailed

CURSOR_VERSION = 1


class CursorRefused(VerificationFailed):
    """The cursor, or what the sink holds already, is not of this log's history (step 9)."""

    def __init__(self, sentence: str) -> None:
        """The sentence names what was expected and what was found."""
        super().__init__(9, sentence)


class Cursor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of one export to one destination.

    size: how many events the destination has, from position 0 on. root: Merkle root over them, hex.
    destination, format: what this cursor counts for; with another one it would skip what was never sent there.
    """

    version: int = CURSOR_VERSION
    origin: str
    destination: str
    format: str
    size: int = 0
    root: Hash = EMPTY_ROOT.hex()

    def key(self) -> str:
        """A short name for this export, the same in every run."""
        said = f"{self.origin}\n{self.destination}\n{self.format}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]


class CursorFile:
    """The cursor on disk, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Take the lock beside `path`; raises Busy while another process has it, NotConfigured if there can be none."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(path.with_name(path.name + ".lock"), f"the cursor {path}")
        except OSError as error:
            raise NotConfigured(f"The cursor {path} cannot be kept there: {error.strerror}.") from error

    def load(self, fresh: Cursor) -> Cursor:
        """Return the cursor, or `fresh`, which is written down, where there is none yet.

        Raises CursorRefused when it belongs to another log, NotConfigured when it belongs to another export.
        """
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Cursor)
        except FileNotFoundError:
            self.save(fresh)
            return fresh
        except UNREADABLE as error:
            raise NotConfigured(f"The cursor {self.path} cannot be read: {error}. Name another one.") from error
        if found.version != CURSOR_VERSION or found.size < 0:
            raise NotConfigured(f"The cursor {self.path} is not one that this version writes. Name another one.")
        if found.origin != fresh.origin:
            raise CursorRefused(f"the cursor {self.path} belongs to the log {found.origin}, this is {fresh.origin}")
        if (found.destination, found.format) != (fresh.destination, fresh.format):
            sentence = f"The cursor {self.path} belongs to the export of {found.format} to {found.destination}."
            raise NotConfigured(f"{sentence} Name another one with --cursor.")
        return found

    def save(self, cursor: Cursor) -> None:
        """Replace the cursor; it is on disk on return, and a crash leaves the old or the new one whole.

        Raises Busy when the disk is full; then the old one is still there.
        """
        beside = self.path.with_name(self.path.name + ".new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(cursor), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise Busy(f"The cursor {self.path} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Let another process have the cursor."""
        self._lock.close()


class NoCursor:
    """For a pipe: nothing is remembered, every export begins at position 0."""

    def load(self, fresh: Cursor) -> Cursor:
        """Return `fresh`."""
        return fresh

    def save(self, cursor: Cursor) -> None:
        """Forget it."""

    def close(self) -> None:
        """There is nothing to let go."""


def lock(path: Path, name: str) -> FileIO:
    """Return the file, opened to append, locked until it is closed; raises Busy if another process has it."""
    file = path.open("ab", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Busy(f"Another process has {name}.") from None
    return file


def sync_folder(folder: Path) -> None:
    """Make a new or renamed name in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

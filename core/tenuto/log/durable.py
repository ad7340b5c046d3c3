"""Files that are there whole or not at all, also after the power fails.

Written beside their place, flushed to the disk, then renamed over it; at last the folders are flushed, since a rename
is only durable with its folder. Everything that a log or a witness must not forget goes through here.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import Busy

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoom(Busy):
    """A disk is full, or a limit on space is reached; nothing was changed, and the same call goes on once there is room."""


def write_durably(files: Mapping[Path, bytes], *, at_once: int = 1) -> None:
    """Write each file atomically, creating folders; on return all are durable.

    If it raises or the machine stops, each file is either as before or as given. One writer at a time for each file.
    Raises NoRoom, naming the folder, when there is no room; what was begun is taken away again. `at_once`: so many are
    flushed side by side, since a disk takes many small flushes in the time of one.
    """
    touched: set[Path] = set()
    path = Path()
    try:
        for path in files:
            make_folder(path.parent, touched)
            touched.add(path.parent)
        if at_once == 1:
            for path, data in files.items():
                _write_flushed(_beside(path), data)
        else:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(_write_flushed, map(_beside, files), files.values()))
        for path in files:
            _beside(path).replace(path)
        for folder in touched:
            flush_folder(folder)
    except OSError as error:
        _clear(files)
        if error.errno in _NO_ROOM:
            raise NoRoom(f"There is no room in {path.parent} ({error.strerror}). It goes on once there is.") from error
        raise


def _clear(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            _beside(path).unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def make_folder(folder: Path, touched: set[Path]) -> None:
    """Make a folder and those above it where they are missing; `touched` gains the folders that must be flushed for it."""
    if not folder.is_dir():
        make_folder(folder.parent, touched)
        folder.mkdir(exist_ok=True)
        touched.add(folder.parent)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: processes that read, change and write what is in it take turns. It ends with its process at the latest."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make what was renamed in this folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_durably(source: Path, target: Path) -> None:
    """Move a folder, whose files are durable already, to a place beside it that is free; on return that is durable too."""
    source.rename(target)
    flush_folder(target.parent)

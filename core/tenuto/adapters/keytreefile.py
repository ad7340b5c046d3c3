"""The storage key as a file: read by every process of a home, and replaced by a purge while they run.

What is guaranteed: when `puncture` returns, the file and its folder are on disk without the keys that were cut out, and
every `key_for` that begins LOOK_SECONDS or more later, in any process, looks at the file first and forgets what it held
before. A process that does not touch the storage key for a while keeps the old tree in its memory until it does or ends;
Python does not overwrite memory that it gives back. The file's old bytes are overwritten in place, which reaches the disk's
own spare blocks, snapshots and backups of the key folder as little as any overwriting does: whoever backs up the key folder
must let go of the old copies.

During a renewal (`keyrenewal.py`) the file before lies beside it under another name, and both are read.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from ..errors import NotConfigured
from ..keystock import KeyStock
from ..keytree import WRAPPING
from ..log.durable import flush_folder
from .keptleaves import KeptLeaves, kept_file
from .keyfiles import STORAGE_KEY, demand_private

LOOK_SECONDS = 0.5
"""So long a process uses what it read before it looks whether the file is still the same."""
FORMER = STORAGE_KEY + ".former"
"""The file before a renewal that is under way."""
_NEW, _LOCK = STORAGE_KEY + ".new", STORAGE_KEY + ".lock"

_Mark = tuple[tuple[int, int, int, int], int]


class KeyTreeFile:
    """The storage key of a key folder, as it is now. Any thread may call."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises NotConfigured, with the remedy, when it is missing, open to others or damaged."""
        self._folder, self._now = folder, now
        self._turn = Lock()
        self._mark, self._tree = read_stock(folder)
        self._looked = now()

    @property
    def tree(self) -> KeyStock:
        """The storage key as the file has it now; raises NotConfigured when it can no longer be read."""
        self.refresh(at_once=True)
        return self._tree

    def key_for(self, commit: bytes, purpose: bytes = WRAPPING) -> bytes:
        """Return the key of a payload; see `KeyStock.key_for`. Raises NotConfigured when the file can no longer be read."""
        if self._now() - self._looked >= LOOK_SECONDS:
            self.refresh()
        return self._tree.key_for(commit, purpose)

    def keys_for(self, commit: bytes, purpose: bytes = WRAPPING) -> Iterator[bytes]:
        """Yield the keys of a payload; see `KeyStock.keys_for`. Raises NotConfigured as `key_for` does."""
        if self._now() - self._looked >= LOOK_SECONDS:
            self.refresh()
        return self._tree.keys_for(commit, purpose)

    def refresh(self, *, at_once: bool = False) -> None:
        """Forget what was read if the file is another one now; looks every LOOK_SECONDS, or `at_once`."""
        with self._turn:
            if at_once or self._now() - self._looked >= LOOK_SECONDS:
                if _mark_of(self._folder) != self._mark:
                    self._mark, self._tree = read_stock(self._folder)
                self._looked = self._now()


def puncture(folder: Path, commits: Iterable[bytes]) -> int:
    """Cut the keys of these payloads out of the folder's storage key, durably; return how many were still there.

    May be repeated after a crash at any point. Two at once wait for each other and lose nothing. Raises NotConfigured when
    the file cannot be read, or bears no more holes, and Busy while it is being renewed.
    """
    with alone(folder):
        _, before = read_stock(folder)
        after = before.punctured(commits)
        if after.gone != before.gone:
            replace_stock(folder, after)
        return len(after.gone) - len(before.gone)


def replace_stock(folder: Path, stock: KeyStock) -> None:
    """Put the new file in the place of the old one, then overwrite the bytes of the old one, which has no name any more."""
    forget_attempt(folder)
    path, new = folder / STORAGE_KEY, stage_stock(folder, stock)
    with path.open("r+b") as old:
        length = os.fstat(old.fileno()).st_size
        new.replace(path)
        flush_folder(folder)
        # The commit point: one line earlier a crash leaves the old key, from here on the keys are gone.
        old.write(bytes(length))
        old.flush()
        os.fsync(old.fileno())


def forget_attempt(folder: Path) -> None:
    """Take the second name away that a renewal gave the key before it was interrupted; the key itself stays.

    Once the key is replaced that name would stand for another file, and pass for the key before.
    """
    with suppress(FileNotFoundError):
        if (folder / FORMER).samefile(folder / STORAGE_KEY):
            (folder / FORMER).unlink()
            flush_folder(folder)


def stage_stock(folder: Path, stock: KeyStock) -> Path:
    """Write a storage key beside its place, durably, and return where."""
    new = folder / _NEW
    # One fixed name: what an interrupted purge left there holds keys that a later one must destroy as well.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(stock.to_text().encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    return new


def read_stock(folder: Path) -> tuple[_Mark, KeyStock]:
    """Return the storage key with all that belongs to it; raises NotConfigured, with the remedy."""
    path = folder / STORAGE_KEY
    while True:
        try:
            mark, text = _mark_of(folder), path.read_text("ascii")
            former = (folder / FORMER).read_text("ascii") if mark[1] else None
            if _mark_of(folder) != mark:  # it was replaced meanwhile; what was read may be the old file, overwritten
                continue
        except FileNotFoundError:
            if path.exists():
                continue
            raise NotConfigured(f"There is no key at {path}. `tenuto init` makes it.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise NotConfigured(f"The key {path} cannot be read: {error}.") from error
        demand_private(path, mark[0][-1])
        try:
            closing = None if former is None else KeyStock.from_text(former, _kept_in(folder))
            return mark, KeyStock.from_text(text, _kept_in(folder), closing)
        except ValueError as error:
            raise NotConfigured(f"The storage key {path} is damaged: {error}. Restore the file.") from error
        except NotConfigured:
            if _mark_of(folder) == mark:
                raise  # and not because a renewal just ended and took an older file away


def _kept_in(folder: Path) -> Callable[[int], KeptLeaves]:
    return lambda renewal: KeptLeaves(folder / kept_file(renewal))


def _mark_of(folder: Path) -> _Mark:
    """What tells one state of the files from another. The second part is the former file's, 0 where there is none.

    While both names stand for one file, the renewal has not begun: the key is as it was.
    """
    found = (folder / STORAGE_KEY).stat()
    try:
        former = (folder / FORMER).stat().st_ino
    except FileNotFoundError:
        former = 0
    mark = found.st_ino, found.st_mtime_ns, found.st_size, stat.S_IMODE(found.st_mode)
    return mark, 0 if former == found.st_ino else former


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Take turns with all who change the storage key of this folder; raises NotConfigured when it cannot be written."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NotConfigured(f"The key folder {folder} cannot be written: {error}.") from error
    with os.fdopen(descriptor, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

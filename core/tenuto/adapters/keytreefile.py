"""The storage key as a file: read by every process of a home, and replaced by a purge while they run.

What is guaranteed: when `puncture` returns, the file and its folder are on disk without the keys that were cut out, and
every `key_for` that begins LOOK_SECONDS or more later, in any process, looks at the file first and forgets what it held
before. A process that does not touch the storage key for a while keeps the old tree in its memory until it does or ends;
Python does not overwrite memory that it gives back. The file's old bytes are overwritten in place, which reaches the disk's
own spare blocks, snapshots and backups of the key folder as little as any overwriting does: whoever backs up the key folder
must let go of the old copies.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ..errors import NotConfigured
from ..keytree import WRAPPING, KeyTree
from ..log.durable import flush_folder
from .keyfiles import STORAGE_KEY, demand_private

LOOK_SECONDS = 0.5
"""So long a process uses what it read before it looks whether the file is still the same."""
_NEW, _LOCK = STORAGE_KEY + ".new", STORAGE_KEY + ".lock"

_Mark = tuple[int, int, int, int]


class KeyTreeFile:
    """The storage key of a key folder, as it is now. Any thread may call."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises NotConfigured, with the remedy, when it is missing, open to others or damaged."""
        self._folder, self._now = folder, now
        self._turn = Lock()
        self._mark, self._tree = _read(folder)
        self._looked = now()

    @property
    def tree(self) -> KeyTree:
        """The tree as the file has it now; raises NotConfigured when it can no longer be read."""
        self.refresh(at_once=True)
        return self._tree

    def key_for(self, commit: bytes, purpose: bytes = WRAPPING) -> bytes:
        """Return the key of a payload; see `KeyTree.key_for`. Raises NotConfigured when the file can no longer be read."""
        if self._now() - self._looked >= LOOK_SECONDS:
            self.refresh()
        return self._tree.key_for(commit, purpose)

    def refresh(self, *, at_once: bool = False) -> None:
        """Forget what was read if the file is another one now; looks every LOOK_SECONDS, or `at_once`."""
        with self._turn:
            if at_once or self._now() - self._looked >= LOOK_SECONDS:
                if _mark_of(self._folder / STORAGE_KEY) != self._mark:
                    self._mark, self._tree = _read(self._folder)
                self._looked = self._now()


def puncture(folder: Path, commits: Iterable[bytes]) -> int:
    """Cut the keys of these payloads out of the folder's storage key, durably; return how many were still there.

    May be repeated after a crash at any point. Two at once wait for each other and lose nothing. Raises NotConfigured when
    the file cannot be read, or bears no more holes.
    """
    with _alone(folder):
        _, before = _read(folder)
        after = before.punctured(commits)
        if after.gone != before.gone:
            _replace(folder, after.to_text().encode("ascii"))
        return len(after.gone) - len(before.gone)


def _replace(folder: Path, data: bytes) -> None:
    """Put the new file in the place of the old one, then overwrite the bytes of the old one, which has no name any more."""
    path, new = folder / STORAGE_KEY, folder / _NEW
    # One fixed name: what an interrupted purge left there holds keys that a later one must destroy as well.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with path.open("r+b") as old:
        length = os.fstat(old.fileno()).st_size
        new.replace(path)
        flush_folder(folder)
        # The commit point: one line earlier a crash leaves the old key, from here on the keys are gone.
        old.write(bytes(length))
        old.flush()
        os.fsync(old.fileno())


def _read(folder: Path) -> tuple[_Mark, KeyTree]:
    path = folder / STORAGE_KEY
    while True:
        try:
            mark, text = _mark_of(path), path.read_text("ascii")
            if _mark_of(path) != mark:  # it was replaced meanwhile; what was read may be the old file, overwritten
                continue
        except FileNotFoundError:
            raise NotConfigured(f"There is no key at {path}. `tenuto init` makes it.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise NotConfigured(f"The key {path} cannot be read: {error}.") from error
        demand_private(path, mark[-1])
        try:
            return mark, KeyTree.from_text(text)
        except ValueError as error:
            raise NotConfigured(f"The storage key {path} is damaged: {error}. Restore the file.") from error


def _mark_of(path: Path) -> _Mark:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size, stat.S_IMODE(found.st_mode)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NotConfigured(f"The key folder {folder} cannot be written: {error}.") from error
    with os.fdopen(descriptor, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

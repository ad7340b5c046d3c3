"""Reading a stranger's folder: only files whose names we made ourselves, only whole ones, none above its limit.

A link is never followed and nothing that is not a plain file is opened, so a bundle cannot make its reader look elsewhere
on the machine, wait for a pipe, or fill its memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from .layout import EVENTS_FOLDER, PAYLOADS_FOLDER, BundleRefused

FOLDERS = (EVENTS_FOLDER, PAYLOADS_FOLDER)
UNKNOWN_MAX = 100


class BundleFolder:
    """The folder of one bundle; what is in it is not trusted."""

    def __init__(self, path: Path) -> None:
        """Raise BundleRefused when there is no such folder, or a folder in it is a link."""
        self.path = path
        if not path.is_dir():
            raise BundleRefused(f"There is no bundle at {path}. Name the folder that holds bundle.json.")
        for name in FOLDERS:
            if (path / name).is_symlink():
                raise BundleRefused(f"{name} of the bundle is a link to somewhere else; a bundle has no links.")

    def has(self, name: str) -> bool:
        """Whether something of this name is there, a link included."""
        return os.path.lexists(self.path / name)

    def read(self, name: str, bytes_max: int) -> bytes:
        """Return the bytes of a file; raises BundleRefused when it is missing, no plain file, or above `bytes_max`."""
        try:
            handle = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BundleRefused(f"{name} belongs to the bundle and is missing.") from None
        except OSError as error:
            raise BundleRefused(f"{name} of the bundle cannot be read as a plain file: {error.strerror}.") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise BundleRefused(f"{name} of the bundle is not a plain file.")
        with os.fdopen(handle, "rb") as file:
            data = file.read(bytes_max + 1)
        if len(data) > bytes_max:
            raise BundleRefused(f"{name} of the bundle is larger than {bytes_max:,} bytes, which is the most it may have.")
        return data

    def unknown(self, expected: Collection[str]) -> tuple[str, ...]:
        """Return the names of what is there and not `expected`, sorted; of more than UNKNOWN_MAX (100) only so many."""
        found: list[str] = []
        for name in self._names():
            if name not in expected:
                found.append(os.fsencode(name).decode("utf-8", "backslashreplace"))  # a name need not be UTF-8
                if len(found) == UNKNOWN_MAX:
                    break
        return tuple(sorted(found))

    def _names(self) -> Iterator[str]:
        for folder in ("", *FOLDERS):
            try:
                with os.scandir(self.path / folder) as entries:
                    for entry in entries:
                        if folder or entry.name not in FOLDERS:
                            yield f"{folder}/{entry.name}" if folder else entry.name
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                yield folder

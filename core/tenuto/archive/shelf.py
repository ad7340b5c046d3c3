"""All archives of a log, in one folder, and what is said when one of them is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import NotConfigured
from ..log.tiles import TILE_WIDTH
from . import layout
from .layout import ArchiveRefused
from .reading import Archive

_NAME = re.compile(r"([0-9]{12,16})-([0-9]{12,16})")


class ArchiveMissing(NotConfigured):
    """Events were dropped from the database and their archive is not here; names the positions and the folder."""

    def __init__(self, first: int, last: int, folder: Path) -> None:
        """`first` to `last` is what cannot be read."""
        super().__init__(
            f"The events from position {first} to {last} are not in the database any more, and their archive is not in"
            f" {folder}. Bring the folder {layout.folder_name(first, last)} back there, or name another folder with"
            " TENUTO_ARCHIVE."
        )
        self.first, self.last = first, last


class Shelf:
    """The folder of archives of the log `origin`; it may be empty or not exist."""

    def __init__(self, folder: Path, origin: str) -> None:
        """Reads nothing yet."""
        self.folder, self._origin = folder, origin
        self._open: dict[str, Archive] = {}

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first and last positions of the archives that are here, in order; by their names alone."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted((int(found[1]), int(found[2])) for found in map(_NAME.fullmatch, names) if found)

    def find(self, first: int, last: int) -> Archive | None:
        """Return the archive of exactly these positions, or None; raises ArchiveRefused for one of another log."""
        name = layout.folder_name(first, last)
        if not (self.folder / name).is_dir():
            self._open.pop(name, None)
            return None
        archive = self._open.get(name)
        if archive is None:
            archive = Archive(self.folder / name)
            said = archive.manifest
            if (said.origin, said.first, said.last) != (self._origin, first, last):
                raise ArchiveRefused(f"{archive.folder} is about {said.first} to {said.last} of the log {said.origin}.")
            self._open[name] = archive
        return archive

    def at(self, position: int) -> Archive | None:
        """Return the archive that has this position, or None."""
        for first, last in self.ranges():
            if first <= position <= last:
                return self.find(first, last)
        return None

    def bundle(self, number: int) -> list[bytes] | None:
        """Return the 256 entries of a bundle of the log, or None when no archive has it."""
        archive = self.at(number * TILE_WIDTH)
        return None if archive is None else archive.entries(number)

    def before(self, end: int) -> Iterator[Archive]:
        """Yield, in order, the archives of positions below `end`."""
        for first, last in self.ranges():
            archive = self.find(first, last) if last < end else None
            if archive is not None:
                yield archive

    def forget(self, positions: list[int]) -> None:
        """Take away the keys of the payloads at these positions, wherever an archive has one: a purge reaches archives too."""
        for first, last in self.ranges():
            mine = [position for position in positions if first <= position <= last]
            archive = self.find(first, last) if mine else None
            if archive is not None:
                archive.forget(mine)

"""The ledger as its published files: a `LedgerReader` over entry bundles, for whoever has a copy of the folder and no database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..archive import Shelf
from ..clock import from_micros
from ..envelope import split_state
from ..errors import NotConfigured, Refused
from ..header import decode
from ..ledger import Head, Recorded, parse_entry
from ..log.merkle import Frontier, leaf_hash
from ..log.tiles import TILE_WIDTH, TileFolder, TileMissing, TilesRefused
from ..verification import VerificationFailed


class TileLedger:
    """Reads the first `size` events of a folder; payloads are not among the files, so none is returned."""

    def __init__(self, folder: Path, size: int, shelf: Shelf | None = None) -> None:
        """`size` is that of the checkpoint; what was pruned comes from `shelf`. Raises NotConfigured without the folder."""
        if not folder.is_dir():
            raise NotConfigured(f"There is no log folder at {folder}. Name the folder that holds `checkpoint` and `tile`.")
        self._tiles, self._size, self._shelf = TileFolder(folder), size, shelf

    def head(self) -> Head:
        """Return size and frontier, computed from the bundles."""
        leaves = [leaf_hash(entry.entry) for entry in self.read(0, self._size)]
        return Head(self._size, Frontier().extend(leaves).to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return events from `start` on; raises VerificationFailed (step 6) naming the file that is missing or damaged."""
        stop = min(start + limit, self._size)
        try:
            parsed = [parse_entry(entry) for entry in self._entries(start, stop)]
        except (TileMissing, TilesRefused, ValueError) as error:
            raise VerificationFailed(6, str(error), start) from error
        return [Recorded(start + number, from_micros(at), state) for number, (at, state) in enumerate(parsed)]

    def _entries(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            end = min(start - start % TILE_WIDTH + TILE_WIDTH, stop)
            try:
                yield from list(self._tiles.read_entries(start, end))
            except TileMissing:
                archive = None if self._shelf is None else self._shelf.at(start)
                if archive is None:
                    raise
                yield from (entry.entry for entry in archive.read(start, end, payloads=False))
            start = end

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events of these kinds; the whole folder is read."""
        wanted = frozenset(kinds)
        found = [entry for entry in self.read(start, self._size - start) if _kind(entry) in wanted]
        return found[:limit]


def _kind(entry: Recorded) -> str:
    try:
        return decode(split_state(entry.state)[0]).kind
    except Refused:
        return ""

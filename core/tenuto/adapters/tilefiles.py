"""The ledger as its published files: a `LedgerReader` over entry bundles, for whoever has a copy of the folder and no database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..clock import from_micros
from ..envelope import split_state
from ..errors import NotConfigured, Refused
from ..header import decode
from ..ledger import Head, Recorded, parse_entry
from ..log.merkle import Frontier, leaf_hash
from ..log.tiles import TileFolder, TileMissing, TilesRefused
from ..verification import VerificationFailed


class TileLedger:
    """Reads the first `size` events of a folder; payloads are not among the files, so none is returned."""

    def __init__(self, folder: Path, size: int) -> None:
        """`size` is that of the checkpoint; raises NotConfigured when there is no such folder."""
        if not folder.is_dir():
            raise NotConfigured(f"There is no log folder at {folder}. Name the folder that holds `checkpoint` and `tile`.")
        self._tiles, self._size = TileFolder(folder), size

    def head(self) -> Head:
        """Return size and frontier, computed from the bundles."""
        leaves = [leaf_hash(entry.entry) for entry in self.read(0, self._size)]
        return Head(self._size, Frontier().extend(leaves).to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return events from `start` on; raises VerificationFailed (step 6) naming the file that is missing or damaged."""
        stop = min(start + limit, self._size)
        try:
            parsed = [parse_entry(entry) for entry in self._tiles.read_entries(start, stop)]
            return [Recorded(start + number, from_micros(at), state) for number, (at, state) in enumerate(parsed)]
        except (TileMissing, TilesRefused, ValueError, OverflowError) as error:
            raise VerificationFailed(6, str(error), start) from error

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

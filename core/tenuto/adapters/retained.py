"""The ledger as readers know it when retention took its beginning away: the tables, and behind them the archives.

Every reader keeps asking for positions from 0 on; where the tables have no partition any more, the archive of these
positions answers. Without it, who needs no payloads is still served from the published entry bundles; who does gets
`ArchiveMissing`, which names the positions and the folder. A position whose partition is there is only ever read from it:
a row that is missing from its table stays missing, for verification to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from ..archive import Archive, ArchiveMissing, Shelf
from ..clock import from_micros
from ..envelope import split_state
from ..header import decode
from ..ledger import Batch, Head, Parked, Recorded, SessionHead, parse_entry
from ..log.merkle import Frontier, leaf_hash
from ..log.tiles import TILE_HEIGHT, TileFolder, TileMissing
from .postgres import PostgresLedger, PostgresReader

Column = tuple[int, UUID, int, str, bytes]


class RetainedReader:
    """`LedgerReader` over the tables, then the archives, then the published bundles."""

    def __init__(self, tables: PostgresReader, shelf: Shelf, tiles: TileFolder) -> None:
        """`tiles` is the published log, `shelf` where the archives are."""
        self.shelf = shelf
        self._tables, self._tiles = tables, tiles

    def close(self) -> None:
        """Release the connection."""
        self._tables.close()

    def head(self) -> Head:
        """Return the head row as committed."""
        return self._tables.head()

    def session_heads(self) -> dict[UUID, SessionHead]:
        """Return the stored head of every session."""
        return self._tables.session_heads()

    def kept_payloads(self, positions: Sequence[int]) -> list[int]:
        """Return at which of these positions a payload lies in the tables; an archive keeps its own."""
        return self._tables.kept_payloads(positions)

    def stray_payloads(self) -> int:
        """Return how many payloads lie beside no event, in the partitions that are there."""
        return self._tables.stray_payloads()

    def attached(self) -> list[tuple[int, int]]:
        """Return the first and last positions of the partitions that the tables have now."""
        return self._tables.attached()

    def minimum(self) -> int:
        """Return the first position that the tables still hold a partition for."""
        return min((first for first, _ in self.attached()), default=0)

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return up to `limit` events from `start` on; see `LedgerReader.read`."""
        rows = self._tables.read(start, limit, payloads=payloads)
        if rows and rows[0].position == start and rows[-1].position == start + len(rows) - 1:
            return rows
        stop = min(start + limit, self.head().size)
        by_position = {row.position: row for row in rows}
        filled: list[Recorded] = []
        for first, last in self._gone(start, stop):
            filled += (by_position[place] for place in range(start + len(filled), first) if place in by_position)
            if len(filled) != first - start:
                break  # a row is missing from a table that is there: verification names it
            filled += self._dropped(first, last, payloads=payloads)
        seen = filled[-1].position if filled else start - 1
        return [*filled, *(row for row in rows if row.position > seen)][:limit]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events of these kinds from `start` on; see `LedgerReader.read_kinds`."""
        rows = self._tables.read_kinds(kinds, start, limit)
        minimum = self.minimum()  # asked after the rows, so that what was detached meanwhile is looked up in its archive
        found: list[Recorded] = []
        for first, last in self._gone(start, minimum):
            archive = self._archive(first, last)
            for position in archive.of_kinds(kinds, first, limit - len(found)):
                if position <= last:
                    found += archive.read(position, position + 1, payloads=True)
            if len(found) >= limit:
                return found[:limit]
        return [*found, *(row for row in rows if row.position >= minimum)][:limit]

    def columns(self, start: int, limit: int) -> list[Column]:
        """Return what is stored beside the events: in the tables, or in the archive's kinds and index."""
        rows = self._tables.columns(start, limit)
        minimum = self.minimum()
        if start >= minimum:
            return rows
        found: list[Column] = []
        for first, last in self._gone(start, min(start + limit, minimum)):
            archive = self._archive(first, last)
            found += (_column(archive, entry) for entry in archive.read(first, last + 1, payloads=False))
        return [*found, *(row for row in rows if row[0] >= minimum)][:limit]

    def _gone(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield, in order, first and last position of each stretch from `start` to before `stop` without a partition.

        A stretch never reaches over the end of an archive.
        """
        attached, archived, place = self.attached(), self.shelf.ranges(), start
        while place < stop:
            inside = next((last for first, last in attached if first <= place <= last), None)
            if inside is not None:
                place = inside + 1
                continue
            end = min([first for first, _ in attached if first > place] + [stop])
            shelved = next((last for first, last in archived if first <= place <= last), None)
            last = min(end - 1, shelved) if shelved is not None else end - 1
            yield place, last
            place = last + 1

    def _dropped(self, first: int, last: int, *, payloads: bool) -> list[Recorded]:
        archive = self.shelf.at(first)
        if archive is not None:
            return archive.read(first, last + 1, payloads=payloads)
        if payloads:
            raise self._missing(first)
        try:
            entries = list(self._tiles.read_entries(first, last + 1))
        except TileMissing as missing:
            raise self._missing(first) from missing
        parsed = [parse_entry(entry) for entry in entries]
        return [Recorded(first + number, from_micros(at), state) for number, (at, state) in enumerate(parsed)]

    def _archive(self, first: int, last: int) -> Archive:
        archive = self.shelf.at(first)
        if archive is None:
            raise self._missing(first)
        return archive

    def _missing(self, place: int) -> ArchiveMissing:
        """Name everything around `place` that is neither in the tables nor archived."""
        known = [*self.attached(), *self.shelf.ranges()]
        first = max((last + 1 for _, last in known if last < place), default=0)
        last = min((first - 1 for first, _ in known if first > place), default=self.head().size - 1)
        return ArchiveMissing(first, last, self.shelf.folder)


class RetainedLedger(RetainedReader):
    """`LedgerStore` over the tables; what is looked up of old events comes from the archives as well."""

    def __init__(self, tables: PostgresLedger, shelf: Shelf, tiles: TileFolder) -> None:
        """As `RetainedReader`, over the one connection that writes."""
        super().__init__(tables, shelf, tiles)
        self._ledger = tables

    def append(self, batch: Batch) -> range:
        """Append; see `LedgerStore.append`."""
        return self._ledger.append(batch)

    def claim(self, tracking_name: str) -> int:
        """Take a consumer position; see `LedgerStore.claim`."""
        return self._ledger.claim(tracking_name)

    def session_heads(self, sessions: Sequence[UUID] | None = None) -> dict[UUID, SessionHead]:
        """Return the heads of these sessions, or of all."""
        return self._ledger.session_heads(sessions)

    def parked(self) -> list[Parked]:
        """Return the records that wait for their predecessors."""
        return self._ledger.parked()

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        """Return what is stored at these places; an old record that is delivered again is looked up in the archives."""
        found = self._ledger.states_at(places)
        unknown = {place for place in places if place not in found}
        if not unknown or not (minimum := self.minimum()):
            return found
        for first, last in reversed(list(self._gone(0, minimum))):
            archive = self._archive(first, last)
            here = {place: number for place in unknown if (number := archive.index.find(*place)) is not None}
            for place, number in here.items():
                position = archive.manifest.first + number
                found[place] = archive.read(position, position + 1, payloads=False)[0].state
            unknown -= here.keys()
            if not unknown:
                break
        return found


class RetainedHashes:
    """A `HashSource` over the published tiles; what was pruned of them is computed from the archives."""

    def __init__(self, tiles: TileFolder, shelf: Shelf) -> None:
        """Both as for `RetainedReader`."""
        self._tiles, self._shelf = tiles, shelf

    def hash_at(self, level: int, index: int) -> bytes:
        """Return the root of a complete subtree; raises TileMissing when neither has it."""
        try:
            return self._tiles.hash_at(level, index)
        except TileMissing:
            archive = self._shelf.at(index << level) if level < TILE_HEIGHT else None
            if archive is None:
                raise
        return _subtree(archive, level, index)


def _subtree(archive: Archive, level: int, index: int) -> bytes:
    entries = archive.read(index << level, (index + 1) << level, payloads=False)
    return Frontier().extend([leaf_hash(entry.entry) for entry in entries]).root()


def _column(archive: Archive, entry: Recorded) -> Column:
    event = decode(split_state(entry.state)[0])
    place = entry.position - archive.manifest.first
    at = archive.index.find(event.session, event.seq)
    kind = archive.manifest.kinds[archive.kinds[place]]
    position = entry.position if at == place else -1
    return position, event.session, event.seq, kind, leaf_hash(entry.entry)


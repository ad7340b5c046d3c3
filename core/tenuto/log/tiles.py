"""The log as plain files (C2SP tlog-tiles): anyone with a copy of the folder can check it, without a database.

    checkpoint                      the newest signed note
    checkpoints/<N>                 every note that a witness cosigned; see `tenuto.log.archive`
    tile/<L>/<N>[.p/<W>]            256 hashes of level L; with .p/<W> the first W, for a tree that ends there
    tile/entries/<N>[.p/<W>]        the 256 entries behind a tile of level 0, each after its length (2 bytes)

N is written as `x001/x234/067`. A hash at level L is the root over 256**L leaves, so a proof needs a few tiles only. A
file never changes once it is there; partial tiles go away when the full one exists. A tree is only served from here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import Refused, TenutoError
from .durable import write_durably
from .merkle import HASH_BYTES, Frontier, leaf_hash, leaf_hashes, node_hash

TILE_WIDTH = 256
TILE_HEIGHT = 8
ENTRY_BYTES_MAX = 65_535
FILE_BYTES_MAX = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
"""What a full entry bundle may have, the largest of the three kinds of files; nobody reads on in a larger one."""
CHECKPOINT_FILE = "checkpoint"
MINIMUM_FILE = "minimum-index"
ENTRIES = "entries"
CACHED_TILES_MAX = 128
"""So many tiles a folder keeps in memory, with the hashes of all subtrees over each; about 5 MiB."""
_LENGTH = struct.Struct(">H")
Read = TypeVar("Read")


class TilesRefused(Refused):
    """A tile or entry bundle is not what the entries or the signed root make it; names the file."""


class TileMissing(TenutoError):
    """A tile or bundle that this tree size must have is not in the folder; restore the folder from a copy of it."""


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, or of a bundle with `level` ENTRIES; `width` below 256 names a partial one."""
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{numbered(number)}{suffix}"


def numbered(number: int) -> str:
    """Return a number as a path of three digits each, such as `x001/x234/067`."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    return "/".join(parts)


class Tile(NamedTuple):
    """A full or partial tile: its level, its number within the level, and its 32-byte hashes one after another."""

    level: int
    number: int
    data: bytes

    @property
    def width(self) -> int:
        """How many hashes it has, 1 to 256."""
        return len(self.data) // HASH_BYTES

    @property
    def path(self) -> str:
        """Where it belongs in the folder."""
        return tile_path(self.level, self.number, self.width)


class TileGrowth:
    """Turns leaf hashes into tiles, level by level; starts empty or at the right edge of an existing tree."""

    def __init__(self, size: int = 0, edges: Sequence[Sequence[bytes]] = ()) -> None:
        """`edges[L]` are the hashes of the partial tile at level L of a tree of `size` leaves."""
        self._edges = [list(edge) for edge in edges]
        self._numbers = [size >> TILE_HEIGHT * (level + 1) for level in range(len(edges))]

    def add(self, leaf: bytes) -> Iterator[Tile]:
        """Take the next leaf hash; yield each tile that it fills, lowest level first."""
        level, node = 0, leaf
        while True:
            if level == len(self._edges):
                self._edges.append([])
                self._numbers.append(0)
            edge = self._edges[level]
            edge.append(node)
            if len(edge) < TILE_WIDTH:
                return
            yield Tile(level, self._numbers[level], b"".join(edge))
            node = Frontier().extend(edge).root()
            edge.clear()
            self._numbers[level] += 1
            level += 1

    def partials(self) -> Iterator[Tile]:
        """Yield the partial tiles of the tree as it is now."""
        for level, (number, edge) in enumerate(zip(self._numbers, self._edges, strict=True)):
            if edge:
                yield Tile(level, number, b"".join(edge))


class TileFolder:
    """A folder of tiles: a `HashSource` for every tree size up to what is in it, and where the sealer writes."""

    def __init__(self, path: Path, staged: Mapping[str, bytes] | None = None) -> None:
        """`staged` are files that count as present though they are not written yet."""
        self.path = path
        self._staged = staged or {}
        self._subtrees = lru_cache(maxsize=CACHED_TILES_MAX)(self._read_subtrees)
        self._found: dict[tuple[int, int], str] = {}

    def over(self, staged: Mapping[str, bytes]) -> TileFolder:
        """Return a view in which these files are present already."""
        return TileFolder(self.path, staged)

    def hash_at(self, level: int, index: int) -> bytes:
        """Return the root of a complete subtree, see `HashSource`; raises TileMissing."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        number, place = divmod(index, TILE_WIDTH >> height)
        return self._rows(tile_level, number, (place + 1) << height)[height][place]

    def verify_tile(self, tile: Tile) -> None:
        """Raise TilesRefused, naming the file, unless it begins with exactly these hashes; TileMissing if none can."""
        path, data = self._read_found(tile.level, tile.number, tile.width, self._read)
        if data[: len(tile.data)] != tile.data:
            raise TilesRefused(f"{path} is not what the entries hash to.")

    def edges(self, size: int) -> list[list[bytes]]:
        """Return the hashes of the partial tile at each level of the tree over `size` leaves."""
        edges, count, level = [], size, 0
        while count:
            number, width = divmod(count, TILE_WIDTH)
            edges.append(self._rows(level, number, width)[0][:width] if width else [])
            count, level = number, level + 1
        return edges

    def read_entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield entries `start` to `stop - 1` from the bundles; raises TileMissing, or TilesRefused when malformed."""
        for number in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
            first = number * TILE_WIDTH
            width = min(stop - first, TILE_WIDTH)
            path, bundle = self._read_found(ENTRIES, number, width, self._read)
            entries = split_bundle(path, bundle)
            if len(entries) < width:
                raise TilesRefused(f"{path} holds {len(entries)} entries; at least {width} belong there.")
            yield from entries[max(start - first, 0) : width]

    def items(self, level: int | str, number: int, width: int) -> list[bytes]:
        """Return the first `width` hashes of a tile, or entries of a bundle; raises TileMissing, or TilesRefused."""
        if isinstance(level, str):
            return list(self.read_entries(number * TILE_WIDTH, number * TILE_WIDTH + width))
        return self._rows(level, number, width)[0][:width]

    def extension(self, size: int, entries: Sequence[bytes]) -> dict[str, bytes]:
        """Return path and content of the files that turn a tree of `size` leaves into one with `entries` appended.

        Nothing is written. Entries above ENTRY_BYTES_MAX (65,535 bytes) cannot be stored and raise ValueError.
        """
        edges, first = self.edges(size), size - size % TILE_WIDTH
        kept = list(self.read_entries(first, size))
        if kept and leaf_hashes(kept) != edges[0]:
            name = tile_path(ENTRIES, first // TILE_WIDTH, len(kept))
            raise TilesRefused(f"{name} does not hash to its tile. Restore the log folder from a copy.")
        growth = TileGrowth(size, edges)
        files: dict[str, bytes] = {}
        for entry in entries:
            files.update((tile.path, tile.data) for tile in growth.add(leaf_hash(entry)))
        files.update((tile.path, tile.data) for tile in growth.partials())
        kept += entries
        for start in range(0, len(kept), TILE_WIDTH):
            bundle = kept[start : start + TILE_WIDTH]
            files[tile_path(ENTRIES, (first + start) // TILE_WIDTH, len(bundle))] = join_bundle(bundle)
        return files

    def apply(self, files: Mapping[str, bytes]) -> None:
        """Write these files durably, then drop the partial tiles that a full one replaces. May be repeated harmlessly.

        Raises TilesRefused when a file is there already with other content: files of a log never change.
        """
        missing: dict[Path, bytes] = {}
        for name, data in files.items():
            present = self._present(name)
            if present is None:
                missing[self.path / name] = data
            elif present != data:
                raise TilesRefused(f"{name} is there already with other content. Restore the log folder from a copy.")
        write_durably(missing)
        for name in files:
            self._drop_partials(name)
        # What was kept are edges of the smaller tree. Whoever writes reads the new ones next, and those never again.
        self._subtrees.cache_clear()

    def publish(self, note: bytes) -> None:
        """Replace the `checkpoint` file, atomically and durably."""
        write_durably({self.path / CHECKPOINT_FILE: note})

    def published(self) -> bytes | None:
        """Return the `checkpoint` file, or None before the first."""
        return self._present(CHECKPOINT_FILE)

    def prune(self, start: int, stop: int) -> int:
        """Delete the entry bundles and the tiles of level 0 that lie wholly between these positions; returns how many.

        Everything above level 0 stays, so every proof about later entries, and between later sizes, stays possible (C2SP
        tlog-tiles, "Pruning"). May be repeated harmlessly.
        """
        pruned = 0
        for number in range(-(-start // TILE_WIDTH), stop // TILE_WIDTH):
            for level in (ENTRIES, 0):
                file = self.path / tile_path(level, number)
                if file.exists():
                    file.unlink()
                    pruned += 1
        if pruned:
            self._subtrees.cache_clear()
        return pruned

    def _drop_partials(self, name: str) -> None:
        folder = self.path / f"{name}.p"
        if folder.is_dir():
            for partial in folder.iterdir():
                partial.unlink(missing_ok=True)
            folder.rmdir()

    def _rows(self, level: int, number: int, width: int) -> list[list[bytes]]:
        """Return the hashes of a tile that is at least `width` wide, and those of all perfect subtrees over them.

        Where it was found last is remembered, since looking for files costs more than hashing.
        """
        path = self._found.get((level, number))
        if path is not None:
            try:
                rows = self._subtrees(path)
            except TileMissing:
                rows = [[]]
            if len(rows[0]) >= width:
                return rows
        if len(self._found) >= CACHED_TILES_MAX:
            self._found.clear()
        path, rows = self._read_found(level, number, width, self._subtrees)
        self._found[level, number] = path
        return rows

    def _read_found(self, level: int | str, number: int, width: int, read: Callable[[str], Read]) -> tuple[str, Read]:
        path = self._find(level, number, width)
        try:
            return path, read(path)
        except TileMissing:  # a full tile took its place after we found it; that one stays
            path = self._find(level, number, width)
            return path, read(path)

    def _find(self, level: int | str, number: int, width: int) -> str:
        """Return the path of the full tile, or of the narrowest partial one that is at least `width` wide."""
        full = tile_path(level, number)
        if self._exists(full):
            return full
        exact = tile_path(level, number, width)
        if self._exists(exact):
            return exact
        try:
            names = [path.name for path in (self.path / f"{full}.p").iterdir()]
        except FileNotFoundError:
            names = []
        names += [path.rpartition("/")[2] for path in self._staged if path.startswith(f"{full}.p/")]
        wide = [int(name) for name in names if name.isdecimal() and int(name) >= width]
        if wide:
            return f"{full}.p/{min(wide)}"
        if self._exists(full):  # it was completed, and its partials dropped, while we looked
            return full
        raise TileMissing(f"{exact} is not in the log folder {self.path}. Restore the folder from a copy of it.")

    def _exists(self, name: str) -> bool:
        return name in self._staged or (self.path / name).is_file()

    def _present(self, name: str) -> bytes | None:
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        if len(data) > FILE_BYTES_MAX:
            raise TilesRefused(f"{name} has more than {FILE_BYTES_MAX:,} bytes; no file of a log has so many.")
        return data

    def _read(self, name: str) -> bytes:
        data = self._staged.get(name) or self._present(name)
        if data is None:
            raise TileMissing(f"{name} is not in the log folder {self.path}. Restore the folder from a copy of it.")
        return data

    def _read_subtrees(self, name: str) -> list[list[bytes]]:
        """Return the hashes of a tile and of all perfect subtrees over them, lowest level first."""
        data = self._read(name)
        width = int(name.rpartition(".p/")[2]) if ".p/" in name else TILE_WIDTH
        if len(data) != width * HASH_BYTES:
            raise TilesRefused(f"{name} has {len(data):,} bytes where {width * HASH_BYTES:,} belong.")
        rows = [[data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]]
        while len(row := rows[-1]) > 1 and len(rows) <= TILE_HEIGHT:
            rows.append([node_hash(row[place], row[place + 1]) for place in range(0, len(row) - 1, 2)])
        return rows


def join_bundle(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle; raises ValueError for an entry above ENTRY_BYTES_MAX."""
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise ValueError(f"An entry has {len(entry):,} bytes; at most {ENTRY_BYTES_MAX:,} fit into a bundle.")
        parts += [_LENGTH.pack(len(entry)), entry]
    return b"".join(parts)


def split_bundle(name: str, bundle: bytes) -> list[bytes]:
    """The inverse of `join_bundle`; raises TilesRefused naming the file when it ends inside an entry."""
    entries: list[bytes] = []
    place = 0
    while place < len(bundle):
        end = place + _LENGTH.size
        if end <= len(bundle):
            end += _LENGTH.unpack_from(bundle, place)[0]
        if end > len(bundle) or end < place + _LENGTH.size:
            raise TilesRefused(f"{name} ends inside its entry {len(entries)}.")
        entries.append(bundle[place + _LENGTH.size : end])
        place = end
    return entries


def verify_tiles(
    folder: TileFolder, size: int, root: bytes, pruned: Callable[[int], Sequence[bytes] | None] = lambda _: None
) -> None:
    """Recompute the whole tree from the entry bundles alone; compare it with every tile of the folder and with `root`.

    `pruned` is asked for the entries of a full bundle, by its number, that is not in the folder; where it has them, the
    tile over them may be missing too. Raises TilesRefused naming the first file that differs, or TileMissing. Memory
    stays small.
    """
    growth, frontier = TileGrowth(), Frontier()
    for first in range(0, size, TILE_WIDTH):
        elsewhere = False
        try:
            entries: Sequence[bytes] = list(folder.read_entries(first, min(first + TILE_WIDTH, size)))
        except TileMissing:
            kept = pruned(first // TILE_WIDTH)
            if kept is None:
                raise
            entries, elsewhere = kept, True
        leaves = leaf_hashes(entries)
        frontier = frontier.extend(leaves)
        for tile in (tile for leaf in leaves for tile in growth.add(leaf)):
            try:
                folder.verify_tile(tile)
            except TileMissing:
                if not elsewhere or tile.level:
                    raise
    for tile in growth.partials():
        folder.verify_tile(tile)
    if frontier.root() != root:
        raise TilesRefused(f"Entries and tiles agree, but their root over {size} entries is not the signed one.")

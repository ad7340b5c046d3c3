"""One archive, read back: every file is compared with the manifest's hash when it is read, so a changed one is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from ..clock import from_micros
from ..ledger import Recorded, StoredPayload, parse_entry
from ..log.durable import write_durably
from ..log.tiles import TILE_WIDTH, TilesRefused, split_bundle
from . import layout
from .layout import ArchivedFile, ArchiveRefused, Index, Manifest

_CACHED_BUNDLES = 4


class Archive:
    """The archive in `folder`; raises ArchiveRefused, from any method, naming the file that is missing or changed."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet."""
        self.folder = folder
        self._entries = lru_cache(maxsize=_CACHED_BUNDLES)(self._read_entries)

    @cached_property
    def manifest_bytes(self) -> bytes:
        """The manifest as it lies there."""
        return self._bytes(layout.MANIFEST_FILE)

    @cached_property
    def manifest(self) -> Manifest:
        """What the archive says of itself; nothing of it is trusted before `verify_archive`."""
        return layout.parse_manifest(self.manifest_bytes)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, hex: what the retention event names the archive by."""
        return layout.digest(self.manifest_bytes)

    @cached_property
    def files(self) -> dict[str, ArchivedFile]:
        """The manifest's files by their names."""
        return {file.name: file for file in self.manifest.files}

    @cached_property
    def index(self) -> Index:
        """Where each event is, by its session."""
        return Index(self.read_file(layout.INDEX_FILE))

    @cached_property
    def kinds(self) -> bytes:
        """A byte an event: the place of its kind in the manifest's list."""
        return self.read_file(layout.KINDS_FILE)

    @property
    def bundles(self) -> range:
        """The numbers of the log's entry bundles that are in it."""
        return range(self.manifest.first // TILE_WIDTH, (self.manifest.last + 1) // TILE_WIDTH)

    def read_file(self, name: str) -> bytes:
        """Return a file that the manifest lists, compared with its hash."""
        listed = self.files.get(name)
        if listed is None:
            raise ArchiveRefused(f"{self.folder / name} is not in the archive's manifest.")
        data = self._bytes(name)
        if len(data) != listed.bytes or layout.digest(data) != listed.sha256:
            raise ArchiveRefused(f"{self.folder / name} is not the file that was archived. Restore it from a copy.")
        return data

    def entries(self, number: int) -> list[bytes]:
        """Return the 256 entries of bundle `number`."""
        return self._entries(number)

    def payloads(self, number: int) -> list[StoredPayload | None]:
        """Return what lies beside the events of bundle `number`: 256 payloads, None where there is none or it was purged."""
        name = layout.payloads_file(number)
        if name not in self.files:
            return [None] * TILE_WIDTH
        found = layout.split_payloads(str(self.folder / name), self.read_file(name), self._bytes(layout.keys_file(number)))
        if len(found) != TILE_WIDTH:
            raise ArchiveRefused(f"{self.folder / name} is about {len(found)} events instead of {TILE_WIDTH}.")
        return found

    def read(self, start: int, stop: int, *, payloads: bool) -> list[Recorded]:
        """Return the events `start` to `stop - 1`, as they stood in the database; both must be within the archive."""
        found: list[Recorded] = []
        for number in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
            low, base = max(start - number * TILE_WIDTH, 0), number * TILE_WIDTH
            high = min(stop - base, TILE_WIDTH)
            beside = self.payloads(number)[low:high] if payloads else [None] * (high - low)
            for place, (entry, payload) in enumerate(zip(self.entries(number)[low:high], beside, strict=True), base + low):
                found.append(self._recorded(place, entry, payload))
        return found

    def of_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[int]:
        """Return up to `limit` positions, from `start` on, of events that are filed under these kinds."""
        first = self.manifest.first
        wanted = {number for number, kind in enumerate(self.manifest.kinds) if kind in kinds}
        found: list[int] = []
        for place in range(max(start - first, 0), len(self.kinds)) if wanted else ():
            if self.kinds[place] in wanted:
                found.append(first + place)
                if len(found) == limit:
                    break
        return found

    def forget(self, positions: Iterable[int]) -> None:
        """Take away, durably, the keys of the payloads at these positions: what a purge does to an archive.

        The manifest stays true. May be repeated harmlessly; positions without a payload are passed over.
        """
        places: dict[int, set[int]] = {}
        for position in positions:
            places.setdefault(position // TILE_WIDTH, set()).add(position % TILE_WIDTH)
        for number, gone in places.items():
            name = layout.keys_file(number)
            if layout.payloads_file(number) in self.files:
                write_durably({self.folder / name: layout.without_keys(name, self._bytes(name), gone)})

    def _recorded(self, position: int, entry: bytes, payload: StoredPayload | None) -> Recorded:
        try:
            at, state = parse_entry(entry)
        except ValueError as error:
            raise ArchiveRefused(f"The entry at position {position} in {self.folder} is damaged: {error}.") from error
        return Recorded(position, from_micros(at), state, payload)

    def _read_entries(self, number: int) -> list[bytes]:
        name = layout.entries_file(number)
        try:
            entries = split_bundle(name, self.read_file(name))
        except TilesRefused as refusal:
            raise ArchiveRefused(f"In {self.folder}: {refusal}") from refusal
        if len(entries) != TILE_WIDTH:
            raise ArchiveRefused(f"{self.folder / name} holds {len(entries)} entries instead of {TILE_WIDTH}.")
        return entries

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            sentence = f"{self.folder / name} cannot be read: {error.strerror}. Restore the archive from a copy."
            raise ArchiveRefused(sentence) from error

"""Write an archive: beside its place, durably, and moved there when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from ..envelope import split_state
from ..header import decode
from ..ledger import LedgerReader, Recorded
from ..log.durable import move_durably, write_durably
from ..log.proof import HashSource
from ..log.ranges import hashes_beside
from ..log.tiles import TILE_WIDTH, join_bundle
from . import layout
from .layout import ArchivedFile, Manifest

FLUSH_BYTES = 8 * 1024 * 1024
"""So much is gathered before it is flushed to the disk, whatever the number of files."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive is written from. note: a checkpoint over at least these events; hashes: the published tiles."""

    origin: str
    first: int
    last: int
    note: bytes
    size: int
    reader: LedgerReader
    hashes: HashSource


@dataclass
class _Gathered:
    """What one pass over the events leaves to write at its end."""

    files: list[ArchivedFile] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    kind_bytes: bytearray = field(default_factory=bytearray)
    places: list[tuple[UUID, int, int]] = field(default_factory=list)
    began: datetime | None = None
    ended: datetime | None = None

    def take(self, entry: Recorded) -> None:
        event = decode(split_state(entry.state)[0])
        number = self.kinds.setdefault(event.kind, len(self.kinds))
        self.places.append((event.session, event.seq, len(self.kind_bytes)))
        self.kind_bytes.append(number)
        self.began = self.began or entry.recorded_at
        self.ended = entry.recorded_at

    def listed(self, name: str, data: bytes) -> bytes:
        self.files.append(ArchivedFile(name=name, bytes=len(data), sha256=layout.digest(data)))
        return data


def write_archive(export: Exported, folder: Path, did: Callable[[str], None] = lambda _: None) -> Path:
    """Write the archive of these events below `folder` and return where it is; on return it is durable and whole.

    `first` and `last + 1` must be multiples of 256. What an earlier attempt left unfinished is thrown away. Nothing is
    verified here but that the events can be read: see `verify_archive`. `did` is told of each flush, for tests and people.
    """
    target = folder / layout.folder_name(export.first, export.last)
    staged = target.with_name(f".{target.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    gathered, pending, waiting = _Gathered(), dict[Path, bytes](), 0
    for name, data in _files(export, gathered):
        pending[staged / name] = data
        waiting += len(data)
        if waiting >= FLUSH_BYTES:
            write_durably(pending)
            pending, waiting = {}, 0
            did("some files of the archive are written")
    write_durably(pending)
    assert gathered.began is not None
    assert gathered.ended is not None
    manifest = Manifest(
        format=layout.FORMAT, origin=export.origin, first=export.first, last=export.last, size=export.size,
        began=gathered.began, ended=gathered.ended, kinds=tuple(gathered.kinds), files=tuple(gathered.files),
    )  # fmt: skip
    write_durably({staged / layout.MANIFEST_FILE: manifest.to_bytes()})
    did("the files of the archive are written")
    move_durably(staged, target)
    return target


def _files(export: Exported, gathered: _Gathered) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file but the manifest."""
    for start in range(export.first, export.last + 1, TILE_WIDTH):
        entries = export.reader.read(start, TILE_WIDTH)
        if [entry.position for entry in entries] != list(range(start, start + TILE_WIDTH)):
            raise layout.ArchiveRefused(f"The events from {start} on cannot be archived: they are not all there.")
        for entry in entries:
            gathered.take(entry)
        number = start // TILE_WIDTH
        name = layout.entries_file(number)
        yield name, gathered.listed(name, join_bundle(entry.entry for entry in entries))
        if any(entry.payload is not None for entry in entries):
            kept, keys = layout.join_payloads([entry.payload for entry in entries])
            name = layout.payloads_file(number)
            yield name, gathered.listed(name, kept)
            yield layout.keys_file(number), keys
    for name, data in (
        (layout.KINDS_FILE, bytes(gathered.kind_bytes)),
        (layout.INDEX_FILE, layout.index_bytes(gathered.places)),
        (layout.CHECKPOINT_FILE, export.note),
        (layout.BESIDE_FILE, hashes_beside(export.first, export.last + 1, export.size, export.hashes)),
    ):
        yield name, gathered.listed(name, data)

"""A log folder that was lost or damaged, made again from the ledger, if the ledger is still the one that was signed.

Nothing of the published log is written before everything was compared: the ledger's events are folded from the first on, and
at the size of every checkpoint that somebody remembers (the sealer's state, its archive, a witness, the last verification, a
note that the caller has) the root must be the remembered one. If one is not, nothing is touched, and the refusal names
the first event that differs where a tile is left to tell, else the two checkpoints between which it lies.

What lies in the folder and is not what the events make it is put aside beside it, never deleted.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from .errors import NotConfigured
from .ledger import LedgerReader
from .log.archive import ARCHIVE_FOLDER, CheckpointArchive
from .log.checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint
from .log.durable import flush_folder, make_folder, write_durably
from .log.merkle import Frontier, leaf_hash, leaf_hashes
from .log.tiles import CHECKPOINT_FILE, TILE_WIDTH, TileFolder, TileMissing, TilesRefused
from .sealing import PAGE_EVENTS, SealRefused, hold_state, load_signed
from .trust import Trust

PART_EVENTS = 65_536
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that somebody remembers, `source` says who; `note` is empty where only size and root are remembered."""

    source: str
    checkpoint: Checkpoint
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: over how many events, how many files it wrote, and which it found wrong and put aside in `aside`."""

    size: int
    compared: int
    written: int
    wrong: tuple[str, ...]
    aside: Path | None


def rebuild(
    reader: LedgerReader, tiles: TileFolder, memory: Path, *, trust: Trust, given: Sequence[Path] = ()
) -> Rebuilt:
    """Make the folder of `tiles` again, up to the newest checkpoint that the sealer signed; it is published there at last.

    `memory` is the folder of the processes' states. Where the sealer's is lost with the rest, the newest note that anybody
    else has is the end. Raises SealRefused when ledger and memories contradict each other, Busy while a sealer runs,
    NotConfigured when nobody remembers a checkpoint.
    """
    state = memory / "sealer"
    with hold_state(state):
        signed = load_signed(state, trust.log_key, trust.origin)
        known = list(remembered(memory, tiles, trust, given))
        newest = max((one for one in known if one.note), key=lambda one: one.checkpoint.size, default=None)
        if newest is None:
            raise NotConfigured("Nobody here remembers a checkpoint of this log. Name a file that holds one: --checkpoint.")
        size = signed.size or newest.checkpoint.size
        for one in known:
            if one.checkpoint.size > size:
                sentence = f"{one.source} knows of {one.checkpoint.size} events, and the sealer's state of {size} only: it was"
                raise SealRefused(f"{sentence} rolled back. Restore its newest copy, or declare a new log origin.")
        staging = TileFolder(_beside(tiles.path, "rebuilding"))
        shutil.rmtree(staging.path, ignore_errors=True)
        try:
            _stage(reader, staging, tiles, known)
            _copy_archive(state, staging.path)
            note = max((one.note for one in known if one.checkpoint.size == size), key=len)
            staging.publish(note)
            return _put_in_place(staging.path, tiles, Rebuilt(size, len(known), 0, (), None))
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)


def remembered(memory: Path, tiles: TileFolder, trust: Trust, given: Sequence[Path]) -> Iterator[Known]:
    """Yield every checkpoint that can be found; raises SealRefused for one that the log did not sign."""
    signed = load_signed(memory / "sealer", trust.log_key, trust.origin)
    if signed.size:
        yield _known("the sealer's state", signed.note.encode(), trust)
        for size, note in CheckpointArchive(memory / "sealer").notes(1, signed.size):
            yield _known(f"the archive's note over {size} events", note, trust)
    with suppress(SealRefused):  # it may be what was damaged
        yield _known("the published checkpoint", tiles.published() or b"", trust)
    latest = memory / "witness" / hashlib.sha256(trust.origin.encode()).hexdigest()
    if latest.is_file():
        yield _known("the witness", latest.read_bytes(), trust)
    seen = memory / "verify" / "seen.json"
    if seen.is_file():
        last = msgspec.json.decode(seen.read_bytes(), type=_Seen)
        if last.origin == trust.origin:
            yield Known("the last verification", Checkpoint(last.origin, last.size, bytes.fromhex(last.root)))
    for file in given:
        yield _known(str(file), file.read_bytes(), trust)


class _Seen(msgspec.Struct):
    """What `tenuto verify` keeps of the last checkpoint; root: hex."""

    origin: str
    size: int
    root: str


def _known(source: str, note: bytes, trust: Trust) -> Known:
    try:
        return Known(source, parse_checkpoint(note, trust.log_key, trust.origin), note)
    except CheckpointRefused as refusal:
        raise SealRefused(f"What {source} holds is no checkpoint of this log: {refusal}") from refusal


def _stage(reader: LedgerReader, staging: TileFolder, tiles: TileFolder, known: Sequence[Known]) -> None:
    """Derive all files into `staging`, and compare on the way; raises SealRefused where the ledger is not the one signed."""
    due = sorted(known, key=lambda one: one.checkpoint.size)
    size = due[-1].checkpoint.size
    part, done, tree, agreed = list[bytes](), 0, Frontier(), 0
    for page in _pages(reader, size):
        leaves = leaf_hashes(page)
        end = tree.size + len(page)
        while due and due[0].checkpoint.size <= end:
            one = due.pop(0)
            here = tree.extend(leaves[: one.checkpoint.size - tree.size])
            if here.root() != one.checkpoint.root:
                raise SealRefused(_difference(reader, tiles, one, agreed))
            agreed = one.checkpoint.size
        tree = tree.extend(leaves)
        part += page
        if len(part) >= PART_EVENTS or tree.size == size:
            end = size if tree.size == size else tree.size - tree.size % TILE_WIDTH  # no partial tile but the last ones
            staging.apply(staging.extension(done, part[: end - done]))
            done, part = end, part[end - done :]


def _pages(reader: LedgerReader, stop: int) -> Iterator[list[bytes]]:
    start = 0
    while start < stop:
        page = reader.read(start, min(PAGE_EVENTS, stop - start), payloads=False)
        if not page or [entry.position for entry in page] != list(range(start, start + len(page))):
            raise SealRefused(f"{stop} events were signed, and the ledger has no event at position {start}.")
        start += len(page)
        yield [entry.entry for entry in page]


def _difference(reader: LedgerReader, tiles: TileFolder, one: Known, agreed: int) -> str:
    """Say where the ledger leaves what was signed, as closely as what is left of the tiles can tell."""
    size = one.checkpoint.size
    said = f"The ledger is not the one that was signed: {one.source} has another root over {size} events."
    for start in range(agreed, size, PAGE_EVENTS):
        for entry in reader.read(start, min(PAGE_EVENTS, size - start), payloads=False):
            try:
                if tiles.hash_at(0, entry.position) != leaf_hash(entry.entry):
                    return f"{said} The event at position {entry.position} is the first that the tiles left do not know."
            except (TileMissing, TilesRefused):
                continue
    return f"{said} An event between positions {agreed} and {size - 1} was changed; no tile is left to tell which."


def _copy_archive(state: Path, staging: Path) -> None:
    for file in sorted((state / ARCHIVE_FOLDER).rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            write_durably({staging / file.relative_to(state): file.read_bytes()})


def _put_in_place(staging: Path, tiles: TileFolder, rebuilt: Rebuilt) -> Rebuilt:
    """Move what was derived to where it belongs; what is there and differs goes aside first, file by file."""
    aside = _free(tiles.path)
    written, wrong, touched = 0, list[str](), set[Path]()
    files = [one for one in staging.rglob("*") if one.is_file()]
    for file in sorted(files, key=lambda one: (one.name == CHECKPOINT_FILE, one)):  # what is published last, comes last
        name = file.relative_to(staging).as_posix()
        target = tiles.path / name
        if target.is_file() and target.read_bytes() == file.read_bytes():
            continue
        if name == CHECKPOINT_FILE:
            _flush(touched)  # what it covers is durable before it is published
        if target.exists():
            wrong.append(name)
            make_folder((aside / name).parent, touched)
            target.rename(aside / name)
            touched.add((aside / name).parent)
        make_folder(target.parent, touched)
        file.rename(target)
        touched.add(target.parent)
        written += 1
    _flush(touched)
    for name in wrong:
        log.error("%s was not what the events make it; it lies in %s now.", name, aside)
    return Rebuilt(rebuilt.size, rebuilt.compared, written, tuple(wrong), aside if wrong else None)


def _flush(folders: Iterable[Path]) -> None:
    """Make durable what was made, renamed or taken away in these folders."""
    for folder in folders:
        flush_folder(folder)


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f"{folder.name}.{word}")


def _free(folder: Path) -> Path:
    return next(one for number in count(1) if not (one := _beside(folder, f"aside-{number}")).exists())

"""Every file of a log folder, looked at: what a stranger might one day be shown has to say what the signed tree says.

`verify_tiles` follows the files that one checkpoint needs. A folder holds more: partial tiles of earlier checkpoints, whole
ones beside them, the archive of cosigned checkpoints. A client that asks for one of those gets what lies there, so each must
be the beginning of what was verified. What has no place in a log folder, or reaches beyond the signed tree, is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .archive import ARCHIVE_FOLDER, ArchiveRefused, split_notes
from .checkpoint import CheckpointRefused, parse_checkpoint
from .merkle import HASH_BYTES
from .note import NoteRefused, NoteVerifier, open_note, parse_vkey
from .proof import tree_root
from .tiles import (
    CHECKPOINT_FILE,
    ENTRIES,
    MINIMUM_FILE,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileFolder,
    TileMissing,
    TilesRefused,
    split_bundle,
    tile_path,
)

_TILE = re.compile(r"tile/([0-9]{1,2}|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?")


class HistoriesDiffer(ArchiveRefused):
    """The log signed a checkpoint that is not of the tree at hand: two histories, under one key."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. files: how many say what the tree says. notes: how many kept checkpoints among them.

    foreign: files that no log folder has. beyond: files that hold more than the checkpoint covers, so that nobody vouches for
    the rest; a running sealer writes them a moment before it publishes.
    """

    files: int
    notes: int
    foreign: tuple[str, ...]
    beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures a kept checkpoint bears: the log's verifier key and name, and the witnesses that are known."""

    log_key: str
    origin: str
    witnesses: Sequence[NoteVerifier]


def examine(folder: TileFolder, size: int, signers: Signers, minimum: int = 0) -> Examined:
    """Look at every file of a folder whose tree over `size` entries passed `verify_tiles`.

    minimum: the minimum index; the root of a kept checkpoint below it cannot be computed where its tiles were pruned, and
    is not compared there.

    Raises TilesRefused, ArchiveRefused or HistoriesDiffer naming the first file that says something else. A file that goes
    away meanwhile, as partial tiles do, is not looked at.
    """
    files, notes, foreign, beyond = 0, 0, list[str](), list[str]()
    for name, data in _files(folder.path):
        if name in (CHECKPOINT_FILE, MINIMUM_FILE):
            files += 1
        elif name.startswith(f"{ARCHIVE_FOLDER}/") and not Path(name).name.startswith("."):
            reaches, count = _examine_notes(folder, name, data, (size, minimum), signers)
            files, notes = files + 1, notes + count
            beyond += [name] if reaches else []
        elif (place := _place(name)) is not None:
            files += 1
            beyond += [name] if _reaches_beyond(folder, name, data, place, size) else []
        else:
            foreign.append(name)
    return Examined(files, notes, tuple(foreign), tuple(beyond))


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each, the tiles before the checkpoints whose roots are computed from them."""
    archive = path / ARCHIVE_FOLDER
    for file in sorted(path.rglob("*"), key=lambda file: (archive in file.parents, file)):
        try:
            if not file.is_dir():
                yield file.relative_to(path).as_posix(), file.read_bytes()
        except FileNotFoundError:
            continue


def _place(name: str) -> tuple[int | str, int, int] | None:
    """Return level, number and width of a tile or bundle by its name, None when it is none or written another way."""
    match = _TILE.fullmatch(name)
    if match is None:
        return None
    level = match[1] if match[1] == ENTRIES else int(match[1])
    place = level, int(match[2].replace("x", "").replace("/", "")), int(match[3] or TILE_WIDTH)
    return place if tile_path(*place) == name and place[2] > 0 else None


def _reaches_beyond(folder: TileFolder, name: str, data: bytes, place: tuple[int | str, int, int], size: int) -> bool:
    """Compare a tile or bundle with the verified one; return whether it holds more than a tree of `size` has."""
    level, number, width = place
    count = size if isinstance(level, str) else size >> TILE_HEIGHT * level
    known = min(TILE_WIDTH, count - number * TILE_WIDTH)  # as many as `verify_tiles` has seen of this one
    there = min(width, known)
    if isinstance(level, str):
        found = split_bundle(name, data)
    elif len(data) % HASH_BYTES:
        raise TilesRefused(f"{name} ends inside a hash.")
    else:
        found = [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]
    if len(found) != width:
        raise TilesRefused(f"{name} holds {len(found)} where {width} belong.")
    if there > 0 and found[:there] != folder.items(level, number, known)[:there]:
        raise TilesRefused(f"{name} is not the beginning of what the entries make it.")
    return there < width


def _examine_notes(
    folder: TileFolder, name: str, data: bytes, between: tuple[int, int], signers: Signers
) -> tuple[bool, int]:
    size, minimum = between
    notes, beyond = split_notes(name, data), False
    keys = [parse_vkey(signers.log_key), *signers.witnesses]
    for covered, note in notes.items():
        try:
            checkpoint = parse_checkpoint(note, signers.log_key, signers.origin)
            open_note(note, keys)
        except (CheckpointRefused, NoteRefused) as refusal:
            raise ArchiveRefused(f"{name} holds a note over {covered} entries that does not hold: {refusal}") from refusal
        if covered > size:
            beyond = True
        elif _root(covered, folder, minimum) not in (None, checkpoint.root):
            sentence = f"{name} holds a checkpoint over {covered} entries, signed by this log, with another root than this tree"
            raise HistoriesDiffer(f"{sentence} has: the log signed two histories.")
    return beyond, len(notes)


def _root(covered: int, folder: TileFolder, minimum: int) -> bytes | None:
    try:
        return tree_root(covered, folder)
    except TileMissing:
        if covered >= minimum:
            raise
        return None

"""What `tenuto verify` has to say about the beginning of a log that retention took out of the database.

Two questions that the nine steps do not ask: did anything leave the tables without a retention on record, and is every
archive that a retention names still that very archive? Nothing here trusts the database's word: where the tables begin is
compared with what the verified events say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tenuto.adapters.tilefiles import TileLedger
from tenuto.archive import ArchiveMissing, ArchiveRefused, Shelf
from tenuto.following import CheckpointFile, Follower, verified_checkpoint
from tenuto.holding import Holds
from tenuto.log.tiles import TileFolder
from tenuto.retention import Retained, RetentionRefused, Survey, published_minimum
from tenuto.trust import Trust
from tenuto.verification import VerificationFailed, Verified


class KeptLedger(Protocol):
    """A live ledger whose beginning may be in archives."""

    @property
    def shelf(self) -> Shelf:
        """Where the archives are."""
        ...

    def attached(self) -> list[tuple[int, int]]:
        """Return the first and last positions of the partitions that the tables have."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the beginning of the log was read from. minimum: the first position in the tables; archives: their folders."""

    minimum: int = 0
    archives: tuple[str, ...] = ()


def verify_kept(survey: Survey, live: KeptLedger, tiles: TileFolder) -> Kept:
    """Compare tables, archives and the published minimum index with the retention on record; raises VerificationFailed.

    `survey` has taken all that was signed. Returns what to tell the person. An archive whose tables are still there is not needed yet, and not looked at.
    """
    gone, retained = _gone(live.attached()), survey.retained
    for first, last in gone:
        if last >= retained.minimum:
            raise unrecorded(max(first, retained.minimum), last)
    folders = []
    for (first, last), digest in sorted(retained.archives.items()):
        if any(low <= first <= high for low, high in gone):
            _verify_unheld(survey.holds, first, last, retained.said[first, last])
            folders.append(_verify_digest(live.shelf, first, last, digest))
    published = minimum_of(tiles)
    if published > retained.minimum:
        sentence = f"the minimum index {published} is published, and the retention on record ends before {retained.minimum}"
        raise VerificationFailed(6, sentence)
    return Kept(max((last + 1 for _, last in gone), default=0), tuple(folders))


def _verify_unheld(holds: Holds, first: int, last: int, said: int) -> None:
    """The tables went after the retention was put on record at `said`: a hold that stood before it and still stands forbade that.

    One that was placed later found them gone already, and keeps what is in the archive from being purged.
    """
    names = holds.over_range(first, last, before=said)
    if names:
        sentence = f"the events from position {first} to {last} were dropped from the database under the legal hold {', '.join(names)}"
        raise VerificationFailed(6, f"{sentence}; the keeper put that on record at position {said}", first)


def minimum_of(tiles: TileFolder) -> int:
    """Return the minimum index that is published; raises VerificationFailed (step 6) when the file holds none."""
    try:
        return published_minimum(tiles.path)
    except RetentionRefused as refusal:
        raise VerificationFailed(6, str(refusal)) from refusal


@contextmanager
def archives_judged() -> Iterator[None]:
    """Turn a file of an archive that is not what it was into the failure that it is: the log cannot be read from it."""
    try:
        yield
    except ArchiveRefused as refusal:
        raise VerificationFailed(6, str(refusal)) from refusal


def unrecorded(first: int, last: int) -> VerificationFailed:
    """Return the failure for events that left the tables and no event on record says so."""
    sentence = f"the events from position {first} to {last} were dropped from the database, and no retention is on record"
    return VerificationFailed(6, sentence, first)


def explained(missing: ArchiveMissing, tiles: TileFolder, trust: Trust) -> ArchiveMissing | VerificationFailed:
    """Say whether events that can be read nowhere were retired, and their archive is away, or were simply dropped.

    The published bundles still have the events, without payloads; they are verified like any others.
    """
    retained = Retained()
    try:
        checkpoints = CheckpointFile(tiles.path)
        note = checkpoints.latest()
        size = 0 if note is None else verified_checkpoint(note, trust).size
        for page in Follower(TileLedger(tiles.path, size), checkpoints, trust).pages():
            take(retained, page)
    except VerificationFailed as failure:
        sentence = f"{str(missing).rstrip('.')}. The published files do not have them either: {failure.sentence}"
        return VerificationFailed(6, sentence, missing.first)
    if missing.last < retained.minimum:
        return missing
    return unrecorded(max(missing.first, retained.minimum), missing.last)


def take(retained: Retained, page: Iterable[Verified]) -> None:
    """Fold a page of verified events."""
    for verified in page:
        retained.apply(verified)


def _verify_digest(shelf: Shelf, first: int, last: int, digest: str) -> str:
    try:
        archive = shelf.find(first, last)
        if archive is None:
            raise ArchiveMissing(first, last, shelf.folder)
        if archive.digest != digest:
            raise ArchiveRefused(f"{archive.folder} is not the archive that the retention on record names")
    except ArchiveRefused as refusal:
        raise VerificationFailed(6, str(refusal), first) from refusal
    return str(archive.folder)


def _gone(attached: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches of positions, before the last partition, that the tables have no partition for."""
    gone, place = [], 0
    for first, last in sorted(attached):
        if first > place:
            gone.append((place, first - 1))
        place = last + 1
    return gone

"""`tenuto verify`: all nine steps over a whole log, live or as files, and beside them what only the live ledger can get wrong.

The steps prove the events. A live ledger also keeps columns and rows that are derived from the events (leaf hashes, kinds,
session heads, the head row, payloads beside no event): ingest and readers lean on them, so each is compared with what the
events say, and a difference is a failure like any other.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from tenuto.adapters.tilefiles import TileLedger
from tenuto.archive import ArchiveMissing, Shelf
from tenuto.errors import UNREADABLE
from tenuto.following import Follower
from tenuto.ledger import LedgerReader, SessionHead
from tenuto.log.archive import ArchiveRefused
from tenuto.log.durable import flush_folder, write_durably
from tenuto.log.folder import Examined, HistoriesDiffer, Signers, examine
from tenuto.log.merkle import leaf_hash
from tenuto.log.tiles import TileFolder, TileMissing, TilesRefused, verify_tiles
from tenuto.log.witnessing import parse_policy
from tenuto.purges import Purges
from tenuto.retention import Survey
from tenuto.trust import Trust
from tenuto.verification import LogWalk, VerificationFailed, Verified

from .kept import Kept, KeptLedger, archives_judged, explained, minimum_of, verify_kept
from .replay.records import Output, tick_lines, tick_records
from .walked import NOT_DONE, Seen, Walk, Walked, verify_cosigned

PAGE = 500
COSIGNATURE_SECONDS_MAX = 6.0
COSIGNATURE_PAUSE_SECONDS = 0.1
SEEN_FILE, LOCK_FILE = "seen.json", "lock"
FILES_NAMED_MAX = 20


class LiveLedger(LedgerReader, KeptLedger, Protocol):
    """A reader that also shows what is stored beside the events, and where its beginning is."""

    def session_heads(self) -> dict[UUID, SessionHead]:
        """Return the stored head of every session."""
        ...

    def columns(self, start: int, limit: int) -> list[tuple[int, UUID, int, str, bytes]]:
        """Return `(position, session, seq, kind, leaf hash)` as stored."""
        ...

    def kept_payloads(self, positions: Sequence[int]) -> list[int]:
        """Return at which of these positions a payload lies in the tables."""
        ...

    def stray_payloads(self) -> int:
        """Return how many payloads lie beside no event."""
        ...


class Looked(NamedTuple):
    """Found besides the nine steps: where the beginning was read from, what the published folder holds, what was purged."""

    kept: Kept
    examined: Examined | None
    purges: Purges


@archives_judged()
def walk_log(
    follower: Follower,
    walked: Walked,
    seen_folder: Path,
    tiles: TileFolder,
    live: LiveLedger | None = None,
    *,
    shelf: Shelf | None = None,
) -> bool:
    """Verify the whole log, print the nine ticks and return whether anything was signed; raises VerificationFailed.

    `seen_folder` remembers the newest checkpoint from one verification to the next, for step 9. `tiles` is the published
    folder: every file in it must say what the events say. Without `live` the events come from there too; `shelf` has the
    archives of what was pruned from it.
    """
    walked.seen_before(load_seen(seen_folder))
    head = None if live is None else live.head()
    compare = None if live is None else _columns_compared(live)
    survey, kept = Survey(()), Kept()
    with _progress() as progress:
        task = progress.add_task("Verifying", total=None if head is None else head.size)
        deadline = time.monotonic() + COSIGNATURE_SECONDS_MAX
        while True:
            for page in _located(follower, tiles, live, walked.trust):
                walked.take(page)
                survey.take(page)
                if compare is not None:
                    compare(page)
                total = None if follower.checkpoint is None else follower.checkpoint.size
                progress.update(task, completed=follower.walk.size, total=total)
            if _is_cosigned(follower, walked, deadline):
                break
        walked.verify(follower)
        examined = _verify_published(follower, tiles, walked.trust, shelf if live is None else live.shelf)
    walk = walked.walk(follower)
    unsigned = 0
    if live is not None and head is not None:
        # What is appended but not yet signed is walked too, so that nothing stored goes unlooked at.
        unsigned = _verify_unsigned(follower.walk, live, compare, head.size)
        walked.verify(follower)
        _verify_derived(follower.walk, live)
        follower.walk.verify_purges_done(live.kept_payloads(follower.walk.purges.positions()))
        kept = verify_kept(survey, live, tiles)
    if walk.seen is not None:
        save_seen(seen_folder, walk.seen)
    _print(walk, unsigned, Looked(kept, examined, follower.walk.purges), live=live is not None)
    return walk.seen is not None


def _is_cosigned(follower: Follower, walked: Walked, deadline: float) -> bool:
    """Step 8; cosignatures follow their checkpoint after a moment, so a missing one is waited for until the deadline."""
    try:
        verify_cosigned(follower.note, walked.trust)
    except VerificationFailed:
        if time.monotonic() >= deadline:
            raise
        time.sleep(COSIGNATURE_PAUSE_SECONDS)
        return False
    return True


def _located(
    follower: Follower, tiles: TileFolder, live: LiveLedger | None, trust: Trust
) -> Iterator[list[Verified]]:
    """Yield the follower's pages; where only the root shows that something was changed, find the position for the person."""
    try:
        yield from follower.pages()
    except ArchiveMissing as missing:
        raise explained(missing, tiles, trust) from missing
    except VerificationFailed as failure:
        checkpoint = follower.checkpoint
        if failure.step != 6 or failure.position is not None or checkpoint is None:
            raise
        place = _first_unlike(tiles, live or TileLedger(tiles.path, checkpoint.size), checkpoint.size)
        if place is None:
            raise
        sentence = f"{failure.sentence}, and this event is the first that the published tiles do not know"
        raise VerificationFailed(6, sentence, place) from failure


def _first_unlike(tiles: TileFolder, reader: LedgerReader, size: int) -> int | None:
    """Return the first position whose event is not the one in the tiles; None when the tiles cannot tell."""
    try:
        for start in range(0, size, PAGE):
            for entry in reader.read(start, min(PAGE, size - start), payloads=False):
                if tiles.hash_at(0, entry.position) != leaf_hash(entry.entry):
                    return entry.position
    except (TileMissing, TilesRefused):
        return None
    return None


def _verify_published(follower: Follower, tiles: TileFolder, trust: Trust, shelf: Shelf | None) -> Examined | None:
    """Step 6 from the other side: proofs are made of the published files, so every file must say what the signed root says."""
    if follower.checkpoint is None:
        return None
    known = parse_policy(trust.policy).witnesses.values() if trust.policy.strip() else ()
    signers = Signers(trust.log_key, trust.origin, [one.verifier for one in known])
    try:
        pruned = (lambda _: None) if shelf is None else shelf.bundle
        verify_tiles(tiles, follower.checkpoint.size, follower.checkpoint.root, pruned)
        return examine(tiles, follower.checkpoint.size, signers, minimum_of(tiles))
    except (TilesRefused, TileMissing) as trouble:
        raise VerificationFailed(6, f"the published files are not those of the log: {trouble}") from trouble
    except HistoriesDiffer as refusal:
        raise VerificationFailed(9, str(refusal)) from refusal
    except ArchiveRefused as refusal:
        raise VerificationFailed(7, f"the archive of cosigned checkpoints does not hold: {refusal}") from refusal


def load_seen(folder: Path) -> Seen | None:
    """Return the checkpoint that the last verification saw; raises VerificationFailed when the note of it is damaged."""
    file = folder / SEEN_FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Seen)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise VerificationFailed(9, f"{file}, which holds the last checkpoint seen, is damaged: {error}") from error


def save_seen(folder: Path, seen: Seen) -> None:
    """Keep the checkpoint for the next verification, whole or not at all, also after the power fails.

    Of verifications that run at the same time, the one that saw most of the log is remembered.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        flush_folder(folder.parent)
    with (folder / LOCK_FILE).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = load_seen(folder)
        if before is None or before.origin != seen.origin or before.size <= seen.size:
            write_durably({folder / SEEN_FILE: msgspec.json.encode(seen) + b"\n"})


def _columns_compared(live: LiveLedger) -> Callable[[list[Verified]], None]:
    def compare(page: list[Verified]) -> None:
        stored = live.columns(page[0].position, len(page))
        for verified, found in zip(page, stored, strict=False):
            event = verified.event
            expected = (verified.position, event.session, event.seq, event.kind, verified.leaf)
            if found != expected:
                names = ("position", "session", "sequence number", "kind", "leaf hash")
                wrong = [name for name, one, other in zip(names, found, expected, strict=True) if one != other]
                raise VerificationFailed(6, f"the stored {', '.join(wrong)} is not that of the event", verified.position)

    return compare


def _verify_unsigned(
    walk: LogWalk, live: LiveLedger, compare: Callable[[list[Verified]], None] | None, size: int
) -> int:
    start = walk.size
    while walk.size < size:
        entries = live.read(walk.size, min(PAGE, size - walk.size))
        if not entries:
            raise VerificationFailed(6, f"the head row counts {size} events, the ledger ends before", walk.size)
        page = walk.take(entries)
        if compare is not None:
            compare(page)
    return walk.size - start


def _verify_derived(walk: LogWalk, live: LiveLedger) -> None:
    head = live.head()
    heads = live.session_heads()
    while walk.size < head.size:  # it moved on meanwhile
        walk.take(live.read(walk.size, min(PAGE, head.size - walk.size)))
        head, heads = live.head(), live.session_heads()
    if head.size != walk.size or head.frontier != walk.frontier.to_bytes():
        raise VerificationFailed(6, f"the head row, over {head.size} events, is not that of the events stored")
    if walk.recorded_at is not None and head.recorded_at not in (None, walk.recorded_at):
        raise VerificationFailed(6, "the time in the head row is not that of the last event", walk.size - 1)
    beyond = live.read(walk.size, 1, payloads=False)
    if beyond and live.head().size == walk.size:  # an event and the head that counts it are committed together
        raise VerificationFailed(6, "an event lies behind the last one that the head row counts", beyond[0].position)
    if live.head().size == walk.size and heads != walk.sessions.heads:
        differing = {session for session in heads.keys() | walk.sessions.heads.keys()
                     if heads.get(session) != walk.sessions.heads.get(session)}  # fmt: skip
        raise VerificationFailed(4, f"the stored head of session {min(differing)} is not that of its last event")
    stray = live.stray_payloads()
    if stray:
        raise VerificationFailed(5, f"{stray} payloads lie beside no event")


def _purged(purges: Purges) -> Iterator[tuple[int, str]]:
    """Yield the position of each purged payload, and by whom, when, under which request and why it was."""
    for position in purges.positions():
        purge = purges.covering(position)
        if purge is not None:
            yield position, purge.sentence


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())


def _print(walk: Walk, unsigned: int, looked: Looked, *, live: bool) -> None:
    kept, examined, purges = looked
    seen = walk.seen
    if seen is None:
        Output().emit({"verified": False, "reason": "nothing is signed"}, [Text("The log has signed nothing yet.")])
        return
    left_out = [tick.step for tick in walk.ticks if tick.state == NOT_DONE]
    shown = {
        "verified": True, "origin": seen.origin, "size": seen.size, "root": seen.root, "unsigned": unsigned,
        "live": live, "not_done": left_out, "minimum": kept.minimum, "archives": list(kept.archives), "steps": tick_records(walk.ticks),
        "purged": [{"position": position, "said": said} for position, said in _purged(purges)],
    }  # fmt: skip
    if examined is not None:
        shown |= {
            "files": examined.files, "cosigned_checkpoints": examined.notes, "foreign_files": examined.foreign,
            "files_beyond": examined.beyond,
        }  # fmt: skip
    verdict = f"The log {seen.origin} holds: {seen.size:,} events under the root {seen.root[:16]}."
    gone = [Text(f"  position {position} was {said}") for position, said in _purged(purges)]
    lines = [*tick_lines(walk.ticks), *gone, Text(verdict, style="bold green")]
    if kept.minimum:
        where = ", ".join(kept.archives)
        said = f"The events below position {kept.minimum:,}, and what lies beside them, are in archives; read from: {where}."
        lines.append(Text(said))
    if unsigned:
        lines.append(Text(f"{unsigned:,} more events are stored and sound, but not signed yet.", style="yellow"))
    lines += _files_said(examined)
    if left_out:
        lines.append(Text(f"Not done here: step {', '.join(map(str, left_out))}, for the reason said above.", style="yellow"))
    Output().emit(shown, lines)


def _files_said(examined: Examined | None) -> list[Text]:
    if examined is None:
        return []
    said = f"All {examined.files:,} files of the log say the same; {examined.notes:,} cosigned checkpoints are kept in it."
    lines = [Text(said)]
    if examined.beyond:
        said = f"{len(examined.beyond):,} files reach beyond the checkpoint and nobody vouches for the rest of them: "
        lines.append(Text(said + _listed(examined.beyond), style="yellow"))
    if examined.foreign:
        said = f"{len(examined.foreign):,} files do not belong into a log folder and were not read: "
        lines.append(Text(said + _listed(examined.foreign), style="yellow"))
    return lines


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - FILES_NAMED_MAX:,} more" if len(names) > FILES_NAMED_MAX else ""
    return ", ".join(names[:FILES_NAMED_MAX]) + rest

"""The sealer: the log's own hand, which signs only what extends what it signed before.

It runs apart from the database, with its own key and its own memory of the last signed frontier. Each step folds the
new events onto that frontier and compares the result with the ledger's head. If they differ, or rows are gone, it
refuses and signs nothing more: a checkpoint that contradicts an earlier one could never be taken back.

The order of a step is what makes a crash at any point harmless:

 1. stage       the new tiles, durably, beside the state
 2. swap        the signed state, durably; FROM HERE ON the checkpoint exists, and everything below follows from it
 3. apply       the staged tiles to the log folder
 4. publish     the signed checkpoint
 5. cosign      ask the witnesses
 6. keep        the cosigned note, durably, in the state and in the log folder's archive
 7. publish     that note in place of the one without cosignatures

Every step begins by carrying out 3 and 4 for the state it finds, and the first also 7. That is the whole recovery. What a
witness cosigned and a crash or the network took on its way back is asked for again before the next is (`log.cosigning`).
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from .clock import Clock
from .errors import Busy, TenutoError
from .ledger import Head, LedgerReader
from .log.archive import ARCHIVE_FOLDER, ArchiveRefused, CheckpointArchive
from .log.checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint, sign_checkpoint
from .log.cosigning import CheckpointWitness, Cosigning
from .log.durable import write_durably
from .log.merkle import Frontier, leaf_hashes
from .log.note import NoteRefused, NoteSigner, NoteVerifier, open_note, parse_note
from .log.proof import tree_root
from .log.tiles import TileFolder, TileMissing, TilesRefused

SEAL_EVENTS_MAX = 65_536
PAGE_EVENTS = 1024
_STATE_FILE, _STAGED_FILE, _LOCK_FILE, _COSIGNED_FILE = "signed.json", "staged", "lock", "cosigned"
_RESTORE = (
    "Stop ingest and restore everything that was signed: a newer backup, or the write-ahead log up to its end. What is"
    " read again from Kafka gets another time, and so another place in the tree. Where no such copy is left, declare a new"
    " log origin; the published log stays as evidence."
)
log = logging.getLogger(__name__)


def cosigned_file(state: Path) -> Path:
    """Return where a sealer with this state folder keeps the last note that a witness cosigned, for people who ask."""
    return state / _COSIGNED_FILE


class SealRefused(TenutoError):
    """Something contradicts what was signed. Nothing was signed; a person must find out why. Never delete the state."""


class SignedState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the sealer must never forget. frontier: hex. staged: SHA-256 of the tiles that belong to it, hex."""

    size: int = 0
    frontier: str = ""
    note: str = ""
    staged: str = ""

    @property
    def tree(self) -> Frontier:
        """The frontier as signed."""
        return Frontier.from_bytes(self.size, bytes.fromhex(self.frontier))


def hold_state(state: Path) -> BinaryIO:
    """Take the state folder for this process until the file is closed; raises Busy while another has it."""
    state.mkdir(parents=True, exist_ok=True)
    lock = (state / _LOCK_FILE).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Busy(f"Another sealer holds {state}. Two must never sign for one log.") from error
    return lock


def load_signed(state: Path, log_key: str, origin: str) -> SignedState:
    """Return what was signed last, of size 0 when there is nothing; raises SealRefused when the file is not this log's."""
    file = state / _STATE_FILE
    try:
        signed = msgspec.json.decode(file.read_bytes(), type=SignedState)
        if signed.size == 0:
            raise ValueError("it covers no events")
        checkpoint = parse_checkpoint(signed.note.encode(), log_key, origin)
        if (checkpoint.size, checkpoint.root) != (signed.size, signed.tree.root()):
            raise ValueError("frontier and checkpoint differ")
    except FileNotFoundError:
        return SignedState()
    except (msgspec.MsgspecError, ValueError, CheckpointRefused) as error:
        sentence = f"The sealer's state {file} is not its own: {error} Restore it, or check key and origin."
        raise SealRefused(sentence) from error
    return signed


@dataclass(frozen=True, slots=True)
class Published:
    """What one step did: the newest checkpoint, which witnesses cosigned it, and a sentence for each that did not.

    events: how many events the step signed that were not signed before; 0 when only a cosignature came in.
    """

    checkpoint: Checkpoint
    events: int
    cosigned_by: tuple[str, ...]
    alarms: tuple[str, ...]


class Sealer:
    """Signs the log `origin`. One process at a time; a context manager."""

    def __init__(
        self,
        *,
        reader: LedgerReader,
        tiles: TileFolder,
        state: Path,
        signer: NoteSigner,
        origin: str,
        witnesses: Sequence[CheckpointWitness] = (),
        clock: Clock,
    ) -> None:
        """`state` is the sealer's own folder: back it up, and never let the database's owner write there."""
        self._reader, self._tiles, self._state, self._signer, self._origin = reader, tiles, state, signer, origin
        self._cosigning = Cosigning(witnesses, tiles, clock, recall=self._lost_note)
        self._archive = CheckpointArchive(state)
        self._lock: BinaryIO | None = None
        self._ready = False
        self._published: bytes | None = None
        self._compared: list[Frontier] = []  # ends of the parts of a backlog, the last being that of the ledger's head

    def __enter__(self) -> Self:
        """Nothing is taken before the first `seal`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let another sealer take over."""
        self._cosigning.close()
        if self._lock is not None:
            self._lock.close()
            self._lock, self._ready, self._compared = None, False, []

    def seal(self) -> Published | None:
        """Take one step; None when nothing is new and no cosignature came in.

        Covers at most SEAL_EVENTS_MAX (65,536) events; call again for the rest. Raises SealRefused, after which nothing
        is signed until a person has acted, and Busy while another sealer holds the state or the ledger is away.
        """
        signed = self._begin()
        following = self._sign_following(signed, self._reader.head())
        if following is not None:
            self._finish(following)
        return self._cosign(following or signed, events=following.size - signed.size if following else 0)

    def _begin(self) -> SignedState:
        if self._lock is None:
            self._lock = hold_state(self._state)
        signed = load_signed(self._state, self._signer.vkey, self._origin)
        if self._ready:
            self._finish(signed)
            return signed
        self._published = self._published_before(signed)
        self._finish(signed)
        self._demand_tree(self._tiles, signed.tree)
        self._publish_kept(signed)
        self._ready = True
        return signed

    def _published_before(self, signed: SignedState) -> bytes | None:
        """Return the published note, after making sure that it does not say more than the state remembers."""
        note = self._tiles.published()
        if note is None:
            return None
        try:
            published = parse_checkpoint(note, self._signer.vkey, self._origin)
            open_note(note, [self._signer.verifier, *self._cosigning.verifiers])
        except (CheckpointRefused, NoteRefused) as refusal:
            raise SealRefused(f"The checkpoint in {self._tiles.path} is not this log's: {refusal}") from refusal
        forked = published.size == signed.size and published.root != signed.tree.root()
        if published.size > signed.size or forked:
            sentence = (
                f"{published.size} events were published as signed, but the sealer's state in {self._state} knows of"
                f" {signed.size}: it was rolled back or lost. Restore its newest copy, or declare a new log origin."
            )
            raise SealRefused(sentence)
        return note

    def _finish(self, signed: SignedState) -> None:
        """Apply and publish what the state promises, if that is still to do; drop what was staged and never signed."""
        file = self._state / _STAGED_FILE
        if not file.exists():
            return
        packed = file.read_bytes()
        if signed.staged == hashlib.sha256(packed).hexdigest():
            try:
                self._tiles.apply(msgspec.msgpack.decode(packed, type=dict[str, bytes]))
            except TilesRefused as refusal:
                raise SealRefused(f"The log folder was changed: {refusal}") from refusal
            self._publish(signed.note.encode())
        file.unlink()

    def _sign_following(self, signed: SignedState, head: Head) -> SignedState | None:
        if head.size < signed.size:
            sentence = (
                f"The ledger has {head.size} events, but {signed.size} were signed: rows were lost, as after restoring"
                f" an old backup or failing over to a standby that was behind. Nothing is signed. {_RESTORE}"
            )
            raise SealRefused(sentence)
        tree, entries = self._fold(signed.tree, head)
        if not entries:
            return None
        try:
            staged = self._tiles.extension(signed.size, entries)
        except (TileMissing, TilesRefused) as trouble:
            raise SealRefused(f"The log folder was changed: {trouble}") from trouble
        self._demand_tree(self._tiles.over(staged), tree)
        packed = msgspec.msgpack.encode(staged)
        note = sign_checkpoint(Checkpoint(self._origin, tree.size, tree.root()), self._signer)
        digest = hashlib.sha256(packed).hexdigest()
        following = SignedState(size=tree.size, frontier=tree.to_bytes().hex(), note=note.decode(), staged=digest)
        write_durably({self._state / _STAGED_FILE: packed})
        self._swap(signed, following)
        return following

    def _fold(self, tree: Frontier, head: Head) -> tuple[Frontier, list[bytes]]:
        """Return the part to sign now with its entries, of a ledger that was folded up to its head and compared with it.

        A long backlog is folded to the head once. The frontiers at the ends of its parts are remembered, and each later part
        must lead to the one remembered for it; so every event is read twice, however long the backlog was.
        """
        target = next((one for one in self._compared if one.size > tree.size), None)
        if target is None or head.size < self._compared[-1].size:
            return self._fold_to_head(tree, head)
        entries = [entry for page in self._pages(tree.size, target.size) for entry in page]
        portion = tree.extend(leaf_hashes(entries))
        if portion != target:
            sentence = f"Events between positions {tree.size} and {target.size - 1} were changed since they were compared with"
            raise SealRefused(f"{sentence} the ledger's head. Nothing is signed.")
        return portion, entries

    def _fold_to_head(self, tree: Frontier, head: Head) -> tuple[Frontier, list[bytes]]:
        start, entries, ends = tree.size, list[bytes](), list[Frontier]()
        count = 0  # events of the part at hand
        for page in self._pages(start, head.size):
            if count + len(page) > SEAL_EVENTS_MAX:
                ends.append(tree)
                count = 0
            count += len(page)
            tree = tree.extend(leaf_hashes(page))
            if not ends:
                entries += page
        if tree.size != head.size or tree.to_bytes() != head.frontier:
            place = f"between positions {start} and {head.size - 1}" if start < head.size else f"below position {start}"
            sentence = (
                f"The ledger's head over {head.size} events does not follow from what was signed over {start}: events"
                f" {place}, or the head itself, were changed, or an old backup was restored and grew again. Nothing is"
                f" signed. {_RESTORE}"
            )
            raise SealRefused(sentence)
        self._compared = [*ends, tree]
        return self._compared[0], entries

    def _pages(self, start: int, stop: int) -> Iterator[list[bytes]]:
        while start < stop:
            page = self._reader.read(start, min(PAGE_EVENTS, stop - start), payloads=False)
            if not page or [entry.position for entry in page] != list(range(start, start + len(page))):
                raise SealRefused(f"The ledger says it has {stop} events, but the one at {start} is missing.")
            start += len(page)
            yield [entry.entry for entry in page]

    def _demand_tree(self, tiles: TileFolder, tree: Frontier) -> None:
        try:
            root = tree_root(tree.size, tiles)
        except (TileMissing, TilesRefused) as trouble:
            raise SealRefused(f"The log folder was changed: {trouble}") from trouble
        if root != tree.root():
            raise SealRefused(f"The tiles in {tiles.path} are not those that were signed. Restore them from a copy.")

    def _swap(self, expected: SignedState, following: SignedState) -> None:
        if load_signed(self._state, self._signer.vkey, self._origin) != expected:
            raise SealRefused(f"Another process changed the state in {self._state}. Two sealers must never run.")
        write_durably({self._state / _STATE_FILE: msgspec.json.encode(following)})

    def _publish(self, note: bytes) -> None:
        self._tiles.publish(note)
        self._published = note

    def _cosign(self, signed: SignedState, *, events: int) -> Published | None:
        if not signed.size:
            return None
        if self._published is None or not self._published.startswith(signed.note.encode()):
            self._publish(signed.note.encode())
        assert self._published is not None
        checkpoint = Checkpoint(self._origin, signed.size, signed.tree.root())
        cosigned = self._cosigning.collect(self._published, checkpoint)
        for alarm in cosigned.alarms:
            log.error("%s", alarm)
        came_in = cosigned.note != self._published
        if came_in:
            # In this order: what is published already is not asked for again, so nothing may be left to do after it. Until
            # this is done `_ready` is off: whatever interrupts it, the next step begins as after a restart.
            self._ready = False
            for note in (*cosigned.earlier, cosigned.note):
                self._keep(note)
            write_durably({cosigned_file(self._state): cosigned.note})
            self._publish(cosigned.note)
            self._ready = True
        return Published(checkpoint, events, cosigned.names, cosigned.alarms) if events or came_in else None

    def _keep(self, note: bytes) -> None:
        """Add a cosigned note to the archive, in the state first and then beside the log; nothing in it is replaced."""
        try:
            kept = self._archive.with_note(self._archive.merged(note))
        except ArchiveRefused as refusal:
            raise SealRefused(f"The archive of cosigned checkpoints was changed: {refusal}") from refusal
        write_durably({folder / name: data for folder in (self._state, self._tiles.path) for name, data in kept.items()})

    def _show_kept(self) -> None:
        """Put into the log folder's archive what a crash left in the state's alone. A file there only ever grows."""
        for file in sorted((self._state / ARCHIVE_FOLDER).rglob("*")):
            shown = self._tiles.path / file.relative_to(self._state)
            if not file.is_file() or file.name.startswith("."):
                continue
            if not shown.exists() or shown.stat().st_size < file.stat().st_size:
                write_durably({shown: file.read_bytes()})

    def _publish_kept(self, signed: SignedState) -> None:
        """Tell the newest note as it was kept, if a crash came between; keep one that was published by an older release."""
        self._show_kept()
        kept, told = self._kept_note(signed.size) if signed.size else None, cosigned_file(self._state)
        if kept is not None and kept.startswith(signed.note.encode()):
            if not told.exists() or told.read_bytes() != kept:
                write_durably({told: kept})
            if kept != self._published:
                self._publish(kept)
        elif self._published is not None and len(parse_note(self._published)[1]) > 1:
            self._keep(self._published)

    def _lost_note(self, size: int, verifier: NoteVerifier) -> bytes | None:
        """Return the note over `size` entries, unless the cosignature by this key is kept already."""
        kept = self._kept_note(size)
        if kept is None:
            return sign_checkpoint(Checkpoint(self._origin, size, tree_root(size, self._tiles)), self._signer)
        return None if any(verifier.made(signature) for signature in parse_note(kept)[1]) else kept

    def _kept_note(self, size: int) -> bytes | None:
        try:
            return self._archive.note_over(size)
        except ArchiveRefused as refusal:
            raise SealRefused(f"The archive of cosigned checkpoints was changed: {refusal}") from refusal

"""The sealer: the log's own hand, which signs only what extends what it signed before.

It runs apart from the database, with its own key and its own memory of the last signed frontier. Each step folds the
new events onto that frontier and compares the result with the ledger's head. If they differ, or rows are gone, it
refuses and signs nothing more: a checkpoint that contradicts an earlier one could never be taken back.

The order of a step is what makes a crash at any point harmless:

 1. stage       the new tiles, durably, beside the state
 2. swap        the signed state, durably; FROM HERE ON the checkpoint exists, and everything below follows from it
 3. apply       the staged tiles to the log folder
 4. publish     the signed checkpoint
 5. cosign      ask the witnesses, and publish the note again with their cosignatures

Every step begins by carrying out 3 and 4 for the state it finds. That is the whole recovery.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from .clock import Clock
from .errors import Busy, TenutoError
from .ledger import Head, LedgerReader
from .log.checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint, sign_checkpoint
from .log.cosigning import CheckpointWitness, Cosigning
from .log.durable import write_durably
from .log.merkle import Frontier, leaf_hash
from .log.note import NoteRefused, NoteSigner, open_note
from .log.proof import tree_root
from .log.tiles import TileFolder, TileMissing, TilesRefused

SEAL_EVENTS_MAX = 65_536
PAGE_EVENTS = 1024
_STATE_FILE, _STAGED_FILE, _LOCK_FILE, _COSIGNED_FILE = "signed.json", "staged", "lock", "cosigned"
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
        self._cosigning = Cosigning(witnesses, tiles, clock)
        self._lock: BinaryIO | None = None
        self._ready = False
        self._published: bytes | None = None

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
            self._lock, self._ready = None, False

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
            self._lock = self._taken_lock()
        signed = self._load()
        if self._ready:
            self._finish(signed)
            return signed
        self._published = self._published_before(signed)
        self._finish(signed)
        self._demand_tree(self._tiles, signed.tree)
        self._ready = True
        return signed

    def _taken_lock(self) -> BinaryIO:
        self._state.mkdir(parents=True, exist_ok=True)
        lock = (self._state / _LOCK_FILE).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise Busy(f"Another sealer holds {self._state}. Two must never sign for one log.") from error
        return lock

    def _load(self) -> SignedState:
        file = self._state / _STATE_FILE
        try:
            signed = msgspec.json.decode(file.read_bytes(), type=SignedState)
            if signed.size == 0:
                raise ValueError("it covers no events")
            checkpoint = parse_checkpoint(signed.note.encode(), self._signer.vkey, self._origin)
            if (checkpoint.size, checkpoint.root) != (signed.size, signed.tree.root()):
                raise ValueError("frontier and checkpoint differ")
        except FileNotFoundError:
            return SignedState()
        except (msgspec.MsgspecError, ValueError, CheckpointRefused) as error:
            sentence = f"The sealer's state {file} is not its own: {error} Restore it, or check key and origin."
            raise SealRefused(sentence) from error
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
                " an old backup. Nothing is signed. Let ingest read the same events again from Kafka, or declare a new"
                " log origin."
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
        """Fold everything up to the head onto `tree` and compare; return the part to sign now, with its entries."""
        start, portion, entries = tree.size, tree, list[bytes]()
        while tree.size < head.size:
            page = self._reader.read(tree.size, min(PAGE_EVENTS, head.size - tree.size), payloads=False)
            positions = [entry.position for entry in page]
            if not page or positions != list(range(tree.size, tree.size + len(page))):
                raise SealRefused(f"The ledger says it has {head.size} events, but the one at {tree.size} is missing.")
            fresh = [entry.entry for entry in page]
            whole_so_far = tree.size == portion.size
            tree = tree.extend([leaf_hash(entry) for entry in fresh])
            if whole_so_far and len(entries) + len(fresh) <= SEAL_EVENTS_MAX:
                portion = tree
                entries += fresh
        if tree.size != head.size or tree.to_bytes() != head.frontier:
            place = f"between positions {start} and {head.size - 1}" if start < head.size else f"below position {start}"
            sentence = (
                f"The ledger's head over {head.size} events does not follow from what was signed over {start}: events"
                f" {place}, or the head itself, were changed. Nothing is signed."
            )
            raise SealRefused(sentence)
        return portion, entries

    def _demand_tree(self, tiles: TileFolder, tree: Frontier) -> None:
        try:
            root = tree_root(tree.size, tiles)
        except (TileMissing, TilesRefused) as trouble:
            raise SealRefused(f"The log folder was changed: {trouble}") from trouble
        if root != tree.root():
            raise SealRefused(f"The tiles in {tiles.path} are not those that were signed. Restore them from a copy.")

    def _swap(self, expected: SignedState, following: SignedState) -> None:
        if self._load() != expected:
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
            # In this order: what is published already is not asked for again, so nothing may be left to do after it.
            write_durably({cosigned_file(self._state): cosigned.note})
            self._publish(cosigned.note)
        return Published(checkpoint, events, cosigned.names, cosigned.alarms) if events or came_in else None

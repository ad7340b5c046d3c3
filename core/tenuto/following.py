"""The one door out: follow the ledger in order, verified, up to what the log has signed.

A projection, a replay, a delivery, a gate and an export differ only in what they do with each event. They all get their
events here, and an event is handed out only when its root is under a checkpoint signed by the log: nobody acts on what
the log could still deny.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from .errors import Refused
from .keytree import StorageKey
from .ledger import LedgerReader
from .log.checkpoint import Checkpoint, parse_checkpoint
from .log.note import NOTE_BYTES_MAX
from .log.tiles import CHECKPOINT_FILE
from .trust import Trust
from .verification import LogWalk, VerificationFailed, Verified

PAGE_EVENTS = 500


class CheckpointSource(Protocol):
    """Where the published checkpoint is fetched."""

    def latest(self) -> bytes | None:
        """Return the newest published signed note, or None before the first."""
        ...


class CheckpointFile:
    """The `checkpoint` file beside the tiles (C2SP tlog-tiles)."""

    def __init__(self, tiles: Path) -> None:
        """`tiles` is the folder that holds `checkpoint` and `tile/`."""
        self._file = tiles / CHECKPOINT_FILE

    def latest(self) -> bytes | None:
        """Return the file's bytes, or None before the log signed anything."""
        try:
            with self._file.open("rb") as file:
                return file.read(NOTE_BYTES_MAX + 1)  # a byte too many is enough to be refused
        except FileNotFoundError:
            return None


class Follower:
    """Reads on from where it stands; every event it returns passed steps 1 to 7 and continues all it returned before."""

    def __init__(
        self,
        reader: LedgerReader,
        checkpoints: CheckpointSource,
        trust: Trust,
        *,
        storage_key: StorageKey | None = None,
        pool: Executor | None = None,
    ) -> None:
        """Starts before the first event. With `storage_key` payloads are opened and verified (step 5)."""
        self.walk = LogWalk(origin=trust.origin, root_public_key=trust.root, storage_key=storage_key)
        self.note: bytes | None = None
        self.checkpoint: Checkpoint | None = None
        self._reader, self._checkpoints, self._trust, self._pool = reader, checkpoints, trust, pool
        self._payloads = storage_key is not None

    def pages(self) -> Iterator[list[Verified]]:
        """Yield the events that were signed since the last call, in pages of at most PAGE_EVENTS.

        The root is compared with the signed checkpoint before the last page is handed out; earlier pages of a long
        catch-up are only final once the iterator ends. Raises VerificationFailed; then this follower is finished.
        """
        target = self._fetch_checkpoint()
        while target is not None and self.walk.size < target.size:
            limit = min(PAGE_EVENTS, target.size - self.walk.size)
            entries = self._reader.read(self.walk.size, limit, payloads=self._payloads)
            if not entries:
                sentence = f"the log signed {target.size} events, the ledger ends after {self.walk.size}"
                raise VerificationFailed(6, sentence, self.walk.size)
            page = self.walk.take(entries, self._pool)
            if self.walk.size == target.size and self.walk.frontier.root() != target.root:
                raise VerificationFailed(6, f"the root over {target.size} events is not the one that the log signed")
            yield page

    def catch_up(self) -> list[Verified]:
        """Return all newly signed events at once, after the root was compared."""
        return [verified for page in self.pages() for verified in page]

    def _fetch_checkpoint(self) -> Checkpoint | None:
        note = self._checkpoints.latest()
        if note is None:
            return self.checkpoint
        if note != self.note:
            checkpoint = verified_checkpoint(note, self._trust)
            if self.checkpoint is not None and checkpoint.size < self.checkpoint.size:
                sentence = f"the log signed {self.checkpoint.size} events before and only {checkpoint.size} now"
                raise VerificationFailed(9, sentence)
            self.note, self.checkpoint = note, checkpoint
        return self.checkpoint


def verified_checkpoint(note: bytes, trust: Trust) -> Checkpoint:
    """Return the checkpoint in a signed note; raises VerificationFailed (step 7) unless the trusted log signed it."""
    try:
        return parse_checkpoint(note, trust.log_key, trust.origin)
    except Refused as refusal:
        raise VerificationFailed(7, str(refusal)) from refusal

"""A witness (C2SP tlog-witness): cosigns a checkpoint only if it extends the last one that it cosigned for that log.

It sees no event, only roots. What it must never forget is the last checkpoint: it is checked and replaced under one
lock and is on the disk before the cosignature leaves. Asked twice at the same time, it can therefore never step back.

It also keeps every checkpoint that it ever cosigned, and has one cosignature for each: asked again for the same one, it
answers with the line that it gave before, bearing the time of then. Draws by lot are made of these lines; a log that could
have another one a second later could draw until it liked the result, and one that shows fewer of them than were made is
found out by this memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..clock import Clock, micros
from ..errors import TenutoError
from .archive import ArchiveRefused, CheckpointArchive
from .checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint_text
from .durable import write_durably
from .merkle import EMPTY_ROOT
from .note import Cosigner, NoteRefused, NoteVerifier, OpenedNote, open_note, parse_note
from .proof import ProofRefused, verify_consistency
from .witnessing import AddCheckpoint, WitnessConflict, WitnessRefused, parse_add_checkpoint

_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")
_ARCHIVE_NAME = re.compile(r"checkpoints/(?:x[0-9]{3}/){0,6}[0-9]{3}")


class WitnessStateDamaged(TenutoError):
    """What the witness remembered cannot be read back. It stops: cosigning without memory would be worthless."""


class Witness:
    """One witness with its key, the logs it knows, and its memory. Safe to use from many threads and processes."""

    def __init__(self, *, cosigner: Cosigner, logs: Sequence[NoteVerifier], state: Path, clock: Clock) -> None:
        """`logs` are the keys it trusts, each named after its log's origin; `state` is a folder of its own."""
        self._cosigner, self._logs, self._state, self._clock = cosigner, tuple(logs), state, clock
        self.verifier = cosigner.verifier

    def add_checkpoint(self, body: bytes) -> bytes:
        """Judge the body of an add-checkpoint request; return the cosignature line.

        Raises WitnessRefused with its status: 400 malformed, 404 unknown log, 403 not signed by it, 409 (as
        WitnessConflict, with the right size), 422 not an extension. May be repeated harmlessly.
        """
        request = parse_add_checkpoint(body)
        opened, checkpoint = self._verify_signed(request.note)
        if request.old_size > checkpoint.size:
            raise WitnessRefused(f"A log of {checkpoint.size} cannot extend one of {request.old_size}.", 400)
        with self._locked(checkpoint.origin):
            verify_extension(request, checkpoint, self._latest(checkpoint.origin))
            note, line = self._cosigned(opened, checkpoint)
            write_durably({**self._archived(checkpoint, note), self._file(checkpoint.origin): note})
        # The checkpoint is remembered durably here. A crash one line earlier has told nobody anything.
        return line

    def latest_note(self, origin_hash: str) -> bytes | None:
        """Return the last cosigned note of the log whose origin has this SHA-256 (hex), or None; for monitors."""
        file = self._state / origin_hash
        return file.read_bytes() if _ORIGIN_HASH.fullmatch(origin_hash) and file.is_file() else None

    def archive(self, origin: str) -> CheckpointArchive:
        """Return what this witness ever cosigned for the log of this name."""
        return self._archive(hashlib.sha256(origin.encode()).hexdigest())

    def kept_notes(self, origin_hash: str, name: str) -> bytes | None:
        """Return a file of the archive of the log whose origin has this SHA-256 (hex), or None; `name` as in the archive."""
        file = self._archive(origin_hash).path / name
        well_named = _ORIGIN_HASH.fullmatch(origin_hash) and _ARCHIVE_NAME.fullmatch(name)
        return file.read_bytes() if well_named and file.is_file() else None

    def _archive(self, origin_hash: str) -> CheckpointArchive:
        return CheckpointArchive(self._state / f"{origin_hash}.kept")

    def _archived(self, checkpoint: Checkpoint, note: bytes) -> Mapping[Path, bytes]:
        archive = self.archive(checkpoint.origin)
        files = archive.with_note(note) if checkpoint.size else {}  # over nothing there is nothing to draw for
        return {archive.path / name: data for name, data in files.items()}

    def _cosigned(self, opened: OpenedNote, checkpoint: Checkpoint) -> tuple[bytes, bytes]:
        """Return the note to remember and this witness's line: the one that it gave before, if it did."""
        try:
            kept = self.archive(checkpoint.origin).note_over(checkpoint.size) if checkpoint.size else None
            if kept is not None:
                before = open_note(kept, [self._cosigner.verifier])
                if before.text != opened.text:
                    raise WitnessRefused("Another checkpoint over as many entries was cosigned already.", 422)
                return kept, before.signatures[0].line
        except (ArchiveRefused, NoteRefused) as refusal:
            raise WitnessStateDamaged(f"The archive of {checkpoint.origin} is damaged: {refusal}") from refusal
        line = self._cosigner.cosign(opened.text, micros(self._clock.now()) // 1_000_000)
        log_lines = b"".join(signature.line for signature in opened.signatures)
        return opened.text + b"\n" + log_lines + line, line

    def _verify_signed(self, note: bytes) -> tuple[OpenedNote, Checkpoint]:
        try:
            checkpoint = parse_checkpoint_text(parse_note(note)[0])
        except (NoteRefused, CheckpointRefused) as refusal:
            raise WitnessRefused(f"The checkpoint is malformed: {refusal}", 400) from refusal
        keys = [log for log in self._logs if log.name == checkpoint.origin]
        if not keys:
            raise WitnessRefused(f"The log {checkpoint.origin!r:.120} is unknown to this witness.", 404)
        try:
            return open_note(note, keys), checkpoint
        except NoteRefused as refusal:
            raise WitnessRefused(f"The checkpoint is not signed by its log: {refusal}", 403) from refusal

    def _latest(self, origin: str) -> Checkpoint:
        file = self._file(origin)
        try:
            note = file.read_bytes()
        except FileNotFoundError:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            latest = parse_checkpoint_text(open_note(note, [self._cosigner.verifier]).text)
        except (NoteRefused, CheckpointRefused) as refusal:
            sentence = f"{file} is damaged: {refusal} Restore it from a copy, never delete it."
            raise WitnessStateDamaged(sentence) from refusal
        if latest.origin != origin:
            raise WitnessStateDamaged(f"{file} holds a checkpoint of {latest.origin}, not of {origin}.")
        return latest

    @contextmanager
    def _locked(self, origin: str) -> Iterator[None]:
        self._state.mkdir(parents=True, exist_ok=True)
        with self._file(origin).with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _file(self, origin: str) -> Path:
        return self._state / hashlib.sha256(origin.encode()).hexdigest()


def verify_extension(request: AddCheckpoint, checkpoint: Checkpoint, latest: Checkpoint) -> None:
    """Raise WitnessRefused (409 or 422) unless `checkpoint` provably extends `latest`, the last one cosigned."""
    if request.old_size != latest.size:
        raise WitnessConflict(latest.size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise WitnessRefused("The empty log has a root of its own, and this is not it.", 422)
    try:
        verify_consistency(latest.size, latest.root, checkpoint.size, checkpoint.root, request.proof)
    except ProofRefused as refusal:
        raise WitnessRefused(str(refusal), 422) from refusal

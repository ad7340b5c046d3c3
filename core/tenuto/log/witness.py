"""A witness (C2SP tlog-witness): cosigns a checkpoint only if it extends the last one that it cosigned for that log.

It sees no event, only roots. What it must never forget is the last checkpoint: it is checked and replaced under one
lock and is on the disk before the cosignature leaves. Asked twice at the same time, it can therefore never step back.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..clock import Clock, micros
from ..errors import TenutoError
from .checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint_text
from .durable import write_durably
from .merkle import EMPTY_ROOT
from .note import Cosigner, NoteRefused, NoteVerifier, OpenedNote, open_note, parse_note
from .proof import ProofRefused, verify_consistency
from .witnessing import AddCheckpoint, WitnessConflict, WitnessRefused, parse_add_checkpoint

_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")


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
            line = self._cosigner.cosign(opened.text, micros(self._clock.now()) // 1_000_000)
            log_lines = b"".join(signature.line for signature in opened.signatures)
            write_durably({self._file(checkpoint.origin): opened.text + b"\n" + log_lines + line})
        # The checkpoint is remembered durably here. A crash one line earlier has told nobody anything.
        return line

    def latest_note(self, origin_hash: str) -> bytes | None:
        """Return the last cosigned note of the log whose origin has this SHA-256 (hex), or None; for monitors."""
        file = self._state / origin_hash
        return file.read_bytes() if _ORIGIN_HASH.fullmatch(origin_hash) and file.is_file() else None

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

"""How a log collects cosignatures: it asks every witness at once and never waits for the slowest.

A witness that is away, slow or refuses does not stop the log; the reader's policy decides whether its cosignature was
needed. But each such answer is an alarm: a witness that refuses has perhaps seen another history.

An answer can get lost on its way back. Then the witness has cosigned something that the log cannot show, and the next
question would bury it; so the lost one is asked for once more, and only then the next. That leaves no innocent reason for
a cosignature that the witness remembers and the log does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from ..clock import Clock
from ..errors import Busy, NotConfigured, Refused
from .checkpoint import Checkpoint
from .note import SIGNATURES_MAX, NoteRefused, NoteVerifier, parse_note, parse_signature_lines
from .proof import HashSource, consistency_proof
from .witnessing import AddCheckpoint, WitnessConflict, WitnessRefused

ANSWER_SECONDS_MAX = 5.0
REST_SECONDS_MAX = 60
WITNESSES_MAX = SIGNATURES_MAX - 1


class CheckpointWitness(Protocol):
    """A witness as the log sees it: near or far, over HTTP or in this process."""

    @property
    def verifier(self) -> NoteVerifier:
        """Name and key of the witness."""
        ...

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """Return signature lines, not yet verified. Raises WitnessRefused or WitnessConflict, Busy when it is away."""
        ...


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A note with its cosignatures so far. `alarms` has a sentence for each witness that did not cosign when asked.

    earlier: notes over fewer entries whose cosignature had been lost and came in now; to be kept before `note` is.
    """

    note: bytes
    names: tuple[str, ...]
    alarms: tuple[str, ...]
    earlier: tuple[bytes, ...] = ()


Recall = Callable[[int, NoteVerifier], bytes | None]
"""Gives the signed note over a size whose cosignature by this key is not kept; None when it is, or when nothing is kept."""


@dataclass(frozen=True, slots=True)
class _Answer:
    line: bytes
    earlier: bytes | None


@dataclass
class _Asked:
    """What the log knows of one witness: its last size, and when to ask again after it failed."""

    witness: CheckpointWitness
    size: int = 0
    failures: int = 0
    rest_until: datetime | None = None
    answer: Future[_Answer] | None = field(default=None)

    @property
    def name(self) -> str:
        return self.witness.verifier.name

    def is_due(self, now: datetime) -> bool:
        """Whether to ask: it is not still answering an older question, and has rested after a failure."""
        idle = self.answer is None or self.answer.done()
        return idle and (self.rest_until is None or now >= self.rest_until)

    def failed(self, now: datetime) -> None:
        """Wait twice as long after each failure in a row, up to REST_SECONDS_MAX."""
        self.rest_until = now + timedelta(seconds=min(2**self.failures, REST_SECONDS_MAX))
        self.failures = min(self.failures + 1, 10)


class Cosigning:
    """Asks the witnesses of one log."""

    def __init__(
        self,
        witnesses: Sequence[CheckpointWitness],
        source: HashSource,
        clock: Clock,
        answer_seconds: float = ANSWER_SECONDS_MAX,
        recall: Recall = lambda _size, _verifier: None,
    ) -> None:
        """`source` gives the hashes for consistency proofs; `answer_seconds` bounds how long `collect` takes.

        Raises NotConfigured above WITNESSES_MAX (63): with the log's own line a note has room for no more.
        """
        if len(witnesses) > WITNESSES_MAX:
            sentence = f"The policy names {len(witnesses)} witnesses; a checkpoint has room for {WITNESSES_MAX}."
            raise NotConfigured(sentence + " Leave some out.")
        self._recall = recall
        self._asked = [_Asked(witness) for witness in witnesses]
        self._source, self._clock, self._answer_seconds = source, clock, answer_seconds
        self._pool = ThreadPoolExecutor(max(1, len(witnesses)), thread_name_prefix="witness")

    def close(self) -> None:
        """Ask no more; answers still under way are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def verifiers(self) -> list[NoteVerifier]:
        """The keys of all witnesses."""
        return [asked.witness.verifier for asked in self._asked]

    def collect(self, note: bytes, checkpoint: Checkpoint) -> Cosigned:
        """Ask each witness that has not cosigned `note` yet and is due; return the note with what came back in time."""
        now = self._clock.now()
        present = parse_note(note)[1]
        due = [
            asked
            for asked in self._asked
            if asked.is_due(now) and not any(asked.witness.verifier.made(signature) for signature in present)
        ]
        answers = {id(asked): self._pool.submit(self._ask, asked, note, checkpoint) for asked in due}
        for asked in due:
            asked.answer = answers[id(asked)]
        wait(answers.values(), timeout=self._answer_seconds)
        alarms, earlier = list[str](), list[bytes]()
        for asked in due:
            try:
                answer = self._answer_of(asked, checkpoint)
                note += answer.line
                earlier += [] if answer.earlier is None else [answer.earlier]
            except (Refused, Busy) as trouble:
                asked.failed(now)
                alarms.append(f"No cosignature by {asked.name} over {checkpoint.size} entries: {trouble}")
        signatures = parse_note(note)[1]
        names = tuple(
            verifier.name for verifier in self.verifiers if any(verifier.made(signature) for signature in signatures)
        )
        return Cosigned(note, names, tuple(alarms), tuple(earlier))

    def _answer_of(self, asked: _Asked, checkpoint: Checkpoint) -> _Answer:
        assert asked.answer is not None
        if not asked.answer.done():
            raise Busy(f"it did not answer within {self._answer_seconds:g} seconds.")
        answer = asked.answer.result()
        asked.size, asked.failures, asked.rest_until = checkpoint.size, 0, None
        return answer

    def _ask(self, asked: _Asked, note: bytes, checkpoint: Checkpoint) -> _Answer:
        earlier = None
        try:
            lines = self._ask_from(asked.size, asked, note, checkpoint)
        except WitnessConflict as conflict:
            if conflict.size > checkpoint.size:
                sentence = (
                    f"it has cosigned {conflict.size} entries already, more than were signed here."
                    " This sealer was rolled back, or another one signs in its name. Stop and find out which."
                )
                raise WitnessRefused(sentence, 409) from conflict
            if conflict.size < checkpoint.size:
                earlier = self._recovered(asked, conflict.size)
            lines = self._ask_from(conflict.size, asked, note, checkpoint)
        return _Answer(_verified_line(lines, asked.witness.verifier, checkpoint.text()), earlier)

    def _recovered(self, asked: _Asked, size: int) -> bytes | None:
        """Return the note over `size` with the cosignature that was lost on its way; None when none was."""
        verifier = asked.witness.verifier
        note = self._recall(size, verifier) if size else None
        if note is None:
            return None
        lines = asked.witness.add_checkpoint(AddCheckpoint(size, (), note))
        return note + _verified_line(lines, verifier, parse_note(note)[0])

    def _ask_from(self, size: int, asked: _Asked, note: bytes, checkpoint: Checkpoint) -> bytes:
        old_size = min(size, checkpoint.size)
        proof = consistency_proof(old_size, checkpoint.size, self._source)
        return asked.witness.add_checkpoint(AddCheckpoint(old_size, proof, note))


def _verified_line(lines: bytes, verifier: NoteVerifier, text: bytes) -> bytes:
    """Return the first line by this witness; whatever else it sent is ignored, as the specification demands."""
    for signature in parse_signature_lines(lines):
        if verifier.made(signature):
            verifier.verify(text, signature)
            return signature.line
    raise NoteRefused(f"The answer holds no signature by {verifier.name}.")

"""The nine steps that decide whether a log is what it claims to be. No I/O: entries in, verified events or a refusal out.

 1. the envelope decodes within its limits
 2. the key was this author's, valid at that position, and entitled to this kind
 3. the signature holds over the stored bytes
 4. sequence number and previous hash continue the session
 5. the payload matches its commitment, or a purge covers it
 6. the leaf is in the tree
 7. the checkpoint is signed by the log
 8. witnesses cosigned it according to the policy
 9. it extends the last checkpoint seen

Ingest walks 1 to 5 before it writes; every reader walks them again after reading. The same functions, so that nothing can
enter that would not come out. The numbers are the same in the CLI's output and in the console's ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from . import header as headers
from .envelope import split_state
from .errors import Refused
from .events import IN_SHEAF, Event, RecordGap, RecordPurged, SessionOpened
from .keyring import Key, Keyring
from .ledger import Recorded, SessionHead
from .log.merkle import Frontier, leaf_hash
from .payload import Ciphertext, open_payload, unwrap_key
from .signing import verify_header

STEPS: dict[int, str] = {
    1: "the envelope decodes within its limits",
    2: "the key was this author's and valid at that position",
    3: "the signature holds over the stored bytes",
    4: "sequence and previous hash continue the session",
    5: "the payload matches its commitment, or a purge covers it",
    6: "the leaf is in the tree",
    7: "the checkpoint is signed by the log",
    8: "witnesses cosigned it according to the policy",
    9: "it extends the last checkpoint seen",
}
VERIFY_CHUNK = 128
_BEFORE_FIRST = SessionHead()


class VerificationFailed(Refused):
    """The log is not what it claims to be; names the first position and the step that fails."""

    def __init__(self, step: int, sentence: str, position: int | None = None) -> None:
        """`step` is a number of STEPS; `position` is None where the fault is not at one event."""
        place = "the log as a whole" if position is None else f"position {position}"
        super().__init__(f"Step {step} ({STEPS[step]}) fails at {place}: {sentence}")
        self.step, self.position, self.sentence = step, position, sentence


@dataclass(frozen=True, slots=True)
class Verified:
    """An event that passed steps 1 to 4 (and 5 where its payload was at hand), with the bytes that prove it."""

    position: int
    recorded_at: datetime
    event: Event
    header: bytes
    signature: bytes
    header_hash: str
    leaf: bytes
    key: Key
    payload: bytes | None = None
    purged: bool = False


@dataclass
class Sessions:
    """Step 4: the heads of all sessions seen, and the gaps that the ledger itself declared."""

    heads: dict[UUID, SessionHead] = field(default_factory=dict)
    gaps: dict[UUID, int] = field(default_factory=dict)

    def verify_author(self, event: Event) -> None:
        """Raise Refused (reason broken_chain) when the session belongs to another author, whose chain this would break."""
        _demand_author(event, self.heads.get(event.session, _BEFORE_FIRST))

    def verify_next(self, event: Event, trusted_gaps: dict[UUID, int] | None = None) -> None:
        """Raise Refused (reason broken_chain) unless `event` is the next of its session, by the author who opened it."""
        head = self.heads.get(event.session, _BEFORE_FIRST)
        _demand_author(event, head)
        if event.seq == head.seq + 1:
            if event.prev != head.header_hash:
                raise Refused(f"Event {event.seq} of session {event.session} names another predecessor.", reason="broken_chain")
            if event.seq == 0 and not isinstance(event, SessionOpened):
                raise Refused("A session begins with session.opened.", reason="broken_chain")
            return
        if (trusted_gaps or self.gaps).get(event.session) == event.seq - 1 and event.seq > head.seq:
            return
        sentence = f"Event {event.seq} of session {event.session} does not follow event {head.seq}."
        raise Refused(sentence, reason="broken_chain")

    def advance(self, event: Event, header_hash: str) -> None:
        """Take the event that `verify_next` let pass."""
        self.heads[event.session] = SessionHead(event.seq, header_hash, event.author)
        if isinstance(event, RecordGap):
            self.gaps[event.gap_session] = event.last_seq


def _demand_author(event: Event, head: SessionHead) -> None:
    if head.author not in ("", event.author):
        sentence = f"Session {event.session} is {head.author}'s; {event.author} may not write in it."
        raise Refused(sentence, reason="broken_chain")


class _Judged(NamedTuple):
    """An entry that passed steps 1, 2 and 4."""

    entry: Recorded
    header: bytes
    signature: bytes
    header_hash: str
    event: Event
    key: Key


class LogWalk:
    """Steps 1 to 6 over a log from its first event on: the state that a reader carries from batch to batch."""

    def __init__(self, *, origin: str, root_public_key: bytes, storage_key: bytes | None = None) -> None:
        """Without `storage_key` step 5 is left out: the payloads cannot be read, only their presence is known."""
        self.origin = origin
        self.keyring = Keyring(root_public_key)
        self.sessions = Sessions()
        self.frontier = Frontier()
        self.purged: dict[int, UUID] = {}
        self.missing_payloads: set[int] = set()
        self._storage_key = storage_key
        self._recorded_at: datetime | None = None

    @property
    def size(self) -> int:
        """How many events were walked."""
        return self.frontier.size

    @property
    def recorded_at(self) -> datetime | None:
        """The ledger's time of the last event walked; None before the first."""
        return self._recorded_at

    def take(self, entries: Sequence[Recorded], pool: Executor | None = None) -> list[Verified]:
        """Verify the next events, in order, and return them; raises VerificationFailed naming the first that fails.

        After a failure the walk must not be used again.
        """
        judged, failure = self._judge_all(entries)
        forged = self._first_forged(judged, pool)
        if forged is not None:
            failure, judged = forged
        leaves = [leaf_hash(entry.entry) for entry in entries[: len(judged)]]
        verified = [self._verified(one, leaf) for one, leaf in zip(judged, leaves, strict=True)]
        if failure is not None:
            raise failure
        self.frontier = self.frontier.extend(leaves)
        return verified

    def verify_no_payload_missing(self) -> None:
        """Step 5 at the end of a walk: a payload may be missing only where a purge in the log covers it."""
        for position in sorted(self.missing_payloads):
            if position not in self.purged:
                raise VerificationFailed(5, "the payload is gone and no purge is on record", position)

    def _judge_all(self, entries: Sequence[Recorded]) -> tuple[list[_Judged], VerificationFailed | None]:
        """Steps 1, 2 and 4 up to the first failure; step 3 of what came before it is still owed."""
        judged: list[_Judged] = []
        for entry in entries:
            try:
                header, signature, event = self._decode(entry, self.size + len(judged))
                name = headers.header_hash(header)
                judged.append(_Judged(entry, header, signature, name, event, self._judge(entry, event, name)))
            except VerificationFailed as failure:
                return judged, failure
        return judged, None

    def _decode(self, entry: Recorded, expected: int) -> tuple[bytes, bytes, Event]:
        if entry.position != expected:
            raise VerificationFailed(6, f"position {expected} is missing; the next stored is {entry.position}", expected)
        if self._recorded_at is not None and entry.recorded_at < self._recorded_at:
            raise VerificationFailed(6, "the ledger's own time runs back here", expected)
        self._recorded_at = entry.recorded_at
        try:
            header, signature = split_state(entry.state)
            event = headers.decode(header)
        except Refused as refusal:
            raise VerificationFailed(1, str(refusal), expected) from refusal
        if event.log_origin != self.origin:
            raise VerificationFailed(1, f"the event was written for the log {event.log_origin}", expected)
        return header, signature, event

    def _judge(self, entry: Recorded, event: Event, header_hash: str) -> Key:
        step = 2
        try:
            key = self.keyring.verify_entitlement(event)
            self.keyring.apply(event, entry.position)
            step = 4
            self.sessions.verify_next(event)
        except Refused as refusal:
            raise VerificationFailed(step, str(refusal), entry.position) from refusal
        self.sessions.advance(event, header_hash)
        if isinstance(event, RecordPurged):
            self.purged.update(dict.fromkeys(event.positions, event.id))
        return key

    def _first_forged(
        self, judged: list[_Judged], pool: Executor | None
    ) -> tuple[VerificationFailed, list[_Judged]] | None:
        """Step 3: the first failure and what came before it, or None."""
        jobs = [(one.header, one.signature, one.key.public_key, type(one.event) in IN_SHEAF) for one in judged]
        for index, refusal in enumerate(signature_refusals(jobs, pool)):
            if refusal is not None:
                return VerificationFailed(3, str(refusal), self.size + index), judged[:index]
        return None

    def _verified(self, judged: _Judged, leaf: bytes) -> Verified:
        entry, header, signature, header_hash, event, key = judged
        payload = None
        if self._storage_key is not None:  # without it they are not read, so none of them is missing
            if event.has_payload and entry.payload is None:
                self.missing_payloads.add(entry.position)
            else:
                payload = self._open(entry, event)
        return Verified(
            position=entry.position, recorded_at=entry.recorded_at, event=event, header=header, signature=signature,
            header_hash=header_hash, leaf=leaf, key=key, payload=payload,
            purged=entry.position in self.purged,
        )  # fmt: skip

    def _open(self, entry: Recorded, event: Event) -> bytes | None:
        assert self._storage_key is not None
        try:
            return open_stored(entry, event, self._storage_key)
        except Refused as refusal:
            raise VerificationFailed(5, str(refusal), entry.position) from refusal


def open_stored(entry: Recorded, event: Event, storage_key: bytes) -> bytes | None:
    """Return the payload of a stored event, verified against the signed commitment; None if the event has none.

    Raises Refused (reason payload) when it was altered, or lies beside an event that commits to none.
    """
    stored = entry.payload
    if event.payload_commit is None or event.payload_len is None:
        if stored is not None:
            raise Refused("A payload lies beside an event that commits to none.", reason="payload")
        return None
    if stored is None:
        return None
    key = unwrap_key(stored.wrapped_key, storage_key, bytes.fromhex(event.payload_commit))
    return open_payload(Ciphertext(stored.nonce, stored.body), key, event.payload_commit, event.payload_len)


SignatureJob = tuple[bytes, bytes, bytes, bool]
"""What `verify_header` takes: header, signature, public key, whether the event's kind may be signed in a sheaf."""


def signature_refusals(jobs: Sequence[SignatureJob], pool: Executor | None) -> Iterable[Refused | None]:
    """Check these signatures, on all threads of `pool`; None where one holds."""
    if pool is None or len(jobs) <= VERIFY_CHUNK:
        return _refusals(jobs)
    chunks = [jobs[start : start + VERIFY_CHUNK] for start in range(0, len(jobs), VERIFY_CHUNK)]
    return [refusal for chunk in pool.map(_refusals, chunks) for refusal in chunk]


def _refusals(jobs: Sequence[SignatureJob]) -> list[Refused | None]:
    return [_refusal(*job) for job in jobs]


def _refusal(header: bytes, signature: bytes, public_key: bytes, in_sheaf: bool) -> Refused | None:
    try:
        verify_header(header, signature, public_key, in_sheaf)
    except Refused as refusal:
        return refusal
    return None

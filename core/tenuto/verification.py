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
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from . import header as headers
from .envelope import split_state
from .errors import Refused
from .events import IN_SHEAF, Event, RecordGap, RecordPurged, SessionOpened
from .keyring import Key, Keyring
from .keytree import KeyDestroyed, StorageKey
from .ledger import Recorded, SessionHead
from .log.merkle import Frontier, leaf_hashes
from .payload import Ciphertext, open_payload, unwrap_key
from .purges import FOLDED, Purges
from .signing import verify_header
from .verified import Verified

__all__ = [
    "STEPS",
    "VERIFY_CHUNK",
    "LogWalk",
    "Missing",
    "Sessions",
    "VerificationFailed",
    "Verified",
    "open_stored",
    "remaining",
    "signature_refusals",
]
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


_BY_ITSELF = "Still good: what each event says by itself"
_REMAINS = {
    1: "Nothing was read that can be vouched for.",
    2: "Nothing was read that can be vouched for.",
    3: "Nothing was read that can be vouched for.",
    4: f"{_BY_ITSELF} (steps 1 to 4). What is wrong is a row that only repeats it; it misleads whoever writes, and no reader.",
    5: f"{_BY_ITSELF} (steps 1 to 4). What is wrong lies beside the events.",
    6: f"{_BY_ITSELF} (steps 1 to 5). That together they are what the log signed, and nothing else, is not shown.",
    7: f"{_BY_ITSELF} (steps 1 to 5). The log does not vouch for which events there are, nor for their order.",
    8: f"{_BY_ITSELF} (steps 1 to 5), and the log signed them; that others are not shown another history is not proven.",
    9: "Still good: whatever the checkpoint seen before covers, for whoever holds it. This history is another one.",
}


def remaining(failure: VerificationFailed) -> str:
    """Return what can still be trusted after this failure, in a sentence for the person who has to go on from there."""
    if failure.position is None:
        return _REMAINS[failure.step]
    return (
        f"Still good: the {failure.position:,} events before it, as far as their authors, signatures, chains and payloads go"
        " (steps 1 to 5). A bundle or a cosigned checkpoint taken earlier proves what it covers, whatever this log says now."
    )


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


@dataclass(frozen=True, slots=True)
class Missing:
    """An event whose payload a walk did not find. destroyed: a row is there, and its key is not."""

    event: Event
    header_hash: str
    destroyed: bool


class LogWalk:
    """Steps 1 to 6 over a log from its first event on: the state that a reader carries from batch to batch."""

    def __init__(self, *, origin: str, root_public_key: bytes, storage_key: StorageKey | None = None) -> None:
        """Without `storage_key` step 5 is left out: the payloads cannot be read, only their presence is known."""
        self.origin = origin
        self.keyring = Keyring(root_public_key)
        self.sessions = Sessions()
        self.frontier = Frontier()
        self.purges = Purges()
        self.missing_payloads: dict[int, Missing] = {}
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
        leaves = leaf_hashes(entry.entry for entry in entries[: len(judged)])
        verified = [self._verified(one, leaf) for one, leaf in zip(judged, leaves, strict=True)]
        if failure is not None:
            raise failure
        self.frontier = self.frontier.extend(leaves)
        return verified

    def verify_no_payload_missing(self) -> None:
        """Step 5 at the end of a walk: a payload may be missing only where a purge that counts covers this very event."""
        for position, missing in self.missing_payloads.items():
            purge, what = self.purges.covering(position), "key was destroyed" if missing.destroyed else "payload is gone"
            if purge is None:
                raise VerificationFailed(5, f"its {what} and no purge is on record{self._unfinished()}", position)
            if purge.hashes[position] != missing.header_hash:
                raise VerificationFailed(5, f"its {what}, and the purge at {purge.position} is of another event", position)
            if holds := purge.started.holds_over(position, missing.event.run):
                sentence = f"it was purged at {purge.position} in spite of the legal hold {', '.join(holds)}"
                raise VerificationFailed(5, sentence, position)

    def verify_purges_done(self, kept: Sequence[int]) -> None:
        """Step 5 of every purge: what it covers has no row any more and no key; `kept` are the positions that have a row."""
        for position, missing in self.missing_payloads.items():
            commit = missing.event.payload_commit
            if self.purges.covering(position) is not None and self._storage_key is not None and commit is not None:
                with suppress(KeyDestroyed):
                    self._storage_key.key_for(bytes.fromhex(commit))
                    raise self._not_done(position, "key is still here")
        for position in kept:
            if self.purges.covering(position) is not None:
                raise self._not_done(position, "payload is still stored")

    def _not_done(self, position: int, what: str) -> VerificationFailed:
        purge = self.purges.covering(position)
        assert purge is not None
        sentence = f"it was {purge.sentence}, and its {what}; `tenuto purge apply {purge.approval}` destroys it again"
        return VerificationFailed(5, sentence, position)

    def _unfinished(self) -> str:
        open_ones = [f"{started.approval} (position {started.position})" for started in self.purges.unfinished()]
        if not open_ones:
            return ""
        return f"; a purge was started and is not recorded: {', '.join(open_ones)}; `tenuto purge apply` finishes it"

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
        payload = None if self._storage_key is None else self._open(entry, event, header_hash, self._storage_key)
        verified = Verified(
            position=entry.position, recorded_at=entry.recorded_at, event=event, header=header, signature=signature,
            header_hash=header_hash, leaf=leaf, key=key, payload=payload,
        )  # fmt: skip
        if type(event) in FOLDED:
            self._fold(verified)
        return verified

    def _fold(self, verified: Verified) -> None:
        """What approvals and holds say about purges, and step 5 of a purge itself: it counts, or the log does not hold."""
        try:
            self.purges.apply(verified)
        except Refused as refusal:
            raise VerificationFailed(5, str(refusal), verified.position) from refusal
        if isinstance(verified.event, RecordPurged) and self._storage_key is not None:
            self._storage_key.refresh()

    def _open(self, entry: Recorded, event: Event, header_hash: str, storage_key: StorageKey) -> bytes | None:
        destroyed = False
        try:
            payload = open_stored(entry, event, storage_key)
        except KeyDestroyed:
            payload, destroyed = None, True
        except Refused as refusal:
            raise VerificationFailed(5, str(refusal), entry.position) from refusal
        if payload is None and event.has_payload:
            self.missing_payloads[entry.position] = Missing(event, header_hash, destroyed)
        return payload


def open_stored(entry: Recorded, event: Event, storage_key: StorageKey) -> bytes | None:
    """Return the payload of a stored event, verified against the signed commitment; None if there is none.

    Raises KeyDestroyed when a purge took its key, Refused (reason payload) when it was altered, or lies beside an event
    that commits to none.
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

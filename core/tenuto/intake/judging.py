"""Steps 2 to 4 over one batch, in memory: who may say this, is it what was signed, and where does it belong.

The ledger is looked at before (`Standing`) and written to afterwards (`Judgement.batch`); in between nothing is read or
written, so a batch can be judged again when another writer was faster.

Records are taken in stretches. A key event is a stretch of its own, so what follows it in the same batch is judged with
the ring after it. Within a stretch signatures and payloads are examined on all threads, as far as `intake/examining.py`
has not done so ahead, and then each record finds its place:

    before the head     redelivered (same header), or `record.equivocation` (another header of the same author)
    next                it enters, and so do those that waited for it
    after a hole        it waits, until the hole is filled or `gap_seconds` have passed: `record.gap`, and it enters
    anything else       `record.refused`

A purge enters only if it counts (`tenuto.purges`). That is decided from what is in the ledger, so one that comes in a batch
with an approval, a hold or a start waits for the next batch.

Of one offending header there is one equivocation on record, however often it is delivered: it is known by session,
number and hash. A record that waits counts as said: another header for its place is an equivocation at once.
What ingest has to say about a batch stands at its end, so that a key registered in the batch can sign it; only a gap
stands where it is needed, before the event that follows it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from .. import envelope as envelopes
from .. import header as headers
from ..errors import Refused, TenutoError
from ..events import (
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    RecordEquivocation,
    RecordGap,
    RecordPurged,
    RecordRefused,
)
from ..keyring import Keyring
from ..ledger import BATCH_EVENTS_MAX, Batch, NewEntry, Parked, SessionHead
from ..purges import FOLDED, PurgeRefused, Purges, targets_of
from ..verification import Sessions
from .arrival import Arrival, returned
from .examining import Examiner
from .testimony import Testimony

log = logging.getLogger(__name__)

PARKED_PER_SESSION_MAX = 256
OWN_EVENTS_ROOM = 4
"""Places in a batch kept free for `session.opened`, a gap and its follower."""
_KEY_EVENTS = (KeyRegistered, KeyRotated, KeyRevoked)

_BEFORE_FIRST = SessionHead()

Double = tuple[UUID, int, str]
"""What identifies an equivocation: session, sequence number, hash of the other header."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that a purge names, as the ledger has it."""

    header_hash: str
    run: str | None
    has_payload: bool


@dataclass(frozen=True, slots=True)
class PurgeStanding:
    """What the ledger says about purges, up to its present end, and the events at the positions that are named."""

    purges: Purges
    stored: Mapping[int, Stored]

    def verify(self, event: RecordPurged) -> None:
        """Raise PurgeRefused unless the purge counts and names events that are there and have a payload."""
        for target in targets_of(event):
            found = self.stored.get(target.position)
            if found is None or found.header_hash != target.header_hash or not found.has_payload:
                raise PurgeRefused(1, f"no event with a payload and that header stands at position {target.position}.")
        self.purges.verify(event, max(self.stored) + 1, [self.stored[position].run for position in event.positions])


class TooManyRefusals(TenutoError):
    """More refused records in a row than allowed: a bad release must not turn the topic into refusals."""


class Equivocated(Refused):
    """A second event for a place in its author's chain; `evidence` is what is put on record about it."""

    def __init__(self, sentence: str, evidence: dict[str, Any]) -> None:
        """`evidence`: the fields of `record.equivocation`."""
        super().__init__(sentence)
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class Limits:
    """batch_events: most records taken at once. gap_seconds: how long a record waits for its predecessors.

    refusals_in_a_row: one more than this stops ingest.
    """

    batch_events: int = BATCH_EVENTS_MAX
    gap_seconds: float = 30.0
    refusals_in_a_row: int = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger said when the batch was looked at.

    heads: of the consulted sessions, those that exist. states: what is stored at places that are taken. parked: the
    waiting records of this partition by session and number. watching_since: a hole's time counts from here at the
    earliest, since nothing can arrive while nobody reads. refused_in_a_row: refusals that this batch continues.
    purges: there when a purge is among the records.
    """

    now: datetime
    watching_since: datetime
    keyring: Keyring
    keys_folded_to: int
    consulted: frozenset[UUID]
    heads: dict[UUID, SessionHead]
    states: dict[tuple[UUID, int], bytes]
    parked: dict[tuple[UUID, int], Parked]
    doubles: AbstractSet[Double] = frozenset()
    purges: PurgeStanding | None = None
    refused_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Judge:
    """What judging needs besides the records and the standing."""

    examiner: Examiner
    testimony: Testimony
    limits: Limits = field(default_factory=Limits)

    @property
    def origin(self) -> str:
        """The log that all this is about."""
        return self.examiner.origin

    def judge(self, arrivals: Sequence[Arrival], standing: Standing) -> Judgement:
        """Return what the batch comes to; raises CannotTestify or TooManyRefusals, and then nothing may be written."""
        judgement = Judgement(self, standing)
        judgement.run(arrivals)
        return judgement


class Judgement:
    """One batch on its way through the steps; afterwards what is to be written, and what the ledger then stands at."""

    def __init__(self, judge: Judge, standing: Standing) -> None:
        """Judge on copies: the standing stays as it is."""
        self._judge, self._standing = judge, standing
        self._sessions = Sessions(heads=dict(standing.heads))
        self._states = dict(standing.states)
        self._queue: deque[Arrival] = deque()
        self._notes: list[tuple[type[Event], dict[str, Any]]] = []
        self._waiting: dict[UUID, dict[int, Parked]] = {}
        for (session, seq), kept in standing.parked.items():
            self._waiting.setdefault(session, {})[seq] = kept
        self.keyring = standing.keyring
        self.entries: list[NewEntry] = []
        self.doubles: set[Double] = set()
        self.refused_in_a_row = standing.refused_in_a_row
        self._deciding = False

    @property
    def parked(self) -> dict[tuple[UUID, int], Parked]:
        """The records that wait once this batch is in the ledger."""
        return {(session, seq): kept for session, group in self._waiting.items() for seq, kept in group.items()}

    def batch(self, tracking: tuple[str, int] | None) -> Batch:
        """Return what is to be written, as one transaction."""
        before, after = self._standing.parked, self.parked
        return Batch(
            entries=self.entries,
            heads_before={each: self._standing.heads.get(each, SessionHead()) for each in self._standing.consulted},
            recorded_at=self._standing.now,
            keys_folded_to=self._standing.keys_folded_to,
            tracking=tracking,
            park=[kept for place, kept in after.items() if place not in before],
            unpark=[place for place in before if place not in after],
        )

    def run(self, arrivals: Sequence[Arrival]) -> None:
        """Judge everything: what is ready from earlier, the arrivals, what waited too long; then testify."""
        self._queue.extend(arrivals)
        for session in list(self._waiting):
            self._release(session)
        self._settle()
        while (session_due := self._overdue()) is not None:
            self._declare_gap(session_due)
            self._settle()
        if self._notes:
            self._judge.testimony.demand_able(self.keyring)
        for kind, fields in self._notes:
            self._say(kind, fields)

    def _settle(self) -> None:
        while self._queue:
            stretch = self._next_stretch()
            self._verify(stretch)
            for arrival in stretch:
                self._sequence(arrival)

    def _next_stretch(self) -> list[Arrival]:
        """A key event is a stretch of its own, so that what is released before it is still judged before it."""
        stretch = [self._queue.popleft()]
        if not isinstance(stretch[0].event, _KEY_EVENTS):
            while self._queue and not isinstance(self._queue[0].event, _KEY_EVENTS):
                stretch.append(self._queue.popleft())
        return stretch

    def _verify(self, stretch: Sequence[Arrival]) -> None:
        """(2, 3) The author may say this with a valid key, the signature holds, the payload is the one that was signed for.

        Before the sequence, so that only whole records take places. What is stored byte for byte already was verified when it entered, under the keys of then.
        """
        pending = []
        for arrival in stretch:
            if arrival.judged:
                continue
            if self._states and self._states.get(arrival.place) == arrival.signed.state:
                arrival.redelivered = True
                continue
            try:
                arrival.key = self.keyring.verify_entitlement(arrival.said)
            except Refused as refusal:
                arrival.refusal = refusal
                continue
            pending.append(arrival)
        self._judge.examiner.finish(pending)
        for arrival in pending:
            assert arrival.findings is not None
            arrival.refusal, arrival.payload = arrival.findings.refusal, arrival.findings.payload

    def _sequence(self, arrival: Arrival) -> None:
        """(4) The record continues its session, waits, was there before, or contradicts what is there."""
        if arrival.refusal is None and not arrival.redelivered:
            try:
                self._find_place(arrival)
            except Refused as refusal:
                arrival.refusal = refusal
        if arrival.refusal is None:
            self.refused_in_a_row = 0
            return
        log.warning("refused %s/%d@%d: %s", arrival.topic, arrival.partition, arrival.offset, arrival.refusal)
        self._count(arrival.refusal)
        if isinstance(arrival.refusal, Equivocated):
            self._notes.append((RecordEquivocation, arrival.refusal.evidence))
            return
        author, session = arrival.claims()
        evidence = {
            "record_sha256": arrival.sha256, "reason": arrival.refusal.reason, "topic": arrival.topic,
            "partition": arrival.partition, "offset": arrival.offset, "claimed_author": author,
            "claimed_session": session,
        }  # fmt: skip
        self._notes.append((RecordRefused, evidence))

    def _find_place(self, arrival: Arrival) -> None:
        event = arrival.said
        head = self._sessions.heads.get(event.session, _BEFORE_FIRST)
        if event.seq == head.seq + 1 or (
            event.seq > head.seq and self._sessions.gaps.get(event.session) == event.seq - 1
        ):
            self._sessions.verify_next(event)
            if isinstance(event, RecordPurged) and (self._deciding or self._standing.purges is None):
                self._park(arrival)  # what decides about it must be in the ledger before; its turn comes with the next batch
                return
            if isinstance(event, RecordPurged) and self._standing.purges is not None:
                self._standing.purges.verify(event)
            self._enter(arrival)
            return
        self._sessions.verify_author(event)
        if event.seq <= head.seq:
            self._compare(arrival, self._states.get(arrival.place))
        else:
            self._park(arrival)

    def _compare(self, arrival: Arrival, stored: bytes | None) -> None:
        if stored is None:
            session, seq = arrival.place
            sentence = f"Event {seq} of session {session} comes after its place was given up in a record.gap."
            raise Refused(sentence, reason="broken_chain")
        self._compare_headers(arrival, envelopes.split_state(stored)[0])

    def _compare_headers(self, arrival: Arrival, said: bytes) -> None:
        """Another valid signature over the same header says the same again; another header is an equivocation."""
        session, seq = arrival.place
        double = (session, seq, arrival.header_hash)
        if said == arrival.signed.header or double in self._standing.doubles or double in self.doubles:
            arrival.redelivered = True
            return
        self.doubles.add(double)
        evidence = {
            "claimed_author": arrival.said.author, "gap_session": session, "at_seq": seq,
            "recorded_header": headers.header_hash(said), "other_header": arrival.header_hash,
        }  # fmt: skip
        raise Equivocated(f"{arrival.said.author} signed two different events {seq} of session {session}.", evidence)

    def _enter(self, arrival: Arrival) -> None:
        event = arrival.said
        if isinstance(event, _KEY_EVENTS):
            # On a copy: a rotation that is refused halfway must not end the old key.
            ring = self.keyring.copy()
            ring.apply(event, self._standing.keys_folded_to + len(self.entries))
            self.keyring = ring
        self._deciding = self._deciding or type(event) in FOLDED
        state = arrival.signed.state
        self._sessions.advance(event, arrival.header_hash)
        self._states[arrival.place] = state
        self.entries.append(
            NewEntry(event.session, event.seq, event.kind, event.author, state, arrival.header_hash, arrival.payload)
        )
        if self._waiting and event.session in self._waiting:
            self._release(event.session)

    def _park(self, arrival: Arrival) -> None:
        session, seq = arrival.place
        group = self._waiting.setdefault(session, {})
        kept = group.get(seq)
        if kept is None:
            if len(group) >= PARKED_PER_SESSION_MAX:
                sentence = f"{len(group)} records of session {session} wait for their predecessors already."
                raise Refused(sentence, reason="broken_chain")
            group[seq] = Parked(
                session, seq, arrival.record, arrival.topic, arrival.partition, arrival.offset, self._standing.now
            )
            return
        other = returned(kept, self._judge.origin)
        if other.said.author != arrival.said.author:
            sentence = f"Another author's event {seq} of session {session} waits there already."
            raise Refused(sentence, reason="broken_chain")
        self._compare_headers(arrival, other.signed.header)

    def _release(self, session: UUID) -> None:
        """Take up the waiting records whose turn has come, before anything that is still in the queue."""
        group = self._waiting[session]
        next_seq = self._sessions.heads.get(session, SessionHead()).seq + 1
        ready = sorted(seq for seq in group if seq <= next_seq)[: max(self._room(), 0)]
        self._queue.extendleft(returned(group.pop(seq), self._judge.origin) for seq in reversed(ready))
        if not group:
            del self._waiting[session]

    def _overdue(self) -> UUID | None:
        """Return a session whose hole outlived its bound, if it can be put on record in this batch."""
        if self._room() <= 0 or not self._judge.testimony.able(self.keyring):
            return None
        bound = self._standing.now - timedelta(seconds=self._judge.limits.gap_seconds)
        if self._standing.watching_since > bound:
            return None
        for session, group in self._waiting.items():
            if min(self._waiting_since(kept) for kept in group.values()) <= bound:
                return session
        return None

    def _waiting_since(self, kept: Parked) -> datetime:
        """When a record began to wait; one that a clock put into the future, before it was set back, begins with us."""
        return kept.parked_at if kept.parked_at <= self._standing.now else self._standing.watching_since

    def _declare_gap(self, session: UUID) -> None:
        group = self._waiting[session]
        first, lowest = self._sessions.heads.get(session, SessionHead()).seq + 1, min(group)
        if first < lowest:
            self._say(RecordGap, {"gap_session": session, "first_seq": first, "last_seq": lowest - 1})
        self._queue.append(returned(group.pop(lowest), self._judge.origin))
        if not group:
            del self._waiting[session]

    def _room(self) -> int:
        taken = len(self.entries) + len(self._queue) + len(self._notes)
        return BATCH_EVENTS_MAX - OWN_EVENTS_ROOM - taken

    def _count(self, refusal: Refused) -> None:
        self.refused_in_a_row += 1
        limit = self._judge.limits.refusals_in_a_row
        if self.refused_in_a_row > limit:
            raise TooManyRefusals(
                f"More than {limit:,} records in a row were refused; the last one: {refusal} Ingest stops before this"
                " batch. Find out what writes to the topic; a higher TENUTO_REFUSALS_IN_A_ROW puts them on record and passes."
            )

    def _say(self, kind: type[Event], fields: dict[str, Any]) -> None:
        self.entries += self._judge.testimony.say(kind, self._sessions, self._standing.now, **fields)

"""A tiny model of what the ledger must hold, made of dicts and of what authors know they said. It uses nothing of ingest.

Honest authors' events are known from their spools, the moment they are durable. In the end every one of them stands in the
ledger once, or the ledger says on record why not, and the model knows that the reason is true. Whatever else stands in the
ledger was said by somebody who may say it; what was forged stands nowhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tenuto import header as headers
from tenuto.envelope import parse
from tenuto.errors import Refused
from tenuto.events import (
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    MessageSent,
    RecordEquivocation,
    RecordGap,
    RecordRefused,
    RecordUnaccounted,
    SessionOpened,
)
from tenuto.verified import Verified

KEY_TROUBLE = {"unknown_key", "revoked_key", "entitlement"}


@dataclass(frozen=True, slots=True)
class Said:
    """One event that an honest author has on its disk."""

    event: Event
    state: bytes
    sha256: str


@dataclass
class Oracle:
    """What was said, by whom, and what each side may expect. `batches` are the ranges that ingest's appends returned."""

    said: dict[UUID, Said] = field(default_factory=dict)
    texts: dict[UUID, str] = field(default_factory=dict)
    forged: dict[str, bytes] = field(default_factory=dict)
    doubles: dict[tuple[UUID, int], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    batches: list[range] = field(default_factory=list)
    handed: dict[str, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    finished: set[UUID] = field(default_factory=set)
    two_faced_states: set[bytes] = field(default_factory=set)

    def promise(self, record: bytes) -> None:
        """This record is on its author's disk."""
        envelope = parse(record)
        event = headers.decode(envelope.header)
        known = self.said.setdefault(event.id, Said(event, envelope.state, hashlib.sha256(record).hexdigest()))
        assert known.state == envelope.state, f"{event.author} has two events with the id {event.id}"

    def two_faced(self, event: Event, header_hash: str, record: bytes) -> None:
        """Somebody who may sign has signed this, perhaps not only this, for that place."""
        self.doubles[event.session, event.seq][header_hash] = hashlib.sha256(record).hexdigest()
        self.two_faced_states.add(parse(record).state)

    def forge(self, record: bytes) -> None:
        """Nobody who may sign has signed this."""
        self.forged[hashlib.sha256(record).hexdigest()] = record

    def hand(self, receiver: str, message: UUID, text: str | None) -> None:
        """A receiver was handed this message."""
        assert message not in self.finished, f"{receiver} is handed the message {message} again after it was done"
        if message in self.texts:
            assert text == self.texts[message], f"{receiver} reads {text!r} in the message {message}"
        if self.handed[receiver][-1:] != [message]:
            assert message not in self.handed[receiver], f"{receiver} is handed {message} out of turn"
            self.handed[receiver].append(message)


class Contradiction(AssertionError):
    """Model and ledger disagree."""


@dataclass
class Verdict:
    """Model against ledger, in the end. `strict`: nothing that was said may be missing, whatever the reason."""

    oracle: Oracle
    entries: Sequence[Verified]
    strict: bool
    testimony: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.events = [one.event for one in self.entries]
        self.at = {one.event.id: one.position for one in self.entries}
        self.refused: dict[str, list[Verified]] = defaultdict(list)
        self.gaps: dict[UUID, list[RecordGap]] = defaultdict(list)
        self.keys: dict[str, tuple[int, int]] = {}
        for one in self.entries:
            self._learn(one)

    def _learn(self, one: Verified) -> None:
        event = one.event
        if isinstance(event, RecordRefused):
            self.refused[event.record_sha256].append(one)
        elif isinstance(event, RecordGap):
            self.gaps[event.gap_session].append(event)
        elif isinstance(event, KeyRegistered):
            self.keys[event.subject_key_id] = (one.position, len(self.entries))
        elif isinstance(event, KeyRevoked):
            self.keys[event.subject_key_id] = (self.keys[event.subject_key_id][0], one.position)
        elif isinstance(event, KeyRotated):
            self.keys[event.old_key_id] = (self.keys[event.old_key_id][0], one.position)
            self.keys[event.subject_key_id] = (one.position, len(self.entries))

    def judge(self) -> None:
        """Raise Contradiction with everything that is wrong."""
        wrong = [*self._once(), *self._said(), *self._chains(), *self._others(), *self._evidence()]
        if wrong:
            raise Contradiction("\n".join(wrong))

    def _once(self) -> Iterable[str]:
        for name, counted in (
            ("event", Counter(event.id for event in self.events)),
            ("place", Counter((event.session, event.seq) for event in self.events)),
        ):
            yield from (f"{name} {one} stands {count} times in the ledger" for one, count in counted.items() if count > 1)

    def _said(self) -> Iterable[str]:
        for said in self.oracle.said.values():
            event, place = said.event, self.at.get(said.event.id)
            what = f"{event.author}'s {event.kind} {event.seq} of session {event.session}"
            if place is not None:
                entry = self.entries[place]
                if entry.header + entry.signature != said.state:
                    yield f"{what} stands at {place} with other bytes than were signed"
                if said.sha256 in self.refused and not self._excused(said):
                    yield f"{what} stands at {place} and is refused as well"
            elif self.strict:
                yield f"{what} is lost"
            elif not self._excused(said):
                yield f"{what} is lost, and nothing on record says why"

    def _excused(self, said: Said) -> bool:
        event = said.event
        for one in self.refused.get(said.sha256, ()):
            assert isinstance(one.event, RecordRefused)
            if one.event.reason == "broken_chain" and self._given_up(event):
                return True
            if one.event.reason in KEY_TROUBLE and (self._key_invalid(event.key_id, one.position) or event.kind.startswith("key.")):
                return True
        return False

    def _given_up(self, event: Event) -> bool:
        return any(gap.first_seq <= event.seq <= gap.last_seq for gap in self.gaps[event.session])

    def _key_invalid(self, key_id: str, position: int) -> bool:
        """Whether the key did not count somewhere in the batch that ended with this position."""
        start = next((batch.start for batch in self.oracle.batches if position in batch), position)
        since, until = self.keys.get(key_id, (len(self.entries), len(self.entries)))
        return since >= start or until <= position

    def _chains(self) -> Iterable[str]:
        """Each session in its order, without a hole that is not on record, by hashes of our own."""
        last: dict[UUID, tuple[int, str, str]] = {}
        declared: dict[UUID, int] = {}
        for one in self.entries:
            event = one.event
            seq, name, author = last.get(event.session, (-1, "0" * 64, event.author))
            follows = event.seq == seq + 1 and event.prev == name
            jumps = event.seq > seq + 1 and declared.get(event.session) == event.seq - 1
            if author != event.author or not (follows or jumps):
                yield f"position {one.position}: event {event.seq} of session {event.session} does not follow {seq}"
            last[event.session] = (event.seq, hashlib.sha256(one.header).hexdigest(), event.author)
            if isinstance(event, RecordGap):
                declared[event.gap_session] = event.last_seq

    def _others(self) -> Iterable[str]:
        """Whatever is not the honest authors' is the two-faced author's own, or ingest's testimony."""
        states = {one.header + one.signature for one in self.entries}
        for record in self.oracle.forged.values():
            state = self._false_state(record)
            if state is not None and state in states:
                yield f"a forged record stands in the ledger: {state[:80]!r}"
        for one in self.entries:
            event = one.event
            if isinstance(event, RecordUnaccounted):
                yield f"position {one.position}: {event.author} takes a session for lost, and no spool was ever lost"
            if event.id in self.oracle.said or (event.author == "ingest" and isinstance(event, SessionOpened)):
                continue
            if event.author == "ingest":
                self.testimony[event.kind] += 1
            elif one.header_hash not in self.oracle.doubles.get((event.session, event.seq), {}):
                yield f"position {one.position}: nobody has said this {event.kind} of {event.author}"

    def _false_state(self, record: bytes) -> bytes | None:
        """Header and signature of a forged record; None where both are true, since only what lies beside them was changed."""
        try:
            state = parse(record).state
        except Refused:
            return None
        true = {said.state for said in self.oracle.said.values()} | self.oracle.two_faced_states
        return None if state in true else state

    def _evidence(self) -> Iterable[str]:
        """Ingest's testimony is true: it names what was on the bus, once, and what is on record as wrong was wrong."""
        two_faced = {sha256 for twins in self.oracle.doubles.values() for sha256 in twins.values()}
        honest = {said.sha256 for said in self.oracle.said.values()}
        for sha256, refusals in self.refused.items():
            if sha256 not in self.oracle.forged and sha256 not in two_faced and sha256 not in honest:
                yield f"position {refusals[0].position} refuses a record that nobody wrote"
        seen: set[tuple[Any, ...]] = set()
        for event in self.events:
            if isinstance(event, RecordEquivocation):
                twins = self.oracle.doubles.get((event.gap_session, event.at_seq), {})
                if not {event.recorded_header, event.other_header} <= twins.keys():
                    yield f"{event.claimed_author} is accused of two events {event.at_seq} that it did not sign"
                if (key := (event.gap_session, event.at_seq, event.other_header)) in seen:
                    yield f"the equivocation {key} is on record twice"
                seen.add(key)
            elif isinstance(event, RecordGap):
                for seq in range(event.first_seq, event.last_seq + 1):
                    if any(one.session == event.gap_session and one.seq == seq for one in self.events):
                        yield f"event {seq} of session {event.gap_session} is given up and stands in the ledger"

    def demand_evidence(self, carried: Collection[str]) -> None:
        """Every forged record that was carried to ingest again in the end is refused on record; so is every double."""
        forged = self.oracle.forged
        came = [sha256 for sha256 in carried if sha256 in forged and sha256 not in self.refused]
        unrefused = [sha256 for sha256 in came if not self._says_what_is_there(forged[sha256])]
        if unrefused:
            raise Contradiction(f"{len(unrefused)} forged records came and are not refused on record")
        named = {(event.gap_session, event.at_seq, event.other_header) for event in self.events if isinstance(event, RecordEquivocation)}
        for one in self.entries:
            place = (one.event.session, one.event.seq)
            twins = self.oracle.doubles.get(place, {})
            for other, sha256 in twins.items():
                told = other == one.header_hash or (*place, other) in named or sha256 in self.refused
                if sha256 in carried and not told:
                    raise Contradiction(f"{one.event.author} signed two events {place} and it is not on record")

    def _says_what_is_there(self, record: bytes) -> bool:
        """Whether header and signature are true: such a record is a redelivery, or refused for what lies beside them."""
        try:
            parse(record)
        except Refused:
            return False
        return self._false_state(record) is None

    def demand_messages(self) -> None:
        """Every recorded message was handed to its receiver, in the ledger's order."""
        for receiver in {event.to for event in self.events if isinstance(event, MessageSent) and event.to}:
            expected = [one.id for one in self.events if isinstance(one, MessageSent) and one.to == receiver]
            found = self.oracle.handed[receiver]
            if found != expected:
                raise Contradiction(f"{receiver} was handed {len(found)} messages, {len(expected)} are recorded, or in another order")

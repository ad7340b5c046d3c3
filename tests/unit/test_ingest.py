"""The one door in: what enters, what waits, and what becomes evidence; over a bus and a ledger in memory."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenuto.adapters.memory import MemoryLedger, Rows
from tenuto.bus import BusRecord
from tenuto.clock import EPOCH
from tenuto.envelope import RECORD_BYTES_MAX, Envelope
from tenuto.errors import NotConfigured
from tenuto.events import (
    HEADER_BYTES_MAX,
    KeyRevoked,
    KeyRotated,
    RecordEquivocation,
    RecordGap,
    RecordRefused,
    RunStarted,
    SessionOpened,
)
from tenuto.events.record import RefusalReason
from tenuto.ingest import Ingest
from tenuto.intake.judging import PARKED_PER_SESSION_MAX, TooManyRefusals
from tenuto.ledger import HeadsMoved, NotOwner
from tenuto.payload import Ciphertext, Sealed
from tenuto.settings import EVENTS_TOPIC
from tenuto.signing import sign_header
from tenuto.verification import VerificationFailed, Verified

from tests.check_ledger import check_ledger
from tests.doubles import MemoryBus, StoppedClock
from tests.written import STORAGE_KEY, TRUST, Author, Written, batch_of, genesis, judge, register, signed, signer_of

# Reasons that no record can get here: `replayed` belongs to receivers, `clock_skew` to detection.
NOT_INGESTS = {"replayed", "clock_skew"}


class Place:
    """A bus, a ledger and an ingest between them; `events` checks the whole ledger each time it is asked."""

    def __init__(self, *, partitions: int = 1, founded: bool = True, rows: Rows | None = None, **limits: Any) -> None:
        self.bus, self.clock, self.limits = MemoryBus(), StoppedClock(), limits
        self.bus.ensure_topics({EVENTS_TOPIC: partitions})
        self.store = MemoryLedger(rows or Rows())
        self.ingest = self.start(self.store)
        self.root = Author("root")
        if founded:
            self.bring(*genesis(self.root))

    def start(self, store: Any, **limits: Any) -> Ingest:
        return Ingest(
            self.bus, store, judge=judge(**(self.limits | limits)), root_public_key=TRUST.root, clock=self.clock,
            share=(EVENTS_TOPIC, None),
        )  # fmt: skip

    def restart(self, **limits: Any) -> None:
        """The process dies and another begins, on the same bus and rows."""
        self.store.close()
        self.store = MemoryLedger(self.store.rows)
        self.ingest = self.start(self.store, **limits)

    def publish(self, *records: Written | bytes, partition: int = 0) -> None:
        kept = self.bus.topic(EVENTS_TOPIC)[1][partition]
        for one in records:
            value = one if isinstance(one, bytes) else one.record
            kept.append(BusRecord(EVENTS_TOPIC, partition, len(kept), b"", value, (), 0))

    def bring(self, *records: Written | bytes) -> int:
        self.publish(*records)
        return self.ingest.step()

    def events(self) -> list[Verified]:
        return check_ledger(self.store, TRUST, storage_key=STORAGE_KEY)

    def said(self, kind: type[Any]) -> list[Any]:
        return [one.event for one in self.events() if isinstance(one.event, kind)]

    def session(self, author: Author) -> list[int]:
        return [one.event.seq for one in self.events() if one.event.session == author.session]


@pytest.fixture(scope="module", autouse=True)
def _no_waiting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenuto.ingest.IDLE_POLL_MS", 0)
        yield


@pytest.fixture
def place() -> Place:
    return Place()


def opened(place: Place, name: str = "deployment") -> Author:
    author = Author(name)
    place.bring(author.open())
    return author


# What enters.


def test_a_valid_session_enters_whole_with_its_payloads(place: Place) -> None:
    author = Author("deployment")
    assert place.bring(author.open(), author.write(payload=b"a plan"), author.write()) == 3
    assert [one.payload for one in place.events()[-3:]] == [None, b"a plan", None]
    assert place.ingest.waiting is None


def test_a_payload_key_is_wrapped_anew_and_the_sealed_one_is_not_kept(place: Place) -> None:
    author = opened(place)
    told = author.write(payload=b"a plan")
    place.bring(told)
    stored = place.store.read(place.store.head().size - 1, 1)[0].payload
    assert stored is not None
    assert told.envelope.sealed is not None
    assert stored.body == told.envelope.sealed.ciphertext.body
    assert told.envelope.sealed.sealed_key not in stored.wrapped_key


def test_the_ledgers_clock_stamps_and_the_authors_claim_is_left_to_detection(place: Place) -> None:
    author = opened(place)
    place.clock.advance(3)
    assert place.bring(author.write(at=EPOCH)) == 1
    last = place.events()[-1]
    assert (last.recorded_at, last.event.at) == (place.clock.now(), EPOCH)


def test_a_key_registered_earlier_in_the_batch_counts_for_what_follows_it() -> None:
    place = Place(founded=False)
    author = Author("deployment")
    assert place.bring(*genesis(place.root), author.open(), author.write()) == 7
    assert place.session(author) == [0, 1]


def test_a_key_revoked_earlier_in_the_batch_does_not_count_any_more(place: Place) -> None:
    author = opened(place)
    revoked = place.root.write(
        KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="compromised"
    )
    place.bring(author.write(), revoked, author.write())
    assert place.session(author) == [0, 1]
    assert [one.reason for one in place.said(RecordRefused)] == ["revoked_key"]


def test_a_rotated_key_carries_the_session_on(place: Place) -> None:
    author, new = opened(place), signer_of("deployment", 1)
    old, rotation = (
        author.signer,
        {"subject": "deployment", "subject_key_id": new.key_id, "public_key": new.public_key.hex()},
    )
    place.bring(author.write(KeyRotated, old_key_id=old.key_id, **rotation))
    author.signer = new
    place.bring(author.write())
    assert place.session(author) == [0, 1, 2]


def test_a_rotation_that_is_refused_leaves_the_old_key_valid(place: Place) -> None:
    author = opened(place)
    taken = signer_of("infrastructure")
    rotation = {"subject": "deployment", "subject_key_id": taken.key_id, "public_key": taken.public_key.hex()}
    before = author.seq, author.prev
    wrong = author.write(KeyRotated, old_key_id=author.signer.key_id, **rotation)
    author.seq, author.prev = before
    place.bring(wrong, author.write())
    assert place.session(author) == [0, 1]
    assert [one.record_sha256 for one in place.said(RecordRefused)] == [wrong.sha256]


def test_the_ring_is_folded_again_after_a_restart(place: Place) -> None:
    place.restart()
    author = Author("deployment")
    assert place.bring(*author.session_of(3)) == 3


def test_a_key_event_that_the_root_never_signed_stops_ingest_at_its_start(place: Place) -> None:
    forger = Author("root", signer=signer_of("root", 1))
    forger.signer.key_id = place.root.signer.key_id
    place.store.append(batch_of([forger.open(), register(forger, "mallory", "root")], folded=5))
    ingest = place.start(MemoryLedger(Rows(entries=place.store.rows.entries, frontier=place.store.rows.frontier)))
    with pytest.raises(VerificationFailed, match="Step 3 .* position 6"):
        ingest.step()


# What is refused, and is evidence.


def record_of(event: Written, **parts: Any) -> bytes:
    whole = {"header": event.envelope.header, "signature": event.envelope.signature, "epoch": event.envelope.epoch}
    return Envelope(**(whole | {"sealed": event.envelope.sealed} | parts)).to_bytes()


def raw(place: Place, author: Author, old: bytes, new: bytes) -> bytes:
    """A header that our encoder would not write, with a valid signature."""
    header = author.write().envelope.header.replace(old, new)
    return Envelope(header, sign_header(author.signer, header)).to_bytes()


def oversized_header(place: Place, author: Author) -> bytes:
    return b"TNT1" + (HEADER_BYTES_MAX + 1).to_bytes(2, "big") + bytes(HEADER_BYTES_MAX + 1 + 64)


def revoked(place: Place, author: Author) -> bytes:
    place.bring(place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="lost"))
    return author.write().record


def of_unknown_author(place: Place, author: Author) -> bytes:
    return Author("mallory").open().record


def with_another_signature(place: Place, author: Author) -> bytes:
    return record_of(author.write(), signature=bytes(64))


def by_another_authors_key(place: Place, author: Author) -> bytes:
    event = author.write().event
    return signed(event, signer_of("infrastructure")).record


def with_another_payload(place: Place, author: Author) -> bytes:
    told = author.write(payload=b"a plan")
    assert told.envelope.sealed is not None
    body = bytes([told.envelope.sealed.ciphertext.body[0] ^ 1]) + told.envelope.sealed.ciphertext.body[1:]
    box = Ciphertext(told.envelope.sealed.ciphertext.nonce, body)
    return record_of(told, sealed=Sealed(told.envelope.sealed.sealed_key, box))


def sealed_to_another_epoch(place: Place, author: Author) -> bytes:
    return record_of(author.write(payload=b"a plan"), epoch=2)


def with_an_uncommitted_payload(place: Place, author: Author) -> bytes:
    twin = Author("deployment").write(payload=b"a plan")
    return record_of(author.write(), sealed=twin.envelope.sealed, epoch=1)


def in_anothers_session(place: Place, author: Author) -> bytes:
    intruder = Author("infrastructure")
    intruder.session, intruder.seq, intruder.prev = author.session, author.seq, author.prev
    return intruder.write().record


REFUSALS: list[tuple[str, Callable[[Place, Author], bytes]]] = [
    ("malformed", lambda place, author: b""),
    ("malformed", lambda place, author: b"not an envelope"),
    ("malformed", lambda place, author: author.write().record[:-1]),
    ("malformed", lambda place, author: author.write().record + b"\0"),
    ("malformed", lambda place, author: raw(place, author, b'"seq"', b' "seq"')),
    ("oversized", lambda place, author: bytes(RECORD_BYTES_MAX + 1)),
    ("oversized", oversized_header),
    ("unknown_kind", lambda place, author: raw(place, author, b"tool.started", b"tool.stopped")),
    ("unknown_version", lambda place, author: raw(place, author, b'"v":1', b'"v":2')),
    ("wrong_origin", lambda place, author: author.write(log_origin="another/log").record),
    ("unknown_key", of_unknown_author),
    ("unknown_key", lambda place, author: author.write(key_id="f" * 16).record),
    ("revoked_key", revoked),
    ("signature", with_another_signature),
    ("signature", by_another_authors_key),
    ("entitlement", lambda place, author: author.write(RunStarted, workflow="change").record),
    ("entitlement", lambda place, author: register(author, "mallory", "agent").record),
    ("payload", with_another_payload),
    ("payload", sealed_to_another_epoch),
    ("payload", with_an_uncommitted_payload),
    ("payload", lambda place, author: record_of(author.write(payload=b"a plan"), sealed=None)),
    ("broken_chain", lambda place, author: author.write(prev="e" * 64).record),
    ("broken_chain", lambda place, author: Author("deployment").write().record),
    ("broken_chain", in_anothers_session),
]


def test_the_table_of_refusals_has_every_reason_that_ingest_can_give() -> None:
    assert {reason for reason, _ in REFUSALS} == set(get_args(RefusalReason)) - NOT_INGESTS


@pytest.mark.parametrize(("reason", "forge"), REFUSALS)
def test_a_refused_record_is_evidence_once_and_its_neighbours_enter(
    place: Place, reason: str, forge: Callable[[Place, Author], bytes]
) -> None:
    bystander, author = Author("infrastructure"), opened(place)
    before = author.session, author.seq, author.prev
    record = forge(place, author)
    size, offset = place.store.head().size, len(place.bus.records(EVENTS_TOPIC)) + 1
    assert place.bring(bystander.open(), record, bystander.write()) == 4  # the two, ingest's session, the refusal
    refusal = place.said(RecordRefused)[-1]
    assert (refusal.reason, refusal.topic, refusal.partition, refusal.offset) == (reason, EVENTS_TOPIC, 0, offset)
    assert refusal.record_sha256 == hashlib.sha256(record).hexdigest()
    assert place.session(bystander) == [0, 1]
    place.restart()
    assert place.ingest.step() == 0
    assert place.store.head().size == size + 4
    if reason != "revoked_key":  # the author's chain is not hurt by it
        author.session, author.seq, author.prev = before
        assert place.bring(author.write()) == 1


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (with_another_signature, True),
        (lambda place, author: raw(place, author, b"tool.started", b"tool.stopped"), True),
        (lambda place, author: author.write(log_origin="another/log").record, True),
        (lambda place, author: raw(place, author, b'"deployment"', b'"Ignore the above"'), False),
        (lambda place, author: b"not an envelope", False),
    ],
)
def test_a_refusal_says_whose_the_record_claims_to_be_where_that_can_be_made_out(
    place: Place, forge: Callable[[Place, Author], bytes], named: bool
) -> None:
    author = opened(place)
    record = forge(place, author)
    place.bring(record)
    refusal = place.said(RecordRefused)[-1]
    assert refusal.claimed_author == ("deployment" if named else None)
    assert refusal.record_sha256 == hashlib.sha256(record).hexdigest()


def test_ingest_opens_one_session_and_all_it_says_is_its_chain(place: Place) -> None:
    for _ in range(3):
        place.bring(b"rubbish", b"more rubbish")
    mine = [one.event for one in place.events() if one.event.author == "ingest"]
    assert [event.seq for event in mine] == list(range(7))
    assert isinstance(mine[0], SessionOpened)
    assert [event.offset for event in mine[1:]] == list(range(5, 11))


# What was there before.


def test_a_redelivered_record_is_acknowledged_in_silence(place: Place) -> None:
    author = Author("deployment")
    session = author.session_of(3)
    assert place.bring(*session, session[1]) == 3
    assert place.bring(*session) == 0
    assert place.store.claim(place.bus.reader(EVENTS_TOPIC, 0).partition_identity()) == 5 + 7
    assert place.said(RecordRefused) == place.said(RecordEquivocation) == []


def test_a_redelivery_after_the_key_was_revoked_is_no_offence(place: Place) -> None:
    author = opened(place)
    told = author.write()
    place.bring(
        told, place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="retired")
    )
    place.bring(told)
    assert place.said(RecordRefused) == []


def other_than(author: Author, one: Written, **changes: Any) -> Written:
    """Another event of the author for the place of `one`."""
    twin = Author(author.name, signer=author.signer)
    twin.session, twin.seq, twin.prev = one.event.session, one.event.seq - 1, one.event.prev
    return twin.write(**({"call": "another-call"} | changes))


@pytest.mark.parametrize("together", [True, False])
def test_two_events_for_one_place_are_an_equivocation_on_record_once(place: Place, together: bool) -> None:
    author = opened(place)
    told = author.write()
    other = other_than(author, told)
    for records in ([told, other, other],) if together else ([told], [other], [other]):
        place.bring(*records)
    place.restart()
    place.bring(other, author.write())
    found = place.said(RecordEquivocation)
    assert len(found) == 1
    assert (found[0].claimed_author, found[0].gap_session, found[0].at_seq) == ("deployment", author.session, 1)
    assert (found[0].recorded_header, found[0].other_header) == (told.hash, other.hash)
    assert place.session(author) == [0, 1, 2]


def test_each_further_header_for_the_place_is_its_own_equivocation(place: Place) -> None:
    author = opened(place)
    told = author.write()
    others = [other_than(author, told, call=f"call-{number}") for number in range(3)]
    place.bring(told, *others, *others)
    assert [one.other_header for one in place.said(RecordEquivocation)] == [other.hash for other in others]


def test_another_header_while_the_first_one_waits_is_an_equivocation_at_once(place: Place) -> None:
    author = opened(place)
    missing, early = author.write(), author.write()
    other = other_than(author, early)
    place.bring(early, other)
    place.bring(early, other)
    assert [one.other_header for one in place.said(RecordEquivocation)] == [other.hash]
    place.bring(missing)
    place.bring(other)
    assert place.session(author) == [0, 1, 2]
    assert len(place.said(RecordEquivocation)) == 1


def test_nobody_is_framed_with_an_equivocation_that_is_not_signed(place: Place) -> None:
    author = opened(place)
    told = author.write()
    place.bring(told, record_of(other_than(author, told), signature=bytes(64)))
    assert place.said(RecordEquivocation) == []
    assert [one.reason for one in place.said(RecordRefused)] == ["signature"]


# What waits.


def test_a_record_that_came_early_waits_and_enters_in_its_place(place: Place) -> None:
    author = opened(place)
    one, two, three = author.write(), author.write(), author.write()
    assert place.bring(three, two) == 0
    assert [kept.seq for kept in place.store.parked()] == [2, 3]
    assert place.bring(one) == 3
    assert (place.session(author), place.store.parked()) == ([0, 1, 2, 3], [])


def test_a_waiting_record_survives_a_restart(place: Place) -> None:
    author = opened(place)
    one, two = author.write(payload=b"one"), author.write(payload=b"two")
    place.bring(two)
    place.restart()
    place.bring(one)
    assert place.session(author) == [0, 1, 2]


def test_a_reordered_session_within_one_batch_never_waits_in_the_ledger(place: Place) -> None:
    author = Author("deployment")
    session = author.session_of(5)
    assert place.bring(*reversed(session)) == 5
    assert place.session(author) == [0, 1, 2, 3, 4]


def test_a_hole_that_outlives_its_bound_is_a_gap_and_what_follows_enters(place: Place) -> None:
    author = opened(place)
    lost, kept, next_one = author.write(), author.write(), author.write()
    place.bring(kept, next_one)
    place.clock.advance(29.9)
    assert place.ingest.step() == 0
    place.clock.advance(0.1)
    assert place.ingest.step() == 4  # ingest's session, the gap, the two
    gap = place.said(RecordGap)[0]
    assert (gap.gap_session, gap.first_seq, gap.last_seq) == (author.session, 1, 1)
    assert place.session(author) == [0, 2, 3]
    place.bring(lost, author.write())
    assert place.session(author) == [0, 2, 3, 4]
    assert [(one.reason, one.record_sha256) for one in place.said(RecordRefused)] == [("broken_chain", lost.sha256)]


def test_a_session_whose_opening_was_lost_goes_on_after_a_gap(place: Place) -> None:
    author = Author("deployment")
    author.open()
    place.bring(author.write())
    place.clock.advance(30)
    place.ingest.step()
    assert [(gap.first_seq, gap.last_seq) for gap in place.said(RecordGap)] == [(0, 0)]
    assert place.session(author) == [1]
    assert place.bring(author.write()) == 1


def test_several_holes_of_one_session_are_several_gaps(place: Place) -> None:
    author = opened(place)
    kept = [author.write() for _ in range(7)][1::2]
    place.bring(*kept)
    place.clock.advance(30)
    place.ingest.step()
    assert [(gap.first_seq, gap.last_seq) for gap in place.said(RecordGap)] == [(1, 1), (3, 3), (5, 5)]
    assert place.session(author) == [0, 2, 4, 6]


def test_the_time_of_a_hole_does_not_run_while_nobody_reads(place: Place) -> None:
    author = opened(place)
    late, early = author.write(), author.write()
    place.bring(early)
    place.clock.advance(3600)
    place.restart()
    assert place.bring() == 0
    place.clock.advance(29)
    assert place.bring(late) == 2
    assert place.said(RecordGap) == []


def test_a_record_whose_key_was_revoked_while_it_waited_is_refused(place: Place) -> None:
    author = opened(place)
    one, two = author.write(), author.write()
    place.bring(two)
    place.bring(
        one, place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="lost")
    )
    assert place.session(author) == [0, 1, 2], "it was released by its predecessor, before the revocation"
    author = Author("infrastructure")
    place.bring(author.open())
    one, two = author.write(), author.write()
    place.bring(two)
    place.bring(
        place.root.write(KeyRevoked, subject="infrastructure", subject_key_id=author.signer.key_id, reason="lost")
    )
    place.clock.advance(30)
    place.ingest.step()
    assert place.session(author) == [0]
    assert [(one.reason, one.record_sha256) for one in place.said(RecordRefused)] == [("revoked_key", two.sha256)]
    assert place.store.parked() == []


@pytest.mark.parametrize(("over", "refused"), [(0, 0), (1, 1)])
def test_so_many_records_of_one_session_wait_and_no_more(place: Place, over: int, refused: int) -> None:
    author = opened(place)
    author.write()
    place.bring(*(author.write() for _ in range(PARKED_PER_SESSION_MAX + over)))
    assert len(place.store.parked()) == PARKED_PER_SESSION_MAX
    assert len(place.said(RecordRefused)) == refused


# When ingest must wait or stop.


def test_a_refusal_waits_until_the_ledger_knows_ingests_key() -> None:
    place = Place(founded=False, partitions=2)
    place.publish(b"rubbish", partition=0)
    assert place.ingest.step() == 0
    assert place.ingest.waiting is not None
    assert "the root has registered this key" in place.ingest.waiting
    place.publish(*genesis(place.root), partition=1)
    assert place.ingest.step() == 5
    assert place.ingest.step() == 2
    assert place.ingest.waiting is None
    assert [one.offset for one in place.said(RecordRefused)] == [0]


def test_rubbish_before_the_roots_first_events_on_the_same_partition_holds_nothing_up() -> None:
    place = Place(founded=False)
    assert place.bring(b"rubbish", *genesis(place.root)) == 7
    assert [one.offset for one in place.said(RecordRefused)] == [0]


@pytest.mark.parametrize("offence", ["rubbish", "equivocation"])
def test_one_refusal_more_in_a_row_than_allowed_stops_ingest_and_nothing_is_passed(offence: str) -> None:
    place = Place(refusals_in_a_row=3)
    author = opened(place)
    told = author.write()
    place.bring(told)

    def bad(number: int) -> Written | bytes:
        return b"rubbish" if offence == "rubbish" else other_than(author, told, call=f"call-{number}")

    place.bring(bad(1), bad(2), bad(3))  # at the limit
    place.bring(author.write())  # and from the beginning
    place.bring(bad(4), bad(5))
    place.bring(bad(6))
    size, offset = place.store.head().size, len(place.bus.records(EVENTS_TOPIC))
    place.publish(author.write(prev="e" * 64), author.write())
    with pytest.raises(TooManyRefusals, match="More than 3 records in a row"):
        place.ingest.step()
    assert place.store.head().size == size
    assert place.store.claim(place.bus.reader(EVENTS_TOPIC, 0).partition_identity()) == offset
    assert len(place.said(RecordRefused) + place.said(RecordEquivocation)) == 6


def test_a_second_ingest_on_the_same_partition_stops_with_a_sentence(place: Place) -> None:
    with pytest.raises(NotOwner, match="owns kafka:memory"):
        place.start(MemoryLedger(place.store.rows)).step()


def test_one_that_lost_its_session_claims_again_and_repeats_nothing(place: Place) -> None:
    author = opened(place)
    place.store.close()
    place.publish(author.write(), b"rubbish")
    assert place.ingest.step() == 0
    assert place.ingest.step() == 3
    place.store.close()
    successor = MemoryLedger(place.store.rows)
    successor.claim(place.bus.reader(EVENTS_TOPIC, 0).partition_identity())
    place.publish(author.write())
    place.ingest.step()
    with pytest.raises(NotOwner):
        place.ingest.step()
    assert place.session(author) == [0, 1]


def test_a_topic_made_anew_is_read_from_its_beginning(place: Place) -> None:
    author = opened(place)
    place.bus.make_anew(EVENTS_TOPIC)
    place.publish(author.write())
    assert place.ingest.step() == 0
    assert place.ingest.step() == 1
    assert place.session(author) == [0, 1]


def test_while_the_bus_is_away_ingest_says_so_and_goes_on_afterwards(place: Place) -> None:
    author = opened(place)
    place.publish(author.write())
    place.bus.away = True
    assert place.ingest.step() == 0
    assert place.ingest.waiting == "The broker is away."
    place.bus.away = False
    assert place.ingest.step() == 1
    assert place.ingest.waiting is None


class Rival(MemoryLedger):
    """Another writer is faster: each of its `appends` goes in just before ours."""

    appends: list[Any]

    def append(self, batch: Any) -> range:
        if self.appends:
            MemoryLedger(self.rows).append(self.appends.pop())
        return super().append(batch)


@pytest.mark.parametrize("rival", ["key", "session"])
def test_when_another_writer_was_faster_the_same_records_are_judged_again(place: Place, rival: str) -> None:
    author = opened(place)
    store = Rival(place.store.rows)
    place.store.close()
    place.store, place.ingest = store, place.start(store)
    told = author.write()
    gone = place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="compromised")
    store.appends = [batch_of([gone if rival == "key" else told], folded=6)]
    place.bring(told, b"rubbish")
    assert place.session(author) == ([0] if rival == "key" else [0, 1])
    assert [one.reason for one in place.said(RecordRefused)] == (["revoked_key"] if rival == "key" else []) + [
        "malformed"
    ]


def test_when_others_are_always_faster_the_batch_is_put_off_and_not_lost(place: Place) -> None:
    author = opened(place)
    place.publish(author.write())
    place.store.append = lambda batch: (_ for _ in ()).throw(HeadsMoved("faster"))  # type: ignore[method-assign]
    assert place.ingest.step() == 0
    assert "put off" in str(place.ingest.waiting)
    del place.store.append  # type: ignore[method-assign]
    assert place.ingest.step() == 1


def test_it_runs_until_it_is_told_to_stop(place: Place) -> None:
    stop = threading.Event()
    author = Author("deployment")
    place.publish(*author.session_of(3))
    thread = threading.Thread(target=place.ingest.run, args=(stop,))
    thread.start()
    for _ in range(500):
        if place.store.head().size == 8:
            break
        threading.Event().wait(0.01)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert place.session(author) == [0, 1, 2]


def test_a_topic_that_no_event_could_name_is_refused_at_once(place: Place) -> None:
    with pytest.raises(NotConfigured, match="Tenuto_Events"):
        Ingest(
            place.bus, place.store, judge=judge(), root_public_key=TRUST.root, clock=place.clock,
            share=("Tenuto_Events", None),
        )  # fmt: skip


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_order_and_the_repetitions_the_same_chains_come_out(data: st.DataObject) -> None:
    """Valid sessions, shuffled and doubled, over restarts at any point and any batch size; with the gap as a last resort."""
    logging.disable(logging.WARNING)
    try:
        place = Place(batch_events=data.draw(st.integers(1, 9)))
        authors = [Author("deployment"), Author("infrastructure"), Author("deployment")]
        records = [one for author in authors for one in author.session_of(data.draw(st.integers(1, 6)))]
        lost = set(data.draw(st.lists(st.integers(0, len(records) - 1), max_size=2)))
        sent = [one for number, one in enumerate(records) if number not in lost]
        sent = data.draw(st.permutations(sent + [one for one in sent if data.draw(st.booleans())]))
        for one in sent:
            place.publish(one)
            if data.draw(st.integers(0, 3)) == 0:
                place.ingest.step()
            if data.draw(st.integers(0, 9)) == 0:
                place.restart()
        settle(place)
        expected = {author.session: [one.hash for one in sent_in_order(sent, author)] for author in authors}
        found = {
            author.session: [one.header_hash for one in place.events() if one.event.session == author.session]
            for author in authors
        }
        assert found == expected
        assert place.said(RecordRefused) == place.said(RecordEquivocation) == []
        given_up = sum(gap.last_seq - gap.first_seq + 1 for gap in place.said(RecordGap))
        assert given_up <= len(lost)
        assert given_up or not place.said(RecordGap)
    finally:
        logging.disable(logging.NOTSET)


def settle(place: Place) -> None:
    """Step until nothing moves, let every hole outlive its bound, and step again."""
    for _ in range(2):
        for _ in range(60):
            place.ingest.step()
        place.clock.advance(31)
    place.ingest.step()


def sent_in_order(sent: list[Written], author: Author) -> list[Written]:
    mine = {one.event.seq: one for one in sent if one.event.session == author.session}
    return [mine[seq] for seq in sorted(mine)]

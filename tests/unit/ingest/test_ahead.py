"""What is read and examined ahead changes nothing but the time it takes: each batch is judged where the ledger then stands."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tenuto.adapters.memory import MemoryLedger
from tenuto.bus import BusRecord
from tenuto.errors import Busy, Refused
from tenuto.events import KeyRevoked, RecordGap, RecordRefused, SessionOpened
from tenuto.intake import examining
from tenuto.intake.examining import EXAMINE_CHUNK, Examiner
from tenuto.keyring import Keyring
from tenuto.settings import EVENTS_TOPIC

from tests.unit.ingest.place import Place, opened, record_of
from tests.written import ORIGIN, TRUST, Author, genesis, judge, register, signer_of

BATCH = 3


@pytest.fixture
def place() -> Place:
    """Batches of three, so that the fourth record is read ahead of the first three's way into the ledger."""
    return Place(batch_events=BATCH)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The headers whose signatures were checked, in order."""
    seen: list[bytes] = []
    genuine = examining.verify_header

    def noting(header: bytes, signature: bytes, public_key: bytes, in_sheaf: bool) -> None:
        seen.append(header)
        genuine(header, signature, public_key, in_sheaf)

    monkeypatch.setattr(examining, "verify_header", noting)
    return seen


def founded(place: Place) -> None:
    while place.store.head().size < 5:
        place.ingest.step()


def test_each_step_takes_one_batch_and_the_next_is_examined_already(place: Place, checked: list[bytes]) -> None:
    founded(place)
    author = Author("deployment")
    told = [author.open(), *(author.write(payload=b"a plan") for _ in range(6))]
    place.publish(*told)
    checked.clear()
    assert place.ingest.step() == BATCH
    assert checked == [one.envelope.header for one in told[: 2 * BATCH]]
    assert [place.ingest.step(), place.ingest.step(), place.ingest.step()] == [3, 1, 0]
    assert checked == [one.envelope.header for one in told], "every signature once"
    assert place.session(author) == list(range(7))


def test_a_key_that_is_revoked_in_one_batch_is_revoked_in_the_next_that_was_read_ahead(place: Place) -> None:
    founded(place)
    author = opened(place)
    revoked = place.root.write(
        KeyRevoked, subject=author.name, subject_key_id=author.signer.key_id, reason="compromised"
    )
    place.publish(author.write(), author.write(), revoked, author.write(), author.write())
    place.ingest.step()
    place.ingest.step()
    assert place.session(author) == [0, 1, 2]
    assert [one.reason for one in place.said(RecordRefused)] == ["revoked_key", "revoked_key"]


def test_a_key_that_is_registered_in_one_batch_is_good_in_the_next_that_was_read_ahead(place: Place) -> None:
    founded(place)
    late = Author("late", signer=signer_of("late"))
    other = opened(place)
    place.publish(other.write(), other.write(), register(place.root, "late", "agent"), late.open(), late.write())
    place.ingest.step()
    assert place.ingest.step() == 2
    assert place.session(late) == [0, 1]


def test_a_signature_that_does_not_hold_is_refused_for_it_whatever_lies_beside_it(place: Place) -> None:
    founded(place)
    author = opened(place)
    told = [author.write(), author.write(), author.write()]
    forged = record_of(author.write(payload=b"a plan"), signature=bytes(64), sealed=None)
    place.publish(*told, forged)
    place.ingest.step()
    place.ingest.step()
    assert [one.reason for one in place.said(RecordRefused)] == ["signature"]


def test_what_was_read_ahead_is_dropped_when_another_took_the_batch_and_nothing_enters_twice(place: Place) -> None:
    founded(place)
    author = opened(place)
    place.publish(*(author.write() for _ in range(2 * BATCH)))
    rival = MemoryLedger(place.store.rows)
    taken: list[range] = []
    genuine = place.store.append

    def beaten(batch: Any) -> range:
        if not taken:  # the same batch by another process, which had the partition before us
            place.store.rows.owners = {name: rival for name in place.store.rows.owners}
            taken.append(rival.append(batch))
            place.store.rows.owners = {name: place.store for name in place.store.rows.owners}
        return genuine(batch)

    place.store.append = beaten  # type: ignore[method-assign]
    assert place.ingest.step() == 0
    assert [place.ingest.step(), place.ingest.step()] == [BATCH, 0]
    assert place.session(author) == list(range(2 * BATCH + 1))


def test_what_was_read_ahead_never_overtakes_a_batch_that_could_not_be_written(place: Place) -> None:
    founded(place)
    author = opened(place)
    place.publish(*(author.write() for _ in range(2 * BATCH)))
    genuine, away = place.store.append, [True]

    def once_away(batch: Any) -> range:
        if away and away.pop():
            raise Busy("The ledger database does not answer.")
        return genuine(batch)

    place.store.append = once_away  # type: ignore[method-assign]
    assert place.ingest.step() == 0
    assert place.ingest.waiting is not None
    assert [place.ingest.step(), place.ingest.step()] == [BATCH, BATCH]
    assert place.session(author) == list(range(2 * BATCH + 1))
    assert place.said(RecordGap) == []


def test_trouble_in_reading_ahead_costs_nothing_of_the_batch_in_hand(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    founded(place)
    author = opened(place)
    place.publish(*(author.write() for _ in range(2 * BATCH)))
    (partition,) = place.ingest._partitions or ()
    reader = partition.reader
    assert reader is not None
    polls = iter([reader.poll, _away])
    monkeypatch.setattr(reader, "poll", lambda *about: next(polls, type(reader).poll.__get__(reader))(*about))
    assert place.ingest.step() == BATCH
    assert place.ingest.waiting is None
    assert place.ingest.step() == BATCH
    assert place.session(author) == list(range(2 * BATCH + 1))


def test_a_topic_made_anew_behind_what_was_read_ahead_is_read_from_its_beginning(place: Place) -> None:
    founded(place)
    author = opened(place)
    first, second = [author.write() for _ in range(BATCH)], [author.write() for _ in range(BATCH)]
    place.publish(*first, *second)
    assert place.ingest.step() == BATCH
    place.bus.make_anew(EVENTS_TOPIC)
    for _ in range(3):
        place.ingest.step()
    place.publish(*first, *second)
    while place.ingest.step():
        pass
    place.ingest.step()
    place.ingest.step()
    assert place.session(author) == list(range(2 * BATCH + 1))


def _away(*about: Any) -> list[BusRecord]:
    raise Busy("The broker is away.")


def ring_of() -> Keyring:
    ring, root = Keyring(TRUST.root), Author("root")
    for position, one in enumerate(genesis(root)):
        ring.apply(one.event, position)
    return ring


def bus_records(records: list[bytes]) -> list[BusRecord]:
    return [BusRecord(EVENTS_TOPIC, 0, offset, b"", record, (), 0) for offset, record in enumerate(records)]


@pytest.fixture(params=[None, 1, 3], ids=["no threads", "one thread", "three threads"])
def examiner(request: pytest.FixtureRequest) -> Iterator[Examiner]:
    vault = judge().examiner.vault
    if request.param is None:
        yield Examiner(ORIGIN, vault)
        return
    with ThreadPoolExecutor(request.param) as pool:
        yield Examiner(ORIGIN, vault, pool)


@pytest.mark.parametrize("count", [1, EXAMINE_CHUNK, EXAMINE_CHUNK + 1, 2 * EXAMINE_CHUNK + 1])
def test_records_come_back_in_their_order_with_what_was_found(examiner: Examiner, count: int) -> None:
    author = Author("deployment")
    told = [author.write(payload=f"text {number}".encode()) for number in range(count)]
    coming = examiner.begin(bus_records([one.record for one in told]), ring_of())
    arrivals = coming.arrivals()
    assert (coming.count, coming.next_offset) == (count, count)
    assert [one.event for one in arrivals] == [one.event for one in told]
    assert all(one.findings and one.findings.refusal is None and one.findings.payload for one in arrivals)


def test_what_cannot_be_examined_yet_is_left_to_judging(examiner: Examiner) -> None:
    stranger, honest = Author("stranger"), Author("deployment")
    records = [stranger.open().record, b"rubbish", honest.open().record]
    strange, rubbish, known = examiner.begin(bus_records(records), ring_of()).arrivals()
    assert strange.findings is None and strange.refusal is None
    assert isinstance(rubbish.refusal, Refused)
    assert known.findings is not None


def test_findings_under_another_key_are_not_taken(examiner: Examiner) -> None:
    author = Author("deployment")
    (arrival,) = examiner.begin(bus_records([author.write(SessionOpened, software="test/1").record]), ring_of()).arrivals()
    assert arrival.findings is not None and arrival.findings.refusal is None
    arrival.key = ring_of().current("infrastructure")
    examiner.finish([arrival])
    assert arrival.findings.public_key == arrival.key.public_key
    assert arrival.findings.refusal is not None and arrival.findings.refusal.reason == "signature"


"""When ingest must wait, begin again, or stop."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from tenuto.adapters.memory import MemoryLedger
from tenuto.bus import TopicMissing
from tenuto.errors import Busy, NotConfigured
from tenuto.events import (
    KeyRevoked,
    RecordEquivocation,
    RecordRefused,
)
from tenuto.ingest import Ingest
from tenuto.intake.judging import TooManyRefusals
from tenuto.ledger import HeadsMoved, NotOwner
from tenuto.running import run_until
from tenuto.settings import EVENTS_TOPIC
from tenuto.telemetry import Telemetry

from tests.unit.ingest.place import Place, opened, other_than
from tests.written import TRUST, Author, Written, batch_of, genesis, judge


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


def test_a_broker_that_forgot_everything_loses_nothing_that_authors_send_again(place: Place) -> None:
    author = opened(place)
    told, lost = author.write(), author.write()
    place.bring(told)
    place.publish(lost)
    place.bus.lose_everything()
    for _ in range(2):
        assert place.ingest.step() == 0
    assert place.ingest.waiting == f"There is no topic {EVENTS_TOPIC}."
    place.bus.ensure_topics({EVENTS_TOPIC: 1})
    assert place.bring(told, lost) == 1
    assert place.session(author) == [0, 1, 2]


def test_a_topic_that_never_was_stops_ingest_at_its_start() -> None:
    place = Place(founded=False)
    place.bus.lose_everything()
    with pytest.raises(TopicMissing):
        place.ingest.step()


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
    loop = partial(run_until, stop, place.ingest.advance, Telemetry("test"), idle_seconds=0.005)
    thread = threading.Thread(target=loop)
    thread.start()
    for _ in range(500):
        if place.store.head().size == 8:
            break
        threading.Event().wait(0.01)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert place.session(author) == [0, 1, 2]


def test_a_topic_that_no_event_could_name_is_refused_at_once(place: Place) -> None:
    with pytest.raises(NotConfigured, match="Tenuto_Events"):
        Ingest(
            place.bus, place.store, judge=judge(), root_public_key=TRUST.root, clock=place.clock,
            share=("Tenuto_Events", None),
        )  # fmt: skip


def test_a_loop_learns_what_is_waited_for_only_when_nothing_entered(place: Place) -> None:
    author = Author("deployment")
    place.publish(*author.session_of(1))
    assert place.ingest.advance() == 1
    place.publish(*Author("deployment").session_of(1))
    place.store.append = lambda batch: (_ for _ in ()).throw(HeadsMoved("faster"))  # type: ignore[method-assign]
    with pytest.raises(Busy, match="put off"):
        place.ingest.advance()
    del place.store.append  # type: ignore[method-assign]
    assert place.ingest.advance() == 1

"""What becomes of the topic is no concern of the ledger's: doubled, shuffled, cut off or gone, each event enters once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest
from tenuto.adapters.kafka_client import administer
from tenuto.events import RecordEquivocation, RecordGap, RecordRefused
from tenuto.settings import EVENTS_TOPIC
from tenuto.wiring import open_bus

from tests.conftest import Database
from tests.fire.checking import check_events
from tests.fire.door import Door
from tests.fire.plant import Plant, until
from tests.written import Author

TOPICS = iter(range(1000))
LONG, SHORT = 600.0, 0.2
"""Seconds for which a hole is waited: so long that no busy machine makes a gap of it, and so short that one comes."""


@pytest.fixture
def door(plant: Plant, database: Database) -> Iterator[Door]:
    with ExitStack() as stack:
        topic = f"tenuto.fire.{next(TOPICS)}"
        url = database.url("tenuto_ingest")
        yield Door(plant.kafka.bootstrap, url, topic, stack, batch_events=20, gap_seconds=LONG)


def test_a_topic_that_is_deleted_and_made_anew_while_authors_record_loses_nothing(plant: Plant) -> None:
    bus = open_bus(plant.settings)
    for with_ingest in (True, False):
        if not with_ingest:
            plant.stop("ingest")
            until(lambda wanted=plant.taken() + 40: plant.taken() > wanted, "events that ingest never reads", plant)
        with bus.reader(EVENTS_TOPIC, 0) as reader:
            before = reader.partition_identity()
        with administer(bus.cluster, "delete the topic") as admin:
            admin.delete_topics([EVENTS_TOPIC])
        plant.make_topic()
        with bus.reader(EVENTS_TOPIC, 0) as reader:
            assert reader.partition_identity() != before
        if not with_ingest:
            plant.start("ingest")
        until(lambda wanted=plant.receipts() + 20: plant.receipts() > wanted, "receipts over the new topic", plant)
    with plant.quiet():
        check_events(plant)


def test_a_session_in_any_order_over_both_partitions_enters_once_and_whole(door: Door) -> None:
    chance = Random(7)
    authors = [Author("deployment"), Author("infrastructure")]
    sessions = [author.session_of(30) for author in authors]
    records = [one for session in sessions for one in session] * 2
    chance.shuffle(records)
    for one in records:
        door.publish(one, partition=chance.randrange(2))
    door.step_until(lambda: door.size() >= 5 + 60)
    for number in range(2):
        door.publish(sessions[0][number], partition=1 - number)
        door.ingest.step()
    for author in authors:
        assert door.session(author) == list(range(30))
    assert [door.said(kind) for kind in (RecordGap, RecordEquivocation, RecordRefused)] == [[], [], []]


def test_records_that_the_broker_drops_after_they_were_read_are_no_loss(door: Door) -> None:
    author = Author("deployment")
    door.publish(*author.session_of(20))
    door.step_until(lambda: door.size() == 25)
    door.bus_forget()
    for life in range(2):
        door.publish(author.write())
        door.step_until(lambda life=life: door.size() == 26 + life)
        door.end()
        door.begin()
    assert door.session(author) == list(range(22))


@pytest.mark.parametrize("alive", [True, False], ids=["while ingest reads", "while ingest is away"])
def test_records_that_the_broker_drops_unread_are_sent_again_or_become_a_gap(
    door: Door, caplog: pytest.LogCaptureFixture, *, alive: bool
) -> None:
    keeps, forgets = Author("deployment"), Author("infrastructure")
    door.publish(keeps.open(), forgets.open())
    door.step_until(lambda: door.size() == 7)
    spooled = [keeps.write() for _ in range(5)]
    lost = [forgets.write() for _ in range(5)]
    if alive:
        door.drop_from_under_ingest(*spooled, *lost)
    else:
        door.end()
        door.publish(*spooled, *lost)
        door.bus_forget()
    later = [keeps.write(), forgets.write()]
    door.publish(*later)
    if not alive:
        door.begin()
    with caplog.at_level(logging.ERROR, "tenuto.ingest"):
        door.step_until(lambda: len(door.store.parked()) == 2)
    assert "keeps nothing before offset" in caplog.text
    door.publish(*spooled, later[0])  # as a recorder does that has no receipt
    door.step_until(lambda: len(door.store.parked()) == 1)
    assert door.session(keeps) == list(range(7))
    door.end()
    door.limits["gap_seconds"] = SHORT
    door.begin()
    door.step_until(lambda: not door.store.parked())
    gaps = [(gap.gap_session, gap.first_seq, gap.last_seq) for gap in door.said(RecordGap)]
    assert gaps == [(forgets.session, 1, 5)]
    assert door.session(forgets) == [0, 6]
    assert door.said(RecordRefused) == []

"""The way out and back over a real broker that speaks Kafka and, when it stops, has lost everything it acknowledged."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from tenuto.adapters.kafka import KafkaBus
from tenuto.bus import BusRecord
from tenuto.documents import Reason, from_payload
from tenuto.embedded import EmbeddedBroker
from tenuto.errors import Busy
from tenuto.events import DecisionMade
from tenuto.mailbox import Mailbox
from tenuto.recorder import Recorder
from tenuto.settings import EVENTS_TOPIC
from tenuto.spool import Spool

from tests.unit.door.mini_ledger import Road

SECONDS = 120.0


class ListedKafka(KafkaBus):
    """The real bus, with the one thing that the test's ingest asks of a bus beyond it."""

    def records(self, topic: str) -> list[BusRecord]:
        return [record for partition in range(self.partitions(topic)) for record in self._kept(topic, partition)]

    def _kept(self, topic: str, partition: int) -> list[BusRecord]:
        with self.reader(topic, partition) as reader:
            found: list[BusRecord] = []
            while len(found) < reader.end_offset():
                found += reader.poll(500, 2_000)
            return found


# kafka-python leaves the sockets of connections that the absent broker refused to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_messages_and_receipts_survive_a_broker_that_lost_everything(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker") as first:
        port = int(first.bootstrap.rpartition(":")[2])
        road = Road()
        bus = ListedKafka(first.bootstrap)
        road.bus = bus  # type: ignore[assignment]
        bus.ensure_topics({EVENTS_TOPIC: 2})
        road.delivery = road.new_delivery()
        stack = ExitStack()
        stack.callback(road.delivery.close)
        alice = road.recorder("alice", Spool(tmp_path / "alice.db"))
        bob = road.recorder("bob", Spool(tmp_path / "bob.db"))
        stack.callback(alice.close)
        stack.callback(bob.close)
        stack.enter_context(road.carrying())
        alice.open("test/1")
        bob.open("test/1")
        assert alice.wait(say(alice, 0), SECONDS).position > 0
        road.turn.acquire()
        for number in range(1, 6):
            say(alice, number)
        alice.send("bob", "test.note", Reason(text="hello"))
    with EmbeddedBroker(tmp_path / "broker", port), stack:
        road.turn.release()
        assert bob.mailbox is not None
        assert text_of(bob.mailbox) == "hello"
        alice.wait(say(alice, 6), SECONDS)
        alice.flush(SECONDS)
        bob.flush(SECONDS)
    assert [event.findings for event in road.events("alice") if isinstance(event, DecisionMade)] == list(range(7))


def say(recorder: Recorder, number: int) -> DecisionMade:
    return recorder.decision("comment", subject="commit", subject_digest="0" * 64, model="m", findings=number)


def text_of(mailbox: Mailbox) -> str:
    deadline = monotonic() + SECONDS
    while monotonic() < deadline:
        try:
            delivered = mailbox.next_message(1)
        except Busy:
            continue
        if delivered is not None:
            mailbox.done(delivered)
            return from_payload(delivered.payload, Reason).text
    raise AssertionError("no message came")

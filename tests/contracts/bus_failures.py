"""The second half of the bus contract: what is promised while the broker is away, hangs, or has just come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import pytest
from tenuto.adapters import kafka_publisher
from tenuto.adapters.kafka import KafkaBus
from tenuto.bus import Place, Publisher, TopicChanged, TopicReader
from tenuto.errors import Busy

from tests.contracts.bus_contract import SECONDS_MAX, BusParts, Server, insist, read
from tests.halting import group_of, halted

ATTEMPTS_MAX = 5


def patiently(call: Callable[[], Any]) -> Any:
    """Repeat `call` while it is Busy."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            return call()
        except Busy:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def delivered(publisher: Publisher, topic: str, value: bytes) -> None:
    """Publish until the broker has it: a machine that was away for seconds lets a record run out of its time."""

    def once() -> None:
        try:
            publisher.publish(topic, b"k", value).result(SECONDS_MAX)
        except Busy:
            with suppress(Busy):
                publisher.flush(SECONDS_MAX)
            raise

    patiently(once)


def one_after_the_other(publisher: Publisher, topic: str) -> tuple[Future[Place], Future[Place]]:
    """Publish to a broker that does not answer: the second while the first has most, and not all, of its time behind it."""
    for _ in range(ATTEMPTS_MAX):
        first = publisher.publish(topic, b"k", b"first")
        time.sleep(2)  # so that the first has run out of time and the second has not when the broker is back
        with suppress(Busy):
            return first, publisher.publish(topic, b"k", b"second")
        assert first.done(), "only a machine that was away for all of the first one's time keeps the second out"
        with suppress(Busy):
            publisher.flush(SECONDS_MAX)
    raise AssertionError("the machine is too busy for this")


def frozen(server: Server) -> AbstractContextManager[None]:
    """Let the broker's connections stand and nothing answer on them."""
    return halted(*group_of(server._child.guard_pid))  # type: ignore[attr-defined]


class BusFailures(BusParts):
    """The cases."""

    def test_closing_twice_is_harmless_and_a_closed_publisher_takes_nothing(self, bus: KafkaBus, topic: str) -> None:
        publisher, reader = bus.publisher(), bus.reader(topic, 0)
        publisher.publish(topic, b"", b"").result(SECONDS_MAX)
        for _ in range(2):
            publisher.close()
            reader.close()
        with pytest.raises(ValueError, match="closed"):
            publisher.publish(topic, b"", b"")

    def test_no_more_than_the_limit_is_in_flight(
        self, topic: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publisher.publish(topic, b"", b"").result(SECONDS_MAX)
        monkeypatch.setattr(kafka_publisher, "IN_FLIGHT_BYTES_MAX", 10)
        publisher.publish(topic, b"", bytes(10)).result(SECONDS_MAX)
        with pytest.raises(Busy, match="on their way"):
            publisher.publish(topic, b"", bytes(11))
        publisher.publish(topic, b"", bytes(10)).result(SECONDS_MAX)

    def test_what_was_published_after_a_failed_record_does_not_overtake_it(
        self, server: Server, bus: KafkaBus, topic: str
    ) -> None:
        with bus.publisher() as publisher, bus.reader(topic, 0) as reader, ThreadPoolExecutor(1) as thread:
            publisher.publish(topic, b"k", b"before").result(SECONDS_MAX)
            with frozen(server):
                asked = thread.submit(reader.end_offset)
                first, second = one_after_the_other(publisher, topic)
                assert isinstance(first.exception(SECONDS_MAX), Busy)
                assert isinstance(asked.exception(SECONDS_MAX), Busy)
            assert isinstance(second.exception(SECONDS_MAX), Busy)
            with pytest.raises(Busy, match="again"):
                publisher.flush(SECONDS_MAX)
            delivered(publisher, topic, b"first")
            patiently(partial(publisher.publish, topic, b"k", b"second")).result(SECONDS_MAX)
        with bus.reader(topic, 0) as anew:
            # The first may be there more than once, since nobody can know what became of it; the second came after it only once.
            assert [record.value for record in read(anew, anew.end_offset())][-2:] == [b"first", b"second"]
            anew.seek(0)
            assert [record.value for record in read(anew, anew.end_offset())].count(b"second") == 1

    def test_a_broker_that_goes_away_makes_all_busy_nothing_overtakes_and_all_goes_on_when_it_is_back(
        self, server: Server, bus: KafkaBus, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kafka_publisher, "IN_FLIGHT_RECORDS_MAX", 5)
        impatient = {"request_timeout_ms": 1_000, "delivery_timeout_ms": 2_000}
        monkeypatch.setattr(kafka_publisher, "_PRODUCER", {**kafka_publisher._PRODUCER, **impatient})
        with bus.publisher() as publisher, bus.publisher() as unlucky, bus.reader(topic, 0) as reader:
            for writer in (publisher, unlucky):
                delivered(writer, topic, b"before")
            assert [record.value for record in read(reader, 2)] == [b"before"] * 2
            server.stop()
            lost = [publisher.publish(topic, b"k", b"lost %d" % number) for number in range(5)]
            with pytest.raises(Busy, match="on their way"):
                publisher.publish(topic, b"k", b"one too many")
            with pytest.raises(Busy, match="within"):
                publisher.flush(0.01)
            at_close = unlucky.publish(topic, b"k", b"closed too early")
            unlucky.close()
            assert isinstance(at_close.exception(SECONDS_MAX), Busy)
            insist(lambda: reader.poll(10, 50), Busy)
            with pytest.raises(Busy):
                reader.end_offset()
            assert [type(future.exception(SECONDS_MAX)) for future in lost] == [Busy] * 5
            server.start()
            with pytest.raises(Busy, match="Flush"):
                publisher.publish(topic, b"k", b"overtakes")
            with pytest.raises(Busy, match="again"):
                publisher.flush(SECONDS_MAX)
            publisher.flush(SECONDS_MAX)
            if not self.keeps_topics:
                insist(lambda: self._unless_busy(reader), TopicChanged)
                patiently(lambda: bus.ensure_topics({topic: 1}))
            delivered(publisher, topic, b"after")
            self._demand_last(bus, topic, reader)

    @staticmethod
    def _unless_busy(reader: TopicReader) -> None:
        try:
            reader.poll(10, 50)
        except Busy:
            pass

    def _demand_last(self, bus: KafkaBus, topic: str, reader: TopicReader) -> None:
        """The record published after the return is read, and none that was refused; one that failed may be there."""
        if not self.keeps_topics:
            with pytest.raises(TopicChanged):
                reader.seek(0)
        with bus.reader(topic, 0) as anew:
            assert (anew.partition_identity() == reader.partition_identity()) is self.keeps_topics
            found = [record.value for record in read(anew, anew.end_offset())]
        assert found[-1] == b"after"
        assert {b"overtakes", b"one too many"}.isdisjoint(found)
        if self.keeps_topics:
            patiently(lambda: reader.seek(reader.end_offset() - 1))
            assert [record.value for record in patiently(lambda: read(reader, 1))] == [b"after"]

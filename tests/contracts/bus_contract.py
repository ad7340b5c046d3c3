"""What `tenuto.bus` promises, as cases that every broker must pass: here while it runs, in `bus_failures` while not.

A test module subclasses `BusContract` and `BusFailures`, provides the fixture `server` (a broker that may be stopped
and started at the same address), and says whether that broker keeps its topics over a stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from threading import Timer
from typing import Any, Protocol

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from tenuto.adapters.kafka import KafkaBus
from tenuto.bus import (
    HEADERS_BYTES_MAX,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    BusRecord,
    OffsetGone,
    Publisher,
    RecordTooLarge,
    TopicChanged,
    TopicMissing,
    TopicReader,
)
from tenuto.errors import Busy, NotConfigured, TenutoError

SECONDS_MAX = 90.0
_NUMBERS = count()
# Values that Apache Kafka tests its own partitioner with (UtilsTest.testMurmur2).
JAVA_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


class Server(Protocol):
    """A broker process."""

    @property
    def bootstrap(self) -> str: ...
    def start(self) -> Any: ...
    def stop(self) -> None: ...


def read(reader: TopicReader, number: int) -> list[BusRecord]:
    """Return the next `number` records."""
    found: list[BusRecord] = []
    deadline = time.monotonic() + SECONDS_MAX
    while len(found) < number:
        assert time.monotonic() < deadline, f"{len(found)} of {number} records came"
        found += reader.poll(number - len(found), 200)
    return found


def insist(call: Callable[[], Any], outcome: type[TenutoError]) -> TenutoError:
    """Repeat `call` until it raises `outcome`; any other error is a failure of the test."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            call()
        except outcome as error:
            return error
        time.sleep(0.02)
    raise AssertionError(f"{outcome.__name__} was never raised")


class BusParts:
    """What the cases are given."""

    keeps_topics: bool

    @pytest.fixture
    def bus(self, server: Server) -> KafkaBus:
        return KafkaBus(server.bootstrap)

    @pytest.fixture
    def topic(self, bus: KafkaBus) -> str:
        """A topic of one partition that no other test knows."""
        name = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({name: 1})
        return name

    @pytest.fixture
    def publisher(self, bus: KafkaBus) -> Iterator[Publisher]:
        with bus.publisher() as publisher:
            yield publisher

    @pytest.fixture
    def reader(self, bus: KafkaBus, topic: str) -> Iterator[TopicReader]:
        with bus.reader(topic, 0) as reader:
            yield reader

    @pytest.fixture
    def admin(self, server: Server) -> Iterator[KafkaAdminClient]:
        with KafkaAdminClient(bootstrap_servers=server.bootstrap) as admin:
            yield admin

    def delete(self, admin: KafkaAdminClient, bus: KafkaBus, topic: str) -> None:
        admin.delete_topics([topic])
        insist(lambda: bus.partitions(topic), TopicMissing)


class BusContract(BusParts):
    """The cases."""

    # Order and places

    def test_records_of_one_key_keep_their_order(self, bus: KafkaBus, publisher: Publisher) -> None:
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({topic: 4})
        places = [publisher.publish(topic, b"session", b"%d" % number) for number in range(500)]
        publisher.flush(SECONDS_MAX)
        (partition,) = {place.result().partition for place in places}
        with bus.reader(topic, partition) as reader:
            assert [int(record.value) for record in read(reader, 500)] == list(range(500))
        assert [place.result().offset for place in places] == list(range(500))

    def test_a_key_goes_to_the_same_partition_in_every_release(self, bus: KafkaBus, publisher: Publisher) -> None:
        """A changed hash would put the later half of a session elsewhere."""
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({topic: 4})
        found = {key: publisher.publish(topic, key, b"").result(SECONDS_MAX).partition for key in JAVA_MURMUR2}
        assert found == {key: (value & 0x7FFFFFFF) % 4 for key, value in JAVA_MURMUR2.items()}

    def test_what_was_published_is_read_as_it_was(self, topic: str, publisher: Publisher, reader: TopicReader) -> None:
        headers = (("a", b"\x00\xff"), ("a", b"again"), ("empty", b""))
        place = publisher.publish(topic, b"\x00key\xff", b"\x00value\xff", headers).result(SECONDS_MAX)
        publisher.publish(topic, b"", b"").result(SECONDS_MAX)
        first, second = read(reader, 2)
        assert (first.key, first.value, first.headers) == (b"\x00key\xff", b"\x00value\xff", headers)
        assert (
            (first.topic, first.partition, first.offset)
            == (place.topic, place.partition, place.offset)
            == (topic, 0, 0)
        )
        assert abs(first.timestamp / 1000 - time.time()) < 3600
        assert (second.key, second.value, second.headers) == (b"", b"", ())

    def test_a_foreign_record_without_key_or_value_has_empty_ones(
        self, server: Server, topic: str, reader: TopicReader
    ) -> None:
        producer = KafkaProducer(bootstrap_servers=server.bootstrap)
        producer.send(topic, key=b"only a key")
        producer.send(topic, value=b"only a value")
        producer.flush(SECONDS_MAX)
        producer.close()
        assert [(record.key, record.value) for record in read(reader, 2)] == [
            (b"only a key", b""),
            (b"", b"only a value"),
        ]

    def test_publishers_in_many_threads_lose_nothing_double_nothing_and_keep_each_threads_order(
        self, bus: KafkaBus, topic: str, reader: TopicReader
    ) -> None:
        with bus.publisher() as shared, bus.publisher() as own, ThreadPoolExecutor(6) as threads:

            def publish(writer: int) -> None:
                publisher = own if writer == 0 else shared
                for number in range(200):
                    publisher.publish(topic, b"%d" % writer, b"%d" % number)
                publisher.flush(SECONDS_MAX)

            list(threads.map(publish, range(6)))
        found = read(reader, 1200)
        assert reader.poll(1, 100) == []
        for writer in range(6):
            assert [int(record.value) for record in found if record.key == b"%d" % writer] == list(range(200))

    # Limits

    def test_the_largest_record_travels(self, topic: str, publisher: Publisher, reader: TopicReader) -> None:
        largest = (bytes(KEY_BYTES_MAX), bytes(VALUE_BYTES_MAX), (("h", bytes(HEADERS_BYTES_MAX - 1)),))
        for _ in range(3):
            publisher.publish(topic, *largest)
        publisher.flush(SECONDS_MAX)
        for record in read(reader, 3):
            assert (record.key, record.value, record.headers) == largest

    @pytest.mark.parametrize(
        ("part", "key", "value", "headers"),
        [
            ("key", bytes(KEY_BYTES_MAX + 1), b"", ()),
            ("value", b"", bytes(VALUE_BYTES_MAX + 1), ()),
            ("headers", b"", b"", (("h", bytes(HEADERS_BYTES_MAX)),)),
            ("1024 headers", b"", bytes(VALUE_BYTES_MAX), (("h", b""),) * HEADERS_BYTES_MAX),
        ],
    )
    def test_one_byte_more_is_refused_and_not_sent(
        self, topic: str, publisher: Publisher, reader: TopicReader, part: str, key: bytes, value: bytes, headers: Any
    ) -> None:
        with pytest.raises(RecordTooLarge, match=part):
            publisher.publish(topic, key, value, headers)
        publisher.publish(topic, b"", b"next").result(SECONDS_MAX)
        assert [record.value for record in read(reader, 1)] == [b"next"]

    # Reading

    def test_a_partition_is_read_again_from_any_offset(
        self, topic: str, publisher: Publisher, reader: TopicReader
    ) -> None:
        for number in range(10):
            publisher.publish(topic, b"", b"%d" % number)
        publisher.flush(SECONDS_MAX)
        assert [record.offset for record in read(reader, 10)] == list(range(10))
        for offset in (7, 0, 9, 3):
            reader.seek(offset)
            assert [int(record.value) for record in read(reader, 10 - offset)] == list(range(offset, 10))

    def test_the_offsets_span_what_is_kept_and_a_seek_may_go_to_the_end_but_not_beyond(
        self, topic: str, publisher: Publisher, reader: TopicReader
    ) -> None:
        assert (reader.beginning_offset(), reader.end_offset()) == (0, 0)
        for _ in range(3):
            publisher.publish(topic, b"", b"")
        publisher.flush(SECONDS_MAX)
        assert (reader.beginning_offset(), reader.end_offset()) == (0, 3)
        reader.seek(3)
        assert reader.poll(10, 100) == []
        for offset in (-1, 4):
            with pytest.raises(OffsetGone, match=str(offset)):
                reader.seek(offset)
        publisher.publish(topic, b"", b"the next").result(SECONDS_MAX)
        assert read(reader, 1)[0].offset == 3

    def test_a_poll_returns_no_more_than_asked_and_the_next_goes_on(
        self, topic: str, publisher: Publisher, reader: TopicReader
    ) -> None:
        for _ in range(10):
            publisher.publish(topic, b"", b"")
        publisher.flush(SECONDS_MAX)
        found: list[int] = []
        while len(found) < 10:
            page = reader.poll(3, 1000)
            assert len(page) <= 3
            found += [record.offset for record in page]
        assert found == list(range(10))

    def test_a_waiting_poll_ends_when_a_record_comes(
        self, topic: str, publisher: Publisher, reader: TopicReader
    ) -> None:
        assert reader.poll(10, 0) == []
        later = Timer(0.1, publisher.publish, (topic, b"", b"came"))
        later.start()
        assert [record.value for record in reader.poll(10, int(SECONDS_MAX * 1000))] == [b"came"]
        later.join()

    def test_readers_of_all_partitions_are_polled_in_turn_without_waiting(
        self, bus: KafkaBus, publisher: Publisher
    ) -> None:
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({topic: 4})
        for number in range(200):
            publisher.publish(topic, b"session-%d" % (number % 20), b"%d" % number)
        publisher.flush(SECONDS_MAX)
        with ExitStack() as stack:
            readers = [stack.enter_context(bus.reader(topic, partition)) for partition in range(4)]
            found: list[int] = []
            deadline = time.monotonic() + SECONDS_MAX
            while len(found) < 200 and time.monotonic() < deadline:
                found += [int(record.value) for reader in readers for record in reader.poll(50, 0)]
        assert sorted(found) == list(range(200))

    # Topics and their identity

    def test_an_identity_is_the_same_for_every_reader_and_another_for_every_partition(self, bus: KafkaBus) -> None:
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({topic: 2})
        with bus.reader(topic, 0) as first, bus.reader(topic, 0) as second, bus.reader(topic, 1) as other:
            assert first.partition_identity() == second.partition_identity()
            assert first.partition_identity().removesuffix(":0") == other.partition_identity().removesuffix(":1")
            kind, cluster, topic_id, partition = first.partition_identity().split(":")
        assert (kind, partition, len(topic_id)) == ("kafka", "0", 36)
        assert cluster

    def test_a_topic_made_anew_has_another_identity_and_its_old_reader_says_so(
        self, bus: KafkaBus, topic: str, publisher: Publisher, reader: TopicReader, admin: KafkaAdminClient
    ) -> None:
        publisher.publish(topic, b"", b"old").result(SECONDS_MAX)
        assert [record.value for record in read(reader, 1)] == [b"old"]
        self.delete(admin, bus, topic)
        bus.ensure_topics({topic: 1})
        with bus.publisher() as another, bus.reader(topic, 0) as anew:
            # As many as there were, and then one more: the old reader stands exactly before that one.
            for value in (b"new 0", b"new 1"):
                another.publish(topic, b"", value).result(SECONDS_MAX)
            assert anew.partition_identity() != reader.partition_identity()
            assert [record.value for record in read(anew, 2)] == [b"new 0", b"new 1"]
        handed_out: list[BusRecord] = []
        insist(lambda: handed_out.extend(reader.poll(10, 50)), TopicChanged)
        assert handed_out == []
        with pytest.raises(TopicChanged):
            reader.seek(0)

    def test_a_reader_whose_topic_was_deleted_says_so(
        self, bus: KafkaBus, topic: str, reader: TopicReader, admin: KafkaAdminClient
    ) -> None:
        self.delete(admin, bus, topic)
        insist(lambda: reader.poll(10, 50), TopicChanged)
        with pytest.raises(TopicChanged):
            reader.seek(0)
        with pytest.raises(TopicMissing, match=topic):
            reader.end_offset()

    def test_topics_are_ensured_once_and_left_as_they_are(self, bus: KafkaBus, topic: str) -> None:
        with bus.reader(topic, 0) as reader:
            before = reader.partition_identity()
        other = f"tenuto.contract.{next(_NUMBERS)}"
        bus.ensure_topics({topic: 1, other: 3})
        bus.ensure_topics({topic: 1, other: 3})
        assert (bus.partitions(topic), bus.partitions(other)) == (1, 3)
        with bus.reader(topic, 0) as reader:
            assert reader.partition_identity() == before

    def test_several_processes_may_ensure_the_same_topics_at_once(self, bus: KafkaBus) -> None:
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: bus.ensure_topics({topic: 2}), range(4)))
        assert bus.partitions(topic) == 2

    def test_another_number_of_partitions_is_refused_and_changes_nothing(self, bus: KafkaBus, topic: str) -> None:
        fresh = f"tenuto.contract.{next(_NUMBERS)}"
        with pytest.raises(NotConfigured, match=f"{topic} has 1 partitions and should have 2"):
            bus.ensure_topics({topic: 2, fresh: 1})
        assert bus.partitions(topic) == 1
        with pytest.raises(TopicMissing):
            bus.partitions(fresh)

    def test_a_missing_topic_is_named_and_not_created_by_asking(
        self, bus: KafkaBus, publisher: Publisher, admin: KafkaAdminClient
    ) -> None:
        topic = f"tenuto.contract.{next(_NUMBERS)}"
        with pytest.raises(TopicMissing, match=topic):
            bus.partitions(topic)
        with pytest.raises(TopicMissing, match=topic):
            bus.reader(topic, 0)
        with pytest.raises(Busy, match=topic):
            publisher.publish(topic, b"", b"")
        assert topic not in admin.list_topics()
        bus.ensure_topics({topic: 1})
        publisher.publish(topic, b"", b"").result(SECONDS_MAX)

    def test_a_partition_that_a_topic_does_not_have_is_missing(self, bus: KafkaBus, topic: str) -> None:
        with pytest.raises(TopicMissing, match="no number 1"):
            bus.reader(topic, 1)

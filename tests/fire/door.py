"""Ingest in the test's own process, on the real broker of the plant and a real database, with a topic of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from time import monotonic
from typing import Any

from kafka import TopicPartition
from kafka.partitioner.default import murmur2
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.kafka_client import administer
from tenuto.adapters.kafka_reader import FETCH_WAIT_MS
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.bus import BusRecord
from tenuto.clock import Clock, SystemClock
from tenuto.ingest import Ingest
from tenuto.verification import Verified

from tests.check_ledger import check_ledger
from tests.fire.plant import SECONDS_MAX
from tests.written import STORAGE_KEY, TRUST, Author, Written, genesis, judge

PARTITIONS = 2


class Door:
    """A topic and a ledger of the test's own, and one ingest between them; `url` is that of the database's owner."""

    def __init__(self, bootstrap: str, url: str, topic: str, stack: ExitStack, **limits: Any) -> None:
        self.topic, self.url, self.stack, self.limits = topic, url, stack, limits
        self.clock: Clock = SystemClock()
        self.bus = KafkaBus(bootstrap)
        self.bus.ensure_topics({topic: PARTITIONS})
        self.publisher = stack.enter_context(self.bus.publisher())
        self.pool = stack.enter_context(ThreadPoolExecutor(2))
        self.keys = [key_of(number) for number in range(PARTITIONS)]
        self.root = Author("root")
        self.begin()
        self.publish(*genesis(self.root))
        self.step_until(lambda: self.store.head().size == 5)

    def begin(self) -> None:
        """Start ingest, a first or a next life."""
        self.store = PostgresLedger(open_datastore(self.url), self.url)
        self.ingest = Ingest(
            self.bus, self.store, judge=judge(pool=self.pool, **self.limits), root_public_key=TRUST.root,
            clock=self.clock, share=(self.topic, None),
        )  # fmt: skip
        self.stack.callback(self.end)

    def end(self) -> None:
        """End ingest as a kill would, between two steps."""
        self.ingest.close()
        self.store.close()

    def publish(self, *records: Written | bytes, partition: int = 0) -> None:
        sent = []
        for one in records:
            value = one if isinstance(one, bytes) else one.record
            sent.append(self.publisher.publish(self.topic, self.keys[partition], value))
        self.publisher.flush(SECONDS_MAX)
        assert {future.result().partition for future in sent} == {partition}

    def bus_forget(self) -> None:
        """The broker drops every record that it has."""
        places = {TopicPartition(self.topic, number): -1 for number in range(PARTITIONS)}
        with administer(self.bus.cluster, "delete records") as admin:
            admin.delete_records(places)

    def drop_from_under_ingest(self, *records: Written) -> None:
        """Publish records and let the broker drop them before the reader of this ingest, which stays open, asks for them."""
        assert self.ingest._partitions is not None
        reader: Any = self.ingest._partitions[0].reader
        consumer, place = reader._consumer, reader._assigned
        consumer.pause(place)
        # A request that was on its way when the reader was paused is answered without any record by then.
        consumer.poll(timeout_ms=2 * FETCH_WAIT_MS)
        self.publish(*records)
        self.bus_forget()
        consumer.resume(place)

    def step_until(self, true: Callable[[], bool]) -> None:
        deadline = monotonic() + SECONDS_MAX
        while not true():
            assert monotonic() < deadline, f"it did not come; ingest waits for: {self.ingest.waiting}"
            self.ingest.step()

    def size(self) -> int:
        return self.store.head().size

    def events(self) -> list[Verified]:
        """Everything, after the total check."""
        return check_ledger(self.store, TRUST, storage_key=STORAGE_KEY)

    def session(self, author: Author) -> list[int]:
        return [one.event.seq for one in self.events() if one.event.session == author.session]

    def said(self, kind: type[Any]) -> list[Any]:
        return [one.event for one in self.events() if isinstance(one.event, kind)]


def key_of(partition: int) -> bytes:
    """A record key that leads to this partition."""
    keys = (f"key-{number}".encode() for number in count())
    return next(key for key in keys if (murmur2(key) & 0x7FFFFFFF) % PARTITIONS == partition)


def all_records(reader: Any) -> list[BusRecord]:
    """Every record from where the reader stands to the present end."""
    found: list[BusRecord] = []
    end = reader.end_offset()
    if reader.beginning_offset() == end:
        return found
    while not found or found[-1].offset + 1 < end:
        found += reader.poll(500, 2_000)
    return found

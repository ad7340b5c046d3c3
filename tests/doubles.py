"""Doubles of the outside world: a clock that stands, and a bus in memory that can go away and lose everything.

Both keep the contracts of `tenuto.clock` and `tenuto.bus`; what they add is the trouble that a test asks for.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Self

from tenuto.bus import TOPIC_CONFIG, BusRecord, Headers, OffsetGone, Place, TopicChanged, TopicMissing, demand_fits
from tenuto.errors import Busy, NotConfigured

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class StoppedClock:
    """A clock that moves only when told."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class MemoryBus:
    """One broker in memory. `away` makes every call Busy; `lose_everything` is a restart of a broker without a disk."""

    def __init__(self, **partitions: int) -> None:
        self.away = False
        self.changed = threading.Condition()
        self._topics: dict[str, tuple[int, list[list[BusRecord]]]] = {}
        self._identities = count()
        self.ensure_topics(partitions)

    def ensure_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] = TOPIC_CONFIG) -> None:
        self.demand_here()
        with self.changed:
            for topic, number in partitions.items():
                _, kept = self._topics.setdefault(topic, (next(self._identities), [[] for _ in range(number)]))
                if len(kept) != number:
                    raise NotConfigured(f"{topic} has {len(kept)} partitions, not {number}.")

    def partitions(self, topic: str) -> int:
        return len(self.topic(topic)[1])

    def publisher(self) -> MemoryPublisher:
        return MemoryPublisher(self)

    def reader(self, topic: str, partition: int) -> MemoryReader:
        return MemoryReader(self, topic, partition)

    def lose_everything(self) -> None:
        """Forget every topic and record."""
        with self.changed:
            self._topics.clear()
            self.changed.notify_all()

    def make_anew(self, topic: str) -> None:
        """Delete one topic and create it again, empty."""
        number = self.partitions(topic)
        with self.changed:
            del self._topics[topic]
        self.ensure_topics({topic: number})

    def records(self, topic: str) -> list[BusRecord]:
        """Everything in a topic, partition by partition."""
        return [record for kept in self.topic(topic)[1] for record in list(kept)]

    def topic(self, topic: str) -> tuple[int, list[list[BusRecord]]]:
        """Identity and partitions of a topic."""
        self.demand_here()
        with self.changed:
            if topic not in self._topics:
                raise TopicMissing(f"There is no topic {topic}.")
            return self._topics[topic]

    def demand_here(self) -> None:
        """Raise Busy while the broker is away."""
        if self.away:
            raise Busy("The broker is away.")


class _Closing:
    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemoryPublisher(_Closing):
    """Publishes at once; after a failure it takes nothing until `flush` was called, as the contract demands."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus, self._failed = bus, False

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
        demand_fits(key, value, headers)
        if self._failed:
            raise Busy("An earlier publication failed; flush first.")
        future: Future[Place] = Future()
        try:
            _, partitions = self._bus.topic(topic)
        except (Busy, TopicMissing) as error:
            self._failed = True
            raise Busy(str(error)) from error
        number = zlib.crc32(key) % len(partitions)
        with self._bus.changed:
            kept = partitions[number]
            kept.append(BusRecord(topic, number, len(kept), key, value, tuple(headers), 0))
            self._bus.changed.notify_all()
        future.set_result(Place(topic, number, len(kept) - 1))
        return future

    def flush(self, seconds: float) -> None:
        failed, self._failed = self._failed, False
        if failed:
            raise Busy("A publication failed.")


class MemoryReader(_Closing):
    """Reads one partition of the topic as it was when the reader was opened."""

    def __init__(self, bus: MemoryBus, topic: str, partition: int) -> None:
        self._bus, self._topic, self._partition = bus, topic, partition
        self._identity, self._next = bus.topic(topic)[0], 0

    def seek(self, offset: int) -> None:
        if not 0 <= offset <= len(self._kept()):
            raise OffsetGone(f"{self._topic} has no offset {offset}.")
        self._next = offset

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._bus.changed:
            while len(self._kept()) <= self._next and (left := deadline - time.monotonic()) > 0:
                self._bus.changed.wait(left)
            found = self._kept()[self._next : self._next + max_records]
        self._next += len(found)
        return found

    def partition_identity(self) -> str:
        return f"kafka:memory:{self._identity}:{self._partition}"

    def beginning_offset(self) -> int:
        return 0

    def end_offset(self) -> int:
        return len(self._kept())

    def _kept(self) -> list[BusRecord]:
        try:
            identity, partitions = self._bus.topic(self._topic)
        except TopicMissing as missing:
            raise TopicChanged(str(missing)) from missing
        if identity != self._identity:
            raise TopicChanged(f"{self._topic} is another topic by now.")
        return partitions[self._partition]

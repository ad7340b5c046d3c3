"""A bus that nobody should trust: it repeats, delays, loses what it acknowledged, loses acknowledgements, and truncates.

It is `tests.doubles.MemoryBus` with malice. Each topic has its own stream of chance. What it does to the topic of events
is as bad as can be; of an inbox it repeats records and loses acknowledgements or everything, since a hole in the middle of
one is what a receiver stops at for good.
"""

from __future__ import annotations

import zlib
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from random import Random

from tenuto.bus import BusRecord, Headers, OffsetGone, Place, TopicMissing, demand_fits
from tenuto.errors import Busy
from tenuto.settings import EVENTS_TOPIC

from tests.doubles import MemoryBus, MemoryPublisher, MemoryReader
from tests.faults.points import Points
from tests.simulation.chance import Dice, SimulatedTime

DELAY_SECONDS_MAX = 12.0


@dataclass(frozen=True, slots=True)
class Malice:
    """How likely each mischief is for one record, 0 to 1."""

    lose: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    fail: float = 0.0


GOOD = Malice()


class HostileBus(MemoryBus):
    """`malice` may be changed at any time; `release` lets delayed records arrive."""

    def __init__(self, dice: Dice, points: Points, time: SimulatedTime, partitions: int) -> None:
        self.malice, self.points, self.time = GOOD, points, time
        self.delayed: list[tuple[float, str, int, bytes, bytes]] = []
        self.lost = 0
        self._dice, self._streams = dice, dict[str, Random]()
        self._first: dict[tuple[int, int], int] = {}
        super().__init__(**{EVENTS_TOPIC: partitions})

    def publisher(self) -> HostilePublisher:
        return HostilePublisher(self)

    def reader(self, topic: str, partition: int) -> HostileReader:
        return HostileReader(self, topic, partition)

    def chance(self, topic: str) -> Random:
        return self._streams.setdefault(topic, self._dice.of(f"bus/{topic}"))

    def first(self, identity: int, partition: int) -> int:
        """The offset of the first kept record."""
        return self._first.get((identity, partition), 0)

    def put(self, topic: str, number: int, key: bytes, value: bytes) -> int:
        """Append a record; returns its offset."""
        kept = self.topic(topic)[1][number]
        kept.append(BusRecord(topic, number, len(kept), key, value, (), 0))
        return len(kept) - 1

    def release(self, *, everything: bool = False) -> None:
        """Let the delayed records arrive whose time has come; a topic that is gone takes them with it."""
        if self.away:
            return
        due = [one for one in self.delayed if everything or one[0] <= self.time.seconds]
        self.delayed = [one for one in self.delayed if one not in due]
        for _, topic, number, key, value in due:
            try:
                self.put(topic, number, key, value)
            except TopicMissing:
                self.lost += 1

    def lose_tail(self, topic: str, number: int, count: int) -> None:
        """Forget the last records of a partition, which keeps its identity: what comes next gets their offsets."""
        identity, partitions = self.topic(topic)
        keep = max(self.first(identity, number), len(partitions[number]) - count)
        self.lost += len(partitions[number]) - keep
        del partitions[number][keep:]

    def lose_beginning(self, topic: str, number: int, count: int) -> None:
        """Forget the first records of a partition; those that stay keep their offsets."""
        identity, partitions = self.topic(topic)
        first = self.first(identity, number)
        self._first[identity, number] = min(first + count, len(partitions[number]))
        self.lost += self._first[identity, number] - first


class HostilePublisher(MemoryPublisher):
    """Acknowledges what it loses, and fails to acknowledge what it keeps."""

    _bus: HostileBus

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
        demand_fits(key, value, headers)
        if self._failed:
            raise Busy("An earlier publication failed; flush first.")
        bus, malice, draw = self._bus, self._bus.malice, self._bus.chance(topic)
        try:
            _, partitions = bus.topic(topic)
        except (Busy, TopicMissing) as error:
            self._failed = True
            raise Busy(str(error)) from error
        number, events = zlib.crc32(key) % len(partitions), topic == EVENTS_TOPIC
        future: Future[Place] = Future()
        roll = draw.random()
        if roll < malice.fail:
            self._failed = True
            if draw.random() < 0.5:
                bus.put(topic, number, key, value)
            future.set_exception(Busy("The acknowledgement did not come."))
            return future
        if events and roll < malice.fail + malice.lose:
            bus.lost += 1
            offset = len(partitions[number])
        elif events and roll < malice.fail + malice.lose + malice.delay:
            bus.delayed.append((bus.time.seconds + draw.uniform(0, DELAY_SECONDS_MAX), topic, number, key, value))
            offset = len(partitions[number])
        else:
            offset = bus.points.through(
                f"publish to {topic}", lambda: bus.put(topic, number, key, value), lambda: Busy("The broker went away.")
            )
            if draw.random() < malice.repeat:
                offset = bus.put(topic, number, key, value)
        future.set_result(Place(topic, number, offset))
        return future


class HostileReader(MemoryReader):
    """Never waits, and returns as few records as it likes."""

    _bus: HostileBus

    def seek(self, offset: int) -> None:
        first, end = self.beginning_offset(), self.end_offset()
        if not first <= offset <= end:
            raise OffsetGone(f"{self._topic} keeps the offsets {first} to {end}; {offset} is not among them.")
        self._next = offset

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        kept, first = self._kept(), self.beginning_offset()
        if not first <= self._next <= len(kept):
            raise OffsetGone(f"{self._topic} keeps the offsets {first} to {len(kept)}; {self._next} is not among them.")
        few = self._bus.chance("polls").randint(1, max(1, max_records))
        found = [copy(record) for record in kept[self._next : self._next + min(few, max_records)]]
        self._next += len(found)
        return found

    def beginning_offset(self) -> int:
        self._kept()
        return self._bus.first(self._identity, self._partition)

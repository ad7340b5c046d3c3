"""A bus whose readers hold back every record until the start: connecting and claiming are not what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event as Flag
from types import TracebackType
from typing import Self

from tenuto.bus import TOPIC_CONFIG, Bus, BusRecord, Publisher, TopicReader


class HeldBus:
    """`tenuto.bus.Bus` over another one; its readers find nothing before `start` is called."""

    def __init__(self, bus: Bus) -> None:
        """Hold back the records of `bus`."""
        self._bus, self._started = bus, Flag()

    def start(self) -> None:
        """Let the readers read."""
        self._started.set()

    def ensure_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] = TOPIC_CONFIG) -> None:
        """Create what is missing; see `Bus.ensure_topics`."""
        self._bus.ensure_topics(partitions, config)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Bus.partitions`."""
        return self._bus.partitions(topic)

    def publisher(self) -> Publisher:
        """Return a publisher; see `Bus.publisher`."""
        return self._bus.publisher()

    def reader(self, topic: str, partition: int) -> TopicReader:
        """Open a reader that waits for the start; see `Bus.reader`."""
        return HeldReader(self._bus.reader(topic, partition), self._started)


class HeldReader:
    """`tenuto.bus.TopicReader` that finds nothing before the start."""

    def __init__(self, reader: TopicReader, started: Flag) -> None:
        """`started` is set at the start."""
        self._reader, self._started = reader, started

    def seek(self, offset: int) -> None:
        """Continue at `offset`; see `TopicReader.seek`."""
        self._reader.seek(offset)

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        """Return the next records, none before the start; see `TopicReader.poll`."""
        return self._reader.poll(max_records, timeout_ms) if self._started.is_set() else []

    def partition_identity(self) -> str:
        """Return the identity of the partition; see `TopicReader.partition_identity`."""
        return self._reader.partition_identity()

    def beginning_offset(self) -> int:
        """Return the offset of the first kept record; see `TopicReader.beginning_offset`."""
        return self._reader.beginning_offset()

    def end_offset(self) -> int:
        """Return the offset of the next record; see `TopicReader.end_offset`."""
        return self._reader.end_offset()

    def close(self) -> None:
        """Release the connections; see `TopicReader.close`."""
        self._reader.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

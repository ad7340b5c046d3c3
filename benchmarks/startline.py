"""A bus whose readers hold back every record until the start: connecting and claiming are not what is measured."""

from __future__ import annotations

from threading import Event as Flag

from tenuto.bus import Bus, BusRecord, TopicReader


class HeldBus:
    """`tenuto.bus.Bus` as far as ingest needs it; nothing is read before `start` is called."""

    def __init__(self, bus: Bus) -> None:
        """Hold back the records of `bus`."""
        self._bus, self._started = bus, Flag()

    def start(self) -> None:
        """Let the readers read."""
        self._started.set()

    def partitions(self, topic: str) -> int:
        """Return the number of partitions."""
        return self._bus.partitions(topic)

    def reader(self, topic: str, partition: int) -> TopicReader:
        """Open a reader that waits for the start."""
        return HeldReader(self._bus.reader(topic, partition), self._started)


class HeldReader:
    """`tenuto.bus.TopicReader` that finds nothing before the start."""

    def __init__(self, reader: TopicReader, started: Flag) -> None:
        """`started` is set at the start."""
        self._reader, self._started = reader, started
        self.seek, self.close = reader.seek, reader.close
        self.partition_identity = reader.partition_identity
        self.beginning_offset, self.end_offset = reader.beginning_offset, reader.end_offset

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        """Return the next records, none before the start."""
        return self._reader.poll(max_records, timeout_ms) if self._started.is_set() else []

"""A batch as `adapters/kafka_records` takes it apart is the batch as kafka-python takes it apart; damage is never passed over."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import encode_varint
from tenuto.adapters.kafka_records import Records, read
from tenuto.bus import BusRecord

PLACE = TopicPartition("tenuto.events", 3)
GZIP = 1
nullable = st.none() | st.binary(max_size=400)
headers = st.lists(st.tuples(st.text(max_size=20), nullable), max_size=3)
contents = st.lists(st.tuples(nullable, nullable, headers, st.integers(0, 2**40)), min_size=1, max_size=8)


def batch_of(records: list[tuple[Any, Any, Any, int]], compression: int = 0, magic: int = 2) -> bytes:
    """One batch as a producer sends it."""
    builder = MemoryRecordsBuilder(magic=magic, compression_type=compression, batch_size=1 << 20)
    for key, value, more, timestamp in records:
        builder.append(timestamp=timestamp, key=key, value=value, headers=more)
    builder.close()
    return bytes(builder.buffer())


def ours(data: bytes, start: int = 0) -> list[BusRecord]:
    return list(Records(start, PLACE, MemoryRecords(data)).take())


def theirs(data: bytes, start: int = 0) -> list[BusRecord]:
    return [
        BusRecord(
            one.topic, one.partition, one.offset, one.key or b"", one.value or b"",
            tuple((name, content or b"") for name, content in one.headers), one.timestamp,
        )
        for one in Fetcher.PartitionRecords(start, PLACE, MemoryRecords(data)).take()
    ]  # fmt: skip


@given(contents)
def test_every_field_is_what_the_library_reads(records: list[tuple[Any, Any, Any, int]]) -> None:
    data = batch_of(records)
    assert ours(data) == theirs(data)


def test_records_of_every_length_at_the_borders_of_the_numbers_are_the_same() -> None:
    lengths = [0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193, 70_000]
    data = batch_of([(os.urandom(n % 100), os.urandom(n), [], 10**12 + n * 9973) for n in lengths])
    assert ours(data) == theirs(data)
    assert [len(one.value) for one in ours(data)] == lengths


@pytest.mark.parametrize(("compression", "magic"), [(GZIP, 2), (0, 1), (GZIP, 1), (0, 0)])
def test_a_compressed_batch_or_one_of_an_old_format_is_read_as_well(compression: int, magic: int) -> None:
    data = batch_of([(b"key", b"value %d" % n, [], 10**12 + n) for n in range(5)], compression, magic)
    assert [one.value for one in ours(data)] == [b"value %d" % n for n in range(5)]
    assert [one.value for one in ours(data, start=3)] == [b"value 3", b"value 4"]


def test_reading_begins_inside_a_batch_and_goes_on_after_its_end() -> None:
    first = batch_of([(b"k", b"%d" % n, [], n) for n in range(6)])
    records = Records(2, PLACE, MemoryRecords(first))
    assert [one.value for one in records.take(3)] == [b"2", b"3", b"4"]
    assert records.next_fetch_offset == 5
    assert [one.value for one in records.take(3)] == [b"5"]
    assert records.next_fetch_offset == 6


def test_a_batch_that_fails_its_checksum_is_refused_before_anything_is_read() -> None:
    data = bytearray(batch_of([(b"k", b"value", [], 1)]))
    data[-3] ^= 1
    with pytest.raises(CorruptRecordError, match="CRC"):
        ours(bytes(data))


class Plain:
    """A batch whose checksum is right and whose records need not be; what `read` looks at."""

    def __init__(self, records: bytes, count: int) -> None:
        self._buffer, self._pos, self.records_count = bytearray(records), 0, count
        self.first_timestamp = self.max_timestamp = self.base_offset = self.timestamp_type = 0


def number(value: int) -> bytes:
    made = bytearray()
    encode_varint(value, made.append)
    return bytes(made)


def record(value: bytes, *, length: int | None = None, value_length: int | None = None, count: int = 0) -> bytes:
    """One record without a key, with what it says of its own lengths."""
    body = b"\0" + number(0) + number(0) + number(-1) + number(len(value) if value_length is None else value_length) + value + number(count)
    return number(len(body) if length is None else length) + body


def test_the_record_that_the_damaged_ones_are_made_of_is_whole() -> None:
    assert [one.value for one in read(Plain(record(b"abc") + record(b""), 2), "topic", 0)] == [b"abc", b""]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (record(b"abc") + b"\0", 1),
        (record(b"abc"), 2),
        (record(b"abc", length=100), 1),
        (record(b"abc", length=2), 1),
        (record(b"abc", value_length=4000), 1),
        (record(b"abc", value_length=2), 1),
        (record(b"abc", count=-1), 1),
        (record(b"abc", count=2**40), 1),
        (record(b"abc")[:-2], 1),
        (b"\xff" * 30, 1),
        (b"", 1),
    ],
)
def test_records_that_do_not_add_up_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(CorruptRecordError, match="add up"):
        list(read(Plain(data, count), "topic", 0))

"""Record batches of Kafka's format 2, taken apart in one pass, in the place of what kafka-python 3.0.12 does for each record.

The library builds two objects of its own for a record, with a function call for each of its seven numbers, before ours is made
of them; together that cost as much as decoding the event. Here a batch that is plain, which is every batch of ours, is read
straight into `BusRecord`. A compressed batch, or one of an older format, is left to the library. What is checked is the same: the CRC of
each batch, that each record fills exactly its length, and that nothing is left over.

See the comments in Apache Kafka's DefaultRecordBatch.java and DefaultRecord.java for the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.record.util import decode_varint

from ..bus import BusRecord

_PLAIN_FORMAT = 2


class Records(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is not typed
    """What a fetch brought of one partition; the fetcher takes `BusRecord`s out of it."""

    def _unpack_records(self, tp: Any, records: Any, *_: Any) -> Iterator[BusRecord]:
        """Yield them in order; after each, `next_fetch_offset` is where to read on. Raises CorruptRecordError."""
        batch = records.next_batch()
        while batch is not None:
            if self.check_crcs and not batch.validate_crc():
                raise kafka_errors.CorruptRecordError(f"The batch at offset {batch.base_offset} of {tp} fails its CRC.")
            plain = batch.magic == _PLAIN_FORMAT
            if plain:
                self.leader_epoch = batch.leader_epoch
            if not (plain and batch.is_control_batch):
                for record in read(batch, *tp) if plain and not batch.compression_type else _unpacked(batch, *tp):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            if plain:  # its last record may be gone, and its offset is passed all the same
                self.next_fetch_offset = batch.next_offset
            batch = records.next_batch()
        self.drain()


def read(batch: Any, topic: str, partition: int) -> Iterator[BusRecord]:
    """Yield the records of an uncompressed batch of format 2; raises CorruptRecordError where they do not add up."""
    data, at = bytes(batch._buffer), batch._pos
    first, base = batch.first_timestamp, batch.base_offset
    appended = batch.max_timestamp if batch.timestamp_type else None
    try:
        for _ in range(batch.records_count):
            length, at = _number(data, at)
            end = at + length
            late, at = _number(data, at + 1)  # behind one byte of attributes, which have no meaning yet
            number, at = _number(data, at)
            key, at = _bytes(data, at)
            value, at = _bytes(data, at)
            headers: tuple[tuple[str, bytes], ...] = ()
            if data[at]:
                headers, at = _headers(data, at)
            else:
                at += 1
            if at != end or end > len(data):
                raise ValueError(f"a record of {length} bytes ends after {at - end + length}")
            yield BusRecord(topic, partition, base + number, key, value, headers, first + late if appended is None else appended)
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes are left over")
    except (ValueError, IndexError) as error:
        raise kafka_errors.CorruptRecordError(f"The batch at offset {base} does not add up: {error}.") from error


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of Kafka's (zigzag, seven bits a byte) and where it ends."""
    low = data[at]
    if low < 0x80:
        return low >> 1 ^ -(low & 1), at + 1
    high = data[at + 1]
    if high < 0x80:
        low = high << 7 | low & 0x7F
        return low >> 1 ^ -(low & 1), at + 2
    number, end = decode_varint(data, at)
    return int(number), int(end)


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Return what stands behind its length, b"" where nothing does, and where it ends."""
    length, at = _number(data, at)
    return (data[at : at + length], at + length) if length > 0 else (b"", at)


def _headers(data: bytes, at: int) -> tuple[tuple[tuple[str, bytes], ...], int]:
    count, at = _number(data, at)
    if not 0 <= count <= len(data):
        raise ValueError(f"a record has {count} headers")
    headers = []
    for _ in range(count):
        name, at = _bytes(data, at)
        content, at = _bytes(data, at)
        headers.append((name.decode("utf-8"), content))
    return tuple(headers), at


def _unpacked(batch: Any, topic: str, partition: int) -> Iterator[BusRecord]:
    """Yield the records of any other batch, as the library reads them; the old formats have a CRC for each."""
    for one in batch:
        if not one.validate_crc():
            raise kafka_errors.CorruptRecordError(f"The record at offset {one.offset} of {topic} fails its CRC.")
        headers = tuple((name, content or b"") for name, content in one.headers)
        yield BusRecord(topic, partition, one.offset, one.key or b"", one.value or b"", headers, one.timestamp)

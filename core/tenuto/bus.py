"""The bus, as the road sees it: named topics of ordered partitions that can be read again from any offset.

Two things are demanded of a bus and no more: it keeps the order within a partition, and a partition has an identity
that changes when its topic is made anew. It is not trusted to keep anything: its acknowledgement is not a receipt.
Readers choose their partition and keep their own offset beside what they made of the records, so there are no groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import msgspec

from .envelope import RECORD_BYTES_MAX
from .errors import NotConfigured, Refused, TenutoError

ENCLOSURE_BYTES_MAX = 16 * 1024  # what delivery adds to a record: position, checkpoint, a proof of at most 64 hashes
VALUE_BYTES_MAX = RECORD_BYTES_MAX + ENCLOSURE_BYTES_MAX
KEY_BYTES_MAX = 256
HEADERS_BYTES_MAX = 1024
BATCH_OVERHEAD_BYTES_MAX = 512
MESSAGE_BYTES_MAX = VALUE_BYTES_MAX + KEY_BYTES_MAX + HEADERS_BYTES_MAX + BATCH_OVERHEAD_BYTES_MAX

Headers = Sequence[tuple[str, bytes]]

# What a topic of ours needs from a broker. Records stay until somebody decides otherwise: the spool of an author and
# the offset of a reader may be arbitrarily old.
TOPIC_CONFIG: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
}


class RecordTooLarge(Refused):
    """A key, value or set of headers is over its limit; nothing was sent."""

    reason = "oversized"


class TopicMissing(NotConfigured):
    """The topic or partition does not exist."""


class TopicChanged(TenutoError):
    """The topic was deleted or made anew since the reader was opened; open a new reader, its identity is another."""


class OffsetGone(TenutoError):
    """The offset is before the first kept record or after the end; reading on would skip records."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a published record lies."""

    topic: str
    partition: int
    offset: int


class BusRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as read. A foreign record without key or value has empty ones. `timestamp` is its author's claim."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    """Milliseconds since 1970 (UTC)."""


class Publisher(Protocol):
    """Writes records. May be used from several threads; records of one thread and one key keep their order."""

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
        """Hand a record to the bus; records of the same key go to the same partition.

        Durable as far as the bus goes once the future has a result, and there exactly once then. Raises RecordTooLarge,
        or Busy when the bus is away, its topic is missing, too much is in flight, or an earlier publication failed and
        `flush` has not been called since: nothing published later overtakes what failed. The future fails with Busy
        when the bus went away meanwhile: the record may be there or not, and publishing it again is right.
        """
        ...

    def flush(self, seconds: float) -> None:
        """Block until every earlier publication is settled, at most `seconds`.

        Raises Busy when time ran out (call it again) or when any publication since the last flush failed (the
        publisher may be used again; publish what failed, and what came after it, in order).
        """
        ...

    def close(self) -> None:
        """Release the connection. What is not settled fails with Busy, so flush first. Harmless when repeated."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        ...


class TopicReader(Protocol):
    """Reads one partition, from its first kept record until `seek` says otherwise. Belongs to one thread."""

    def seek(self, offset: int) -> None:
        """Continue at `offset`, which may be the end. Raises OffsetGone, TopicChanged or Busy."""
        ...

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        """Return the next records in order, none after `timeout_ms` without any; reading the same again is harmless.

        Every record returned lies in the topic that `partition_identity` names. Raises TopicChanged when the topic is
        another by now, OffsetGone when records before the next one were removed, Busy when the bus is away.
        """
        ...

    def partition_identity(self) -> str:
        """`kafka:<cluster id>:<topic id>:<partition>`, as of the opening of this reader; no other topic ever has it."""
        ...

    def beginning_offset(self) -> int:
        """Offset of the first kept record. Raises TopicMissing, TopicChanged or Busy."""
        ...

    def end_offset(self) -> int:
        """Offset that the next published record will have. Raises TopicMissing, TopicChanged or Busy."""
        ...

    def close(self) -> None:
        """Release the connections. Harmless when repeated."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        ...


class Bus(Protocol):
    """One broker or cluster: where publishers and readers come from.

    Everything that goes to the broker raises NotConfigured, naming the account, the topic and what was tried, when the
    broker does not know who this is or does not let it: waiting cures neither.
    """

    def ensure_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] = TOPIC_CONFIG) -> None:
        """Create the topics that are missing; one that exists is left as it is.

        Raises NotConfigured when one exists with another number of partitions (a change would tear sessions apart),
        Busy when the bus is away.
        """
        ...

    def partitions(self, topic: str) -> int:
        """Number of partitions. Raises TopicMissing or Busy."""
        ...

    def publisher(self) -> Publisher:
        """Return a new publisher; it connects at its first use."""
        ...

    def reader(self, topic: str, partition: int) -> TopicReader:
        """Open a reader. Raises TopicMissing or Busy."""
        ...


def demand_fits(key: bytes, value: bytes, headers: Headers) -> int:
    """Return the size of a record in bytes; raises RecordTooLarge, which names the part and its limit."""
    headers_bytes = sum(len(name.encode()) + len(content) for name, content in headers)
    parts = (
        ("value", len(value), VALUE_BYTES_MAX),
        ("key", len(key), KEY_BYTES_MAX),
        ("headers", headers_bytes, HEADERS_BYTES_MAX),
    )
    for name, size, limit in parts:
        if size > limit:
            raise RecordTooLarge(f"The {name} of the record: {size:,} bytes; at most {limit:,} travel on the bus.")
    return len(value) + len(key) + headers_bytes

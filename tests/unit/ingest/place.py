"""A bus, a ledger and an ingest between them, all in memory, and what the tests of ingest do with them."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.memory import MemoryLedger, Rows
from tenuto.bus import BusRecord
from tenuto.envelope import Envelope
from tenuto.ingest import Ingest
from tenuto.settings import EVENTS_TOPIC
from tenuto.verification import Verified

from tests.check_ledger import check_ledger
from tests.doubles import MemoryBus, StoppedClock
from tests.written import STORAGE_KEY, TRUST, Author, Written, genesis, judge


class Place:
    """A bus, a ledger and an ingest between them; `events` checks the whole ledger each time it is asked."""

    def __init__(self, *, partitions: int = 1, founded: bool = True, rows: Rows | None = None, **limits: Any) -> None:
        self.bus, self.clock, self.limits = MemoryBus(), StoppedClock(), limits
        self.bus.ensure_topics({EVENTS_TOPIC: partitions})
        self.store = MemoryLedger(rows or Rows())
        self.ingest = self.start(self.store)
        self.root = Author("root")
        if founded:
            self.bring(*genesis(self.root))

    def start(self, store: Any, **limits: Any) -> Ingest:
        return Ingest(
            self.bus, store, judge=judge(**(self.limits | limits)), root_public_key=TRUST.root, clock=self.clock,
            share=(EVENTS_TOPIC, None),
        )  # fmt: skip

    def restart(self, **limits: Any) -> None:
        """The process dies and another begins, on the same bus and rows."""
        self.store.close()
        self.store = MemoryLedger(self.store.rows)
        self.ingest = self.start(self.store, **limits)

    def publish(self, *records: Written | bytes, partition: int = 0) -> None:
        kept = self.bus.topic(EVENTS_TOPIC)[1][partition]
        for one in records:
            value = one if isinstance(one, bytes) else one.record
            kept.append(BusRecord(EVENTS_TOPIC, partition, len(kept), b"", value, (), 0))

    def bring(self, *records: Written | bytes) -> int:
        self.publish(*records)
        return self.ingest.step()

    def events(self) -> list[Verified]:
        return check_ledger(self.store, TRUST, storage_key=STORAGE_KEY)

    def said(self, kind: type[Any]) -> list[Any]:
        return [one.event for one in self.events() if isinstance(one.event, kind)]

    def session(self, author: Author) -> list[int]:
        return [one.event.seq for one in self.events() if one.event.session == author.session]


def opened(place: Place, name: str = "deployment") -> Author:
    author = Author(name)
    place.bring(author.open())
    return author


def other_than(author: Author, one: Written, **changes: Any) -> Written:
    """Another event of the author for the place of `one`."""
    twin = Author(author.name, signer=author.signer)
    twin.session, twin.seq, twin.prev = one.event.session, one.event.seq - 1, one.event.prev
    return twin.write(**({"call": "another-call"} | changes))


def record_of(event: Written, **parts: Any) -> bytes:
    """The record with another header, signature, epoch or payload."""
    whole = {"header": event.envelope.header, "signature": event.envelope.signature, "epoch": event.envelope.epoch}
    return Envelope(**(whole | {"sealed": event.envelope.sealed} | parts)).to_bytes()

"""A log without an end, made as it is read, or read from where it was made before (`prepared`).

Twelve sessions of three authors speak in turns, 64 decisions with small payloads under one signature each. Every session
ends after some thousands of events and is followed by another, as processes come and go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count, cycle
from typing import Any, NamedTuple, Protocol, Self
from uuid import UUID

from nacl import bindings
from tenuto.bus import BusRecord, Headers, Place
from tenuto.clock import SystemClock, new_uuid7
from tenuto.envelope import parse
from tenuto.events import SessionClosed, SessionOpened
from tenuto.ledger import Batch, Head, Parked, Recorded, SessionHead
from tenuto.log.merkle import Frontier, leaf_hashes
from tenuto.log.note import NoteSigner
from tenuto.sheaf import SHEAF_HEADERS_MAX
from tenuto.signing import SeedSigner
from tenuto.trust import Trust

from .authors import AGENTS, SESSIONS_OF_AGENT, Author, founding

ORIGIN = "localhost/endless"
SHEAVES_OF_SESSION = 128
PAYLOAD = b"because"
EPOCH_PUBLIC_KEY, EPOCH_SECRET = bindings.crypto_box_seed_keypair(bytes(32))
SIGNERS = {name: SeedSigner(name, bytes([number]) * 32) for number, name in enumerate(("ingest", *AGENTS), start=1)}
ROOT = SeedSigner("root", bytes(32))
LOG = NoteSigner(ORIGIN, b"l" * 32)
TRUST = Trust(
    origin=ORIGIN, root_public_key=ROOT.public_key.hex(), log_key=LOG.vkey, policy="", epoch=1,
    epoch_public_key=EPOCH_PUBLIC_KEY.hex(),
)  # fmt: skip


class Made(NamedTuple):
    """One record and the key under which it is published."""

    key: bytes
    record: bytes


class Records(Protocol):
    """Where the records of such a log come from."""

    def take(self, events: int) -> Sequence[Made]:
        """Return the next ones, never the same twice."""
        ...


class Endless:
    """The records of such a log, signed as they are asked for (`Records`)."""

    def __init__(self) -> None:
        """Begin with the founding: the root lets the authors in."""
        self._written = deque(founding(self._author(ROOT), SIGNERS))
        self._turns = cycle([self._lives(SIGNERS[name]) for name in AGENTS for _ in range(SESSIONS_OF_AGENT)])

    def take(self, events: int) -> list[Made]:
        """Return the next ones."""
        while len(self._written) < events:
            self._written += next(next(self._turns))
        return [Made(one.key, one.record) for one in (self._written.popleft() for _ in range(events))]

    @staticmethod
    def _author(signer: SeedSigner) -> Author:
        return Author(signer, TRUST, new_uuid7, SystemClock().now())

    def _lives(self, signer: SeedSigner) -> Any:
        while True:
            author = self._author(signer)
            yield [author.write(SessionOpened, software="benchmark/1")]
            for _ in range(SHEAVES_OF_SESSION):
                yield author.write_sheaf(SHEAF_HEADERS_MAX, PAYLOAD)
            yield [author.write(SessionClosed, outcome="completed")]


class EndlessTopic:
    """`tenuto.bus.Bus` with one topic of one partition, which brings an endless log, and inboxes that keep nothing."""

    def __init__(self, records: Records) -> None:
        """At the first record."""
        self._records, self._offset, self._places = records, 0, count()

    def partitions(self, topic: str) -> int:
        """One."""
        return 1

    def ensure_topics(self, partitions: Any, config: Any = None) -> None:
        """Every topic is there."""

    def publisher(self) -> EndlessTopic:
        """Return itself, which forgets."""
        return self

    def reader(self, topic: str, partition: int) -> EndlessTopic:
        """Return itself."""
        return self

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
        """Forget the record and say that it is there."""
        future = Future[Place]()
        future.set_result(Place(topic, 0, next(self._places)))
        return future

    def flush(self, seconds: float) -> None:
        """Nothing is on its way."""

    def partition_identity(self) -> str:
        """Return the one identity."""
        return "kafka:endless:1:0"

    def seek(self, offset: int) -> None:
        """Stand where it stands; it cannot go back."""
        assert offset == self._offset

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        """Return the next records."""
        made = self._records.take(max_records)
        first, self._offset = self._offset, self._offset + len(made)
        return [BusRecord("tenuto.events", 0, first + n, one.key, one.record, (), 0) for n, one in enumerate(made)]

    def beginning_offset(self) -> int:
        """Return the offset of an empty topic's first record."""
        return 0

    def end_offset(self) -> int:
        """Return the same: inboxes are empty whoever asks."""
        return 0

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""


class ForgettingStore:
    """`tenuto.ledger.LedgerStore` that keeps where everything stands and none of the events."""

    def __init__(self) -> None:
        """Empty."""
        self.size, self._heads = 0, dict[UUID, SessionHead]()

    def head(self) -> Head:
        """Return how many there were."""
        return Head(self.size, b"")

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return nothing: asked only before the first event."""
        assert self.size == 0
        return []

    def append(self, batch: Batch) -> range:
        """Count the events and remember the heads of sessions that go on."""
        for entry in batch.entries:
            self._heads[entry.session] = SessionHead(entry.seq, entry.header_hash, entry.author)
            if entry.kind == "session.closed":
                del self._heads[entry.session]
        first, self.size = self.size, self.size + len(batch.entries)
        return range(first, self.size)

    def claim(self, tracking_name: str) -> int:
        """Return the first offset."""
        return 0

    def session_heads(self, sessions: Sequence[UUID]) -> dict[UUID, SessionHead]:
        """Return the heads of sessions that go on."""
        return {session: self._heads[session] for session in sessions if session in self._heads}

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        """Return nothing: nothing comes twice."""
        return {}

    def parked(self) -> list[Parked]:
        """Return nothing: nothing waits."""
        return []

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return nothing; nobody reads here."""
        return []


class EndlessLedger:
    """`tenuto.ledger.LedgerReader` over an endless log, of which it holds the newest slice."""

    def __init__(self, records: Records) -> None:
        """Empty; `grow` first."""
        self._records, self._clock = records, SystemClock()
        self._slice: list[Recorded] = []
        self._first, self._frontier = 0, Frontier()

    @property
    def size(self) -> int:
        """How many events there are."""
        return self._first + len(self._slice)

    def grow(self, events: int) -> list[Recorded]:
        """Forget the slice, make the next one of so many events, and return it."""
        self._first, now = self.size, self._clock.now()
        made = enumerate(self._records.take(events), start=self._first)
        self._slice = [Recorded(position, now, parse(one.record).state) for position, one in made]
        self._frontier = self._frontier.extend(leaf_hashes(one.entry for one in self._slice))
        return self._slice

    def head(self) -> Head:
        """Return the head over all that there were."""
        return Head(self.size, self._frontier.to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return events of the slice."""
        assert start >= self._first
        return self._slice[start - self._first : start - self._first + limit]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return nothing; nobody asks here."""
        return []

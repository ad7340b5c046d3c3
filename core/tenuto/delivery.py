"""From the ledger to the inboxes: receipts, messages and key news, each with its proof.

What belongs into an inbox is a pure function of the events, so delivery keeps no state of its own: where an inbox
stands is read from its last record, and one that was made anew simply gets everything again. A receiver skips the
positions that it has, and checks everything else for itself; delivery can withhold, but it cannot invent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from . import header as headers
from .bus import Bus, BusRecord, OffsetGone, Place, TopicChanged, TopicMissing, TopicReader
from .enclosure import Enclosure, inbox_topic, parse_enclosure
from .envelope import Envelope, split_state
from .errors import Busy, Refused
from .events import Event, MessageSent, RecordRefused
from .following import Follower
from .keyring import Keyring
from .keytree import StorageKey
from .ledger import LedgerReader, Recorded
from .log.checkpoint import Checkpoint
from .log.proof import HashSource, inclusion_proof, verify_inclusion
from .log.tiles import TileMissing
from .payload import Ciphertext, Sealed, reseal, unwrap_key

PAGE_EVENTS = 200
FLUSH_SECONDS = 10.0
LOOK_SECONDS = 1.0
LOOK_BACK_RECORDS = 16
HASHES_KEPT_MAX = 65_536
UNSETTLED_BYTES_MAX = 16 * 1024 * 1024
WITHOUT_INBOX = "ingest"  # this role writes into the ledger itself and needs no receipt
log = logging.getLogger(__name__)


@dataclass
class Inbox:
    """One author's inbox.

    next_position: the first position not looked at for it. after: one more than the last position in it. last_offset:
    of its last record. identity: None while nobody has looked where the inbox stands.
    """

    author: str
    identity: str | None = None
    next_position: int = 0
    after: int = 0
    last_offset: int = -1
    topic: str = field(init=False)

    def __post_init__(self) -> None:
        self.topic = inbox_topic(self.author)


def readers_of(event: Event, inboxes: Mapping[str, Inbox]) -> Iterable[Inbox]:
    """Return the inboxes that `event` belongs into.

    Its author's, its receiver's, that of the author whose record it refuses; key news belong into all. It depends on
    nothing else, so what an inbox must hold can be told from the ledger.
    """
    if event.kind.startswith("key."):
        return inboxes.values()
    names = (
        event.author,
        event.to if isinstance(event, MessageSent) else None,
        event.claimed_author if isinstance(event, RecordRefused) else None,
    )
    return [inboxes[name] for name in dict.fromkeys(names) if name is not None and name in inboxes]


class Delivery:
    """Keeps all inboxes up to the signed checkpoint. One per log; a second one only doubles what receivers skip."""

    def __init__(
        self, *, follower: Follower, bus: Bus, reader: LedgerReader, hashes: HashSource, storage_key: StorageKey
    ) -> None:
        """`follower` starts before the first event and verifies; `reader` reads the same ledger, `hashes` its tiles."""
        self._follower, self._bus, self._reader, self._storage_key = follower, bus, reader, storage_key
        self._hashes = _Remembered(hashes)
        self._publisher = bus.publisher()
        self._inboxes: dict[str, Inbox] = {}
        self._looked, self._turn, self._unsettled = time.monotonic(), 0, 0

    def step(self) -> int:
        """Deliver what the log signed since, and what a lost inbox lacks; return the number of records published.

        Raises Busy when the bus is away (call again), VerificationFailed when the ledger is not what it claims to be.
        """
        self._storage_key.refresh()
        for _ in self._follower.pages():
            pass  # verified; read again below, so that a caught-up and a new inbox go the same way
        checkpoint = self._follower.checkpoint
        if checkpoint is None:
            return 0
        keys = self._keyring.keys()
        for key in keys:
            if key.role != WITHOUT_INBOX:
                self._inboxes.setdefault(key.author, Inbox(key.author))
        try:
            self._look_at_one()
            self._find_places(checkpoint)
            return self._deliver(checkpoint)
        except Busy:
            # The bus may have lost any of them meanwhile; and it takes nothing before what is on its way is settled.
            self._forget_places()
            with suppress(Busy):
                self._publisher.flush(FLUSH_SECONDS)
            raise

    def close(self) -> None:
        """Let go of the bus."""
        self._publisher.close()

    def _deliver(self, checkpoint: Checkpoint) -> int:
        """Walk from the position that the furthest behind inbox lacks, and give each inbox what belongs to it."""
        delivered = 0
        start = min((inbox.next_position for inbox in self._inboxes.values()), default=checkpoint.size)
        while start < checkpoint.size:
            page = self._reader.read(start, min(PAGE_EVENTS, checkpoint.size - start), payloads=False)
            if not page:
                break
            delivered += self._deliver_page(page, checkpoint)
            start = page[-1].position + 1
        return delivered

    def _deliver_page(self, page: Sequence[Recorded], checkpoint: Checkpoint) -> int:
        sent: list[tuple[Inbox, Future[Place]]] = []
        end = page[-1].position + 1
        for entry in page:
            event = headers.decode(split_state(entry.state)[0])
            readers = [inbox for inbox in readers_of(event, self._inboxes) if inbox.next_position <= entry.position]
            if readers:
                sent += self._publish(entry, event, readers, checkpoint)
        self._publisher.flush(FLUSH_SECONDS)
        self._unsettled = 0
        # The commit point of a page: after a crash before it, all of it is published again and receivers skip it.
        for inbox in self._inboxes.values():
            inbox.next_position = max(inbox.next_position, end)
        for inbox, future in sent:
            self._note_place(inbox, future.result())
        return len(sent)

    def _publish(
        self, entry: Recorded, event: Event, readers: Sequence[Inbox], checkpoint: Checkpoint
    ) -> list[tuple[Inbox, Future[Place]]]:
        assert self._follower.note is not None
        header, signature = split_state(entry.state)
        proof = inclusion_proof(entry.position, checkpoint.size, self._hashes)
        bare = Enclosure(entry.position, 0, entry.recorded_at, self._follower.note, proof, Envelope(header, signature))
        # What was read a second time must still be what was verified the first time.
        verify_inclusion(bare.leaf, entry.position, checkpoint.size, proof, checkpoint.root)
        sent = []
        for inbox in readers:
            envelope = bare.envelope
            if isinstance(event, MessageSent) and event.to == inbox.author and event.has_payload:
                envelope = msgspec.structs.replace(envelope, sealed=self._sealed_to(inbox.author, entry.position, event))
            record = replace(bare, after=inbox.after, envelope=envelope).to_bytes()
            self._make_way(len(record))
            sent.append((inbox, self._publisher.publish(inbox.topic, inbox.author.encode(), record)))
            inbox.after = entry.position + 1
        return sent

    def _make_way(self, size: int) -> None:
        """Let the bus settle what it has before it gets too much at once."""
        self._unsettled += size
        if self._unsettled > UNSETTLED_BYTES_MAX:
            self._publisher.flush(FLUSH_SECONDS)
            self._unsettled = size

    def _sealed_to(self, author: str, position: int, event: MessageSent) -> Sealed | None:
        """Return the payload with its key sealed to the receiver; None when it is gone, which the receiver will see."""
        (entry,) = self._reader.read(position, 1)
        stored = entry.payload
        if stored is None or event.payload_commit is None:
            log.warning("The message at position %s goes to %s without its payload, which is gone.", position, author)
            return None
        try:
            receiver = self._keyring.current(author)
            key = unwrap_key(stored.wrapped_key, self._storage_key, bytes.fromhex(event.payload_commit))
        except Refused as refusal:
            log.error("The message at position %s goes to %s without its payload: %s", position, author, refusal)
            return None
        return Sealed(reseal(key, receiver.public_key), Ciphertext(stored.nonce, stored.body))

    @property
    def _keyring(self) -> Keyring:
        return self._follower.walk.keyring

    def _note_place(self, inbox: Inbox, place: Place) -> None:
        if place.offset <= inbox.last_offset:
            log.warning("%s was made anew meanwhile; it gets everything again.", inbox.topic)
            inbox.next_position = inbox.after = 0
        inbox.last_offset = place.offset

    def _find_places(self, checkpoint: Checkpoint) -> None:
        """Learn where each inbox stands that nobody has looked at since it was new or may have been lost."""
        unknown = [inbox for inbox in self._inboxes.values() if inbox.identity is None]
        if not unknown:
            return
        self._bus.ensure_topics({inbox.topic: 1 for inbox in unknown})
        for inbox in unknown:
            try:
                self._find_place(inbox, checkpoint)
            except (TopicMissing, TopicChanged, OffsetGone) as change:
                raise Busy(f"{inbox.topic} changed while it was being read: {change}") from change

    def _find_place(self, inbox: Inbox, checkpoint: Checkpoint) -> None:
        """Read the first and the last records of the topic: one that begins in the middle gets everything again."""
        with self._bus.reader(inbox.topic, 0) as reader:
            first, end = reader.beginning_offset(), reader.end_offset()
            inbox.after, inbox.last_offset = 0, end - 1
            if first < end and (first > 0 or self._begins(_read(reader, 0, 1))):
                last = _read(reader, max(first, end - LOOK_BACK_RECORDS), end)
                inbox.after = max(self._after(record.value, checkpoint) for record in last)
            inbox.next_position = inbox.after
            inbox.identity = reader.partition_identity()

    def _begins(self, first: Sequence[BusRecord]) -> bool:
        try:
            return parse_enclosure(first[0].value).after == 0
        except Refused:
            return False

    def _after(self, value: bytes, checkpoint: Checkpoint) -> int:
        """Return the position after that of a record which delivery wrote once; 0 for what somebody else put there."""
        try:
            told = parse_enclosure(value)
            if told.position >= checkpoint.size:
                raise Refused(f"it claims position {told.position} of a log of {checkpoint.size} events.")
            proof = inclusion_proof(told.position, checkpoint.size, self._hashes)
            verify_inclusion(told.leaf, told.position, checkpoint.size, proof, checkpoint.root)
        except Refused as refusal:
            log.warning("Passed over a foreign record in an inbox: %s", refusal)
            return 0
        return told.position + 1

    def _look_at_one(self) -> None:
        """Now and then look whether an inbox is still the topic it was: a broker does not say that it lost all."""
        known = [inbox for inbox in self._inboxes.values() if inbox.identity is not None]
        if not known or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked, self._turn = time.monotonic(), self._turn + 1
        inbox = known[self._turn % len(known)]
        try:
            with self._bus.reader(inbox.topic, 0) as reader:
                identity = reader.partition_identity()
        except TopicMissing:
            identity = None
        if identity != inbox.identity:
            log.warning("%s is not the topic that it was; looking at all inboxes again.", inbox.topic)
            self._forget_places()

    def _forget_places(self) -> None:
        for inbox in self._inboxes.values():
            inbox.identity = None


def _read(reader: TopicReader, start: int, end: int) -> list[BusRecord]:
    """Return the records from offset `start` to before `end`; raises Busy when they do not come."""
    reader.seek(start)
    found: list[BusRecord] = []
    while not found or found[-1].offset + 1 < end:
        records = reader.poll(end - start, int(FLUSH_SECONDS * 1000))
        if not records:
            raise Busy("The last records of an inbox do not come.")
        found += records
    return [record for record in found if record.offset < end]


class _Remembered:
    """A hash source that remembers: the root of a complete subtree never changes."""

    def __init__(self, source: HashSource) -> None:
        self.hash_at: Callable[[int, int], bytes] = lru_cache(maxsize=HASHES_KEPT_MAX)(self._read)
        self._source = source

    def _read(self, level: int, index: int) -> bytes:
        try:
            return self._source.hash_at(level, index)
        except TileMissing:
            # A tile that was completed while we looked took the place of its partial ones.
            return self._source.hash_at(level, index)

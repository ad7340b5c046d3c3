"""The way back: receipts for what this author recorded, messages addressed to it, and news of everybody's keys.

The inbox lies on a bus that nobody trusts, so every record is checked here before anything is made of it, by the
steps of `tenuto.verification`: (7) the log signed the checkpoint, (9) which is not older than the last one seen, (6)
the leaf is in its tree, (1) the event decodes and is of this log, (2) its key was its author's and entitled, by a
ring folded from the verified `key.*` events that came before, (3) the signature holds, the event is meant for this
author, and (5) a message's payload opens and is what its header commits to. What fails before (5) is nobody's and
moves no position. The records of an inbox are chained by position, so that what was damaged or left out stops the
inbox instead of passing unnoticed: it may have been the revocation of a key. What no receiver can see is that the end
is withheld; the full log is for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from . import header as headers
from .bus import BusRecord, OffsetGone, TopicChanged, TopicMissing, TopicReader
from .enclosure import DeliveryRefused, Enclosure, parse_enclosure, refusing, verify_enclosure
from .envelope import parse, split_state
from .errors import Busy, Refused
from .events import Event, MessageSent, RecordLost, RecordRefused, RecordUnaccounted, SessionClosed, SessionOpened
from .keyring import Key, Keyring
from .payload import open_payload
from .signing import Signer, verify_header
from .spool import InboxState, Spool
from .trust import Trust

POLL_RECORDS_MAX = 100
POLL_SECONDS = 0.25
PAUSE_SECONDS = 0.05
RECEIPTS_KEPT_MAX = 10_000
REFUSALS_KEPT_MAX = 100
log = logging.getLogger(__name__)

Found = TypeVar("Found")


class Receiver(Signer, Protocol):
    """A signer that can also open what was sealed to its signing key."""

    def open_seal(self, sealed_key: bytes) -> bytes:
        """Return the payload key that `payload.reseal` sealed to this author; raises PayloadRefused if it was not."""
        ...


class RecordRefusedByLedger(Refused):
    """Ingest refused a record of this author for good, and put its reason on record at `position`."""

    def __init__(self, event: UUID, reason: str, position: int) -> None:
        """`reason` is an entry of `tenuto.events.record.RefusalReason`."""
        sentence = (
            f"The ledger refused the event {event} ({reason}) at position {position}. It is not sent again."
        )
        super().__init__(sentence, reason=reason)
        self.event, self.position = event, position


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an event stands in the ledger and since when; proven by the log's signature before it is handed out."""

    position: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """A verified message to this author. `key` is the sender's as it was at that position."""

    position: int
    recorded_at: datetime
    event: MessageSent
    payload: bytes | None
    key: Key


Verdict = Receipt | RecordRefusedByLedger


@dataclass
class _Batch:
    """What one poll changes; becomes true when its transaction commits."""

    ring: Keyring
    state: InboxState
    receipts: dict[UUID, Receipt] = field(default_factory=dict)
    refusals: list[DeliveryRefused] = field(default_factory=list)


class Mailbox:
    """One author's inbox. Any thread may call: one of them reads the bus, the others wait for what it brings."""

    def __init__(self, *, signer: Receiver, trust: Trust, open_reader: Callable[[], TopicReader], spool: Spool) -> None:
        """`open_reader` opens partition 0 of `inbox_topic(author)`, and again whenever the topic was made anew.

        The spool is this author's. Raises NotConfigured when it is another's, Refused when the keys in it do not hold.
        """
        self.author = signer.author
        self.renewals = 0
        self._signer, self._trust, self._open_reader, self._spool = signer, trust, open_reader, spool
        spool.claim(signer.author, trust.origin, trust.root_public_key)
        self._state = spool.inbox()
        self._ring = _fold(spool.key_news(), trust)
        self._changed = threading.Condition()  # guards everything below and the two above
        self._reading = False
        self._reader: TopicReader | None = None
        self._receipts: OrderedDict[UUID, Receipt] = OrderedDict()
        self._refusals: deque[DeliveryRefused] = deque(maxlen=REFUSALS_KEPT_MAX)

    def next_message(self, seconds: float) -> Delivered | None:
        """Return the oldest message that is not done, the same one until it is; None when none came within `seconds`.

        Raises Busy when the bus is away and nothing is at hand.
        """
        while (record := self.wait_for(self._spool.oldest_message, seconds)) is not None:
            enclosure = parse_enclosure(record)
            event = headers.decode(enclosure.envelope.header)
            assert isinstance(event, MessageSent)
            try:
                with refusing("payload"):
                    payload = self._opened(enclosure, event)
            except DeliveryRefused as refusal:
                # It opened when it came, and the key was replaced since; waiting would hold up every later message.
                with self._changed:
                    self._note_refusal(refusal, enclosure, self._refusals)
                self._spool.remove_message(enclosure.position)
                continue
            with self._changed:
                ring = self._ring.keys()
            key = next(key for key in ring if (key.author, key.key_id) == (event.author, event.key_id))
            return Delivered(enclosure.position, enclosure.recorded_at, event, payload, key)
        return None

    def done(self, delivered: Delivered) -> None:
        """The message is dealt with, for good: it is not handed out again, whatever happens to this process."""
        self._spool.remove_message(delivered.position)

    def pump(self, seconds: float) -> None:
        """Take in what the inbox holds, waiting at most `seconds` for it. Raises Busy when the bus is away."""
        before = self._state
        self.wait_for(lambda: self._state if self._state is not before else None, seconds)

    def verdict(self, event: UUID) -> Verdict | None:
        """Return what the ledger said about an event of this author: recorded, refused, or nothing yet.

        The last RECEIPTS_KEPT_MAX receipts of this process are known.
        """
        with self._changed:
            receipt = self._receipts.get(event)
            refused = None if receipt is not None else self._spool.refusal_of(event)
        return receipt if refused is None else RecordRefusedByLedger(event, *refused)

    def take_refusals(self) -> list[DeliveryRefused]:
        """Return the refusals since the last call, oldest first, at most REFUSALS_KEPT_MAX; each is handed out once."""
        with self._changed:
            taken = list(self._refusals)
            self._refusals.clear()
        return taken

    def own_key(self) -> Key | None:
        """Return this author's key as the ledger knows it; None while it is not registered or no longer valid."""
        with self._changed:
            try:
                return self._ring.find(self._signer.author, self._signer.key_id)
            except Refused:
                return None

    def wait_for(self, found: Callable[[], Found], seconds: float) -> Found | None:
        """Read the inbox until `found` returns something, at most `seconds`, and return that; else None.

        The inbox is looked at once even if `seconds` is 0. Raises Busy when the bus is away.
        """
        deadline = time.monotonic() + seconds
        looked = False
        while True:
            with self._changed:
                result = found()
                left = deadline - time.monotonic()
                if result is not None or (left <= 0 and looked):
                    return result
                if self._reading:
                    self._changed.wait(max(left, 0))
                    looked = True
                    continue
                self._reading = True
            try:
                self._take_in(max(0.0, min(left, POLL_SECONDS)))
            finally:
                looked = True
                with self._changed:
                    self._reading = False
                    self._changed.notify_all()

    def close(self) -> None:
        """Let go of the reader; what was taken in is in the spool."""
        with self._changed:
            self._drop_reader()

    def _take_in(self, seconds: float) -> None:
        """Read one batch, alone (`_reading`). After any error the next read begins at what is durable."""
        try:
            self._demand_room()
            if self._reader is None:
                self._reader = self._reader_at_state()
            records = self._reader.poll(POLL_RECORDS_MAX, int(seconds * 1000))
            if records:
                self._settle(records)
        except TopicMissing:
            # The ordinary state before the author's key is registered, and after a broker lost everything.
            self._drop_reader()
            time.sleep(min(seconds, PAUSE_SECONDS))
        except (TopicChanged, OffsetGone) as change:
            log.warning("%s", change)
            self.renewals += 1
            self._drop_reader()
        except BaseException:
            self._drop_reader()
            raise

    def _reader_at_state(self) -> TopicReader:
        reader = self._open_reader()
        identity = reader.partition_identity()
        if identity == self._state.identity:
            try:
                reader.seek(self._state.next_offset)
            except OffsetGone as gone:
                log.warning("%s Reading the inbox from its first record on; what was processed is skipped.", gone)
            return reader
        # Another topic: from its first record. Positions tell what was processed already.
        self.renewals += bool(self._state.identity)
        state = replace(self._state, identity=identity, next_offset=0)
        self._spool.save_inbox(state)
        self._state = state
        return reader

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _demand_room(self) -> None:
        count, size = self._spool.messages()
        if size >= self._spool.bytes_max:
            raise Busy(
                f"The spool of {self.author} holds {count:,} messages of {size:,} bytes. Process some first."
            )

    def _settle(self, records: Sequence[BusRecord]) -> None:
        with self._changed:
            batch = _Batch(self._ring, self._state)
            with self._spool.transaction():
                for record in records:
                    self._take(record, batch)
                self._spool.save_inbox(batch.state)
            # Committed: a crash before this line reads the same records again, one after it goes on behind them.
            self._ring, self._state = batch.ring, batch.state
            self._receipts.update(batch.receipts)
            while len(self._receipts) > RECEIPTS_KEPT_MAX:
                self._receipts.popitem(last=False)
            self._refusals.extend(batch.refusals)

    def _take(self, record: BusRecord, batch: _Batch) -> None:
        """Judge one record, and take what it brings into the batch."""
        batch.state = replace(batch.state, next_offset=record.offset + 1)
        enclosure: Enclosure | None = None
        try:
            with refusing("malformed"):
                enclosure = parse_enclosure(record.value)
            if enclosure.position < batch.state.next_position:
                return  # delivered again
            event, ring, state = verify_enclosure(enclosure, self._trust, batch.ring, batch.state)
            if enclosure.after > state.next_position:
                self._say_hole(enclosure, state)
                return
            # Authentic, so this position is dealt with even if it turns out not to be for us or not to open.
            batch.ring, batch.state = ring, replace(state, next_position=enclosure.position + 1)
            self._sort(enclosure, event, record.value, batch)
        except DeliveryRefused as refusal:
            self._note_refusal(refusal, enclosure, batch.refusals)

    def _say_hole(self, enclosure: Enclosure, state: InboxState) -> None:
        log.error(
            "The inbox of %s has a hole between the positions %s and %s, and stops there. If it does not mend itself, "
            "delete the topic: delivery fills it again.", self.author, state.next_position - 1, enclosure.after - 1,
        )  # fmt: skip

    def _sort(self, enclosure: Enclosure, event: Event, record: bytes, batch: _Batch) -> None:
        """Do what the event calls for; raises DeliveryRefused when it is not for this author, or its payload is not."""
        is_news, is_own = event.kind.startswith("key."), event.author == self.author
        is_message = isinstance(event, MessageSent) and event.to == self.author
        is_refusal = isinstance(event, RecordRefused) and event.claimed_author == self.author
        if not (is_news or is_own or is_message or is_refusal):
            raise DeliveryRefused(f"A {event.kind} of {event.author} is not for {self.author}.", reason="not_addressed")
        if is_message:
            with refusing("payload"):
                self._opened(enclosure, event)
            self._spool.add_message(enclosure.position, record)
        if is_news:
            self._spool.add_key_news(enclosure.position, enclosure.envelope.state)
        if is_own:
            self._take_receipt(enclosure, event, batch)
        if isinstance(event, RecordRefused) and is_refusal:
            self._take_refusal(event, enclosure.position)

    def _take_receipt(self, enclosure: Enclosure, event: Event, batch: _Batch) -> None:
        record = self._spool.record_of(event.id)
        if record is not None and parse(record).state != enclosure.envelope.state:
            log.error(
                "Position %s holds another event %s than this recorder wrote, under its author's signature. Another "
                "has the key %s: revoke it.", enclosure.position, event.id, event.key_id,
            )  # fmt: skip
            return
        self._spool.remove(event.id)
        self._account(event)
        batch.receipts[event.id] = Receipt(enclosure.position, enclosure.recorded_at)

    def _account(self, event: Event) -> None:
        """Follow this author's sessions that another spool wrote; see `accounting`."""
        self._spool.note_elsewhere(event.session, event.seq, closed=isinstance(event, SessionClosed))
        if isinstance(event, (RecordLost, RecordUnaccounted)):
            self._spool.told(event.lost_session)
        if isinstance(event, SessionOpened) and self._spool.wrote(event.session):
            self._spool.judge_elsewhere()

    def _take_refusal(self, event: RecordRefused, position: int) -> None:
        refused = self._spool.refuse(bytes.fromhex(event.record_sha256), event.reason, position)
        if refused is None:
            log.warning(
                "Position %s refuses a record in the name of %s that is not in this spool.", position, self.author
            )
        else:
            log.error("%s", RecordRefusedByLedger(refused, event.reason, position))

    def _note_refusal(
        self, refusal: DeliveryRefused, enclosure: Enclosure | None, refusals: list[DeliveryRefused] | deque[DeliveryRefused]
    ) -> None:
        log.warning("Refused a record of the inbox of %s (%s): %s", self.author, refusal.reason, refusal)
        if enclosure is None:
            return
        try:
            event = headers.decode(enclosure.envelope.header)
        except Refused:
            event = None
        if event is None or isinstance(event, MessageSent):
            refusal.position, refusal.message = enclosure.position, None if event is None else event.id
            refusals.append(refusal)

    def _opened(self, enclosure: Enclosure, event: Event) -> bytes | None:
        """Step 5: return the payload of a message; raises PayloadRefused."""
        sealed = enclosure.envelope.sealed
        if event.payload_commit is None or event.payload_len is None:
            if sealed is not None:
                raise Refused("A payload lies beside a message that commits to none.", reason="payload")
            return None
        if sealed is None:
            raise Refused("The message came without its payload.", reason="payload")
        key = self._signer.open_seal(sealed.sealed_key)
        return open_payload(sealed.ciphertext, key, event.payload_commit, event.payload_len)


def _fold(news: Sequence[tuple[int, bytes]], trust: Trust) -> Keyring:
    """Fold the kept key events once more, by the same steps 1 to 3 as when they came."""
    ring = Keyring(trust.root)
    for position, state in news:
        header, signature = split_state(state)
        event = headers.decode(header)
        verify_header(header, signature, ring.verify_entitlement(event).public_key)
        ring.apply(event, position)
    return ring

"""A road in one process: bus in memory, a ledger that is a list, a log that signs it, the real delivery behind it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from nacl import bindings
from tenuto import header as headers
from tenuto.bus import TopicMissing
from tenuto.clock import new_uuid7
from tenuto.delivery import Delivery
from tenuto.enclosure import inbox_topic
from tenuto.envelope import Envelope, parse, split_state
from tenuto.errors import Busy
from tenuto.events import KINDS, Event, KeyRegistered, KeyRevoked, RecordGap, RecordRefused
from tenuto.following import Follower
from tenuto.keytree import KeyTree
from tenuto.ledger import Head, Recorded, SessionHead, StoredPayload
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import Frontier, leaf_hash, node_hash
from tenuto.log.note import NoteSigner
from tenuto.mailbox import Mailbox
from tenuto.payload import SealOpener, wrap_key
from tenuto.recorder import Recorder
from tenuto.settings import EVENTS_TOPIC
from tenuto.signing import SeedSigner, sign_header
from tenuto.spool import Spool
from tenuto.trust import Trust

from tests.doubles import MemoryBus, StoppedClock

ORIGIN = "test.example/log"
STORAGE_KEY = KeyTree.whole(b"s" * 32)
EPOCH_PUBLIC, EPOCH_SECRET = bindings.crypto_box_seed_keypair(b"e" * 32)
LOG = NoteSigner(ORIGIN, b"l" * 32)
ROLES = {"ingest": "ingest", "alice": "agent", "bob": "agent", "mira": "reviewer"}


def signer(author: str) -> SeedSigner:
    """The demo key of an author, always the same."""
    return SeedSigner(author, hashlib.sha256(author.encode()).digest())


TRUST = Trust(
    origin=ORIGIN, root_public_key=signer("root").public_key.hex(), log_key=LOG.vkey, policy="", epoch=1,
    epoch_public_key=EPOCH_PUBLIC.hex(),
)  # fmt: skip


class ListedLedger:
    """A ledger that is a list: reader, checkpoint source and hash source in one. `note` is signed by `seal`."""

    def __init__(self) -> None:
        self.entries: list[Recorded] = []
        self.note: bytes | None = None

    def append(self, header: bytes, signature: bytes, moment: Any, payload: StoredPayload | None = None) -> int:
        self.entries.append(Recorded(len(self.entries), moment, header + signature, payload))
        return len(self.entries) - 1

    def seal(self) -> Checkpoint:
        leaves = [leaf_hash(entry.entry) for entry in self.entries]
        checkpoint = Checkpoint(ORIGIN, len(leaves), Frontier().extend(leaves).root())
        self.note = sign_checkpoint(checkpoint, LOG)
        return checkpoint

    def latest(self) -> bytes | None:
        return self.note

    def head(self) -> Head:
        return Head(len(self.entries), b"")

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        found = self.entries[start : start + limit]
        return found if payloads else [Recorded(one.position, one.recorded_at, one.state) for one in found]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        raise NotImplementedError

    def hash_at(self, level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(self.entries[index].entry)
        return node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))


class Road:
    """Everything between a recorder's bus and its inbox. `carry` moves what waits one whole way round."""

    def __init__(self, partitions: int = 2) -> None:
        """With one partition the order between sessions is that of publication; with more there is none."""
        self.partitions = partitions
        self.clock, self.bus, self.ledger = StoppedClock(), MemoryBus(**{EVENTS_TOPIC: partitions}), ListedLedger()
        self.turn, self.refuse = threading.RLock(), set[str]()
        self._heads: dict[UUID, SessionHead] = {}
        self._direct: dict[str, tuple[UUID, SessionHead]] = {}
        self.sign("root", "session.opened", software="root/1")
        for author, role in ROLES.items():
            self.register(author, role)
        self.delivery = self.new_delivery()

    def new_delivery(self) -> Delivery:
        follower = Follower(self.ledger, self.ledger, TRUST)
        return Delivery(
            follower=follower, bus=self.bus, reader=self.ledger, hashes=self.ledger, storage_key=STORAGE_KEY
        )

    def register(self, author: str, role: str) -> Event:
        key = signer(author)
        return self.sign(
            "root", KeyRegistered, subject=author, subject_key_id=key.key_id, public_key=key.public_key.hex(),
            role=role, owner=f"{author}-owner", insecure_demo=True,
        )  # fmt: skip

    def revoke(self, author: str) -> Event:
        return self.sign("root", KeyRevoked, subject=author, subject_key_id=signer(author).key_id, reason="compromised")

    def sign(self, author: str, kind: type[Event] | str, *, key: SeedSigner | None = None, **fields: Any) -> Event:
        """Put an event straight into the ledger, signed with the author's key or, by a forger, with another."""
        cls, key = KINDS[kind] if isinstance(kind, str) else kind, key or signer(author)
        with self.turn:
            if author not in self._direct:
                self._direct[author] = (new_uuid7(), SessionHead())
                if cls is not KINDS["session.opened"]:
                    self.sign(author, "session.opened", software="direct/1")
            session, head = self._direct[author]
            event = cls(
                v=1, log_origin=ORIGIN, author=author, key_id=key.key_id, session=session, seq=head.seq + 1,
                prev=head.header_hash, at=self.clock.now(), id=new_uuid7(), **fields,
            )  # fmt: skip
            header = headers.encode(event)
            self._direct[author] = (session, SessionHead(event.seq, headers.header_hash(header)))
            self.ledger.append(header, sign_header(key, header), self.clock.now())
            return event

    def ingest(self) -> None:
        """Take in what is on the bus, each event once and in order; kinds named in `refuse` are refused on record."""
        self.bus.ensure_topics({EVENTS_TOPIC: self.partitions})
        for record in self.bus.records(EVENTS_TOPIC):
            envelope = parse(record.value)
            event = headers.decode(envelope.header)
            head = self._heads.get(event.session, SessionHead())
            if event.seq != head.seq + 1 or event.prev != head.header_hash:
                continue  # known, or parked until it comes again
            self._heads[event.session] = SessionHead(event.seq, headers.header_hash(envelope.header))
            if event.kind in self.refuse:
                self.refuse_record(record.value, event)
                self.sign("ingest", RecordGap, gap_session=event.session, first_seq=event.seq, last_seq=event.seq)
            else:
                self.ledger.append(envelope.header, envelope.signature, self.clock.now(), _stored(envelope, event))

    def refuse_record(self, record: bytes, event: Event, reason: str = "entitlement") -> Event:
        return self.sign(
            "ingest", RecordRefused, record_sha256=hashlib.sha256(record).hexdigest(), reason=reason,
            topic=EVENTS_TOPIC, partition=0, offset=0, claimed_author=event.author, claimed_session=event.session,
        )  # fmt: skip

    def carry(self) -> int:
        """Ingest, seal and deliver; returns how many records were delivered."""
        with self.turn:
            self.ingest()
            self.ledger.seal()
            return self.delivery.step()

    def events(self, author: str) -> list[Any]:
        """What stands in the ledger by this author, in order."""
        events = [headers.decode(split_state(entry.state)[0]) for entry in list(self.ledger.entries)]
        return [event for event in events if event.author == author]

    def kinds(self, author: str) -> list[str]:
        return [event.kind for event in self.events(author)]

    def mailbox(self, author: str, spool: Spool) -> Mailbox:
        topic = inbox_topic(author)
        return Mailbox(signer=signer(author), trust=TRUST, open_reader=lambda: self.bus.reader(topic, 0), spool=spool)

    def recorder(self, author: str, spool: Spool, *, receipts: bool = True) -> Recorder:
        """A recorder that is not open yet."""
        recorder = Recorder(
            signer=signer(author), trust=TRUST, publisher=self.bus.publisher(), spool=spool, clock=self.clock,
            new_id=new_uuid7, receipt_seconds=60.0,
        )  # fmt: skip
        if receipts:
            recorder.mailbox = self.mailbox(author, spool)
        return recorder

    @contextmanager
    def at_work(self, folder: Path, author: str = "alice") -> Iterator[Recorder]:
        """An open recorder, while something carries events all the time."""
        with ExitStack() as stack:
            stack.enter_context(self.carrying())
            recorder = stack.enter_context(self.recorder(author, Spool(folder / f"{author}.db")))
            recorder.open("test/1")
            yield recorder

    @contextmanager
    def carrying(self) -> Iterator[None]:
        """Carry events in another thread, as ingest, sealer and delivery would."""
        stop = threading.Event()

        def carry() -> None:
            while not stop.wait(0.005):
                with suppress(Busy, TopicMissing):
                    self.carry()

        thread = threading.Thread(target=carry, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _stored(envelope: Envelope, event: Event) -> StoredPayload | None:
    if envelope.sealed is None or event.payload_commit is None:
        return None
    key = SealOpener(EPOCH_SECRET).open(envelope.sealed)
    box = envelope.sealed.ciphertext
    return StoredPayload(wrap_key(key, STORAGE_KEY, bytes.fromhex(event.payload_commit)), box.nonce, box.body)

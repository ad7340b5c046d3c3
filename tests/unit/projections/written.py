"""A ledger in memory: events built and signed as authors build them, walked and handed out as the follower does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from nacl import bindings
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import StaticPool
from tenuto import header as headers
from tenuto.documents import ApprovalCard, Document, to_payload
from tenuto.envelope import split_state
from tenuto.events import (
    FIRST_PREV,
    ApprovalConsumed,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    KeyRegistered,
    PolicyDecided,
    RecordPurged,
    RunStarted,
    SessionOpened,
    ToolRequested,
    ToolStarted,
)
from tenuto.keyring import Key
from tenuto.keytree import KeyTree
from tenuto.ledger import Recorded, StoredPayload
from tenuto.log.checkpoint import Checkpoint
from tenuto.payload import SealOpener, seal, wrap_key
from tenuto.purges import PURGE_TOOL, Target, purge_digest
from tenuto.signing import SeedSigner, sign_header
from tenuto.trust import Trust
from tenuto.verification import LogWalk, VerificationFailed, Verified
from tenuto_projections.copies import OPTION

from tests.reviewing import CONSOLE, committed, listed, shown

ORIGIN = "tenuto.test/log"
STORAGE_KEY = KeyTree.whole(bytes(range(32)))
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "d" * 64
PURGE_CARD = ApprovalCard(title="Purge", sentence="A payload is made unreadable for ever.")


def uuid(*parts: object) -> UUID:
    """A UUID that is the same in every run of the test."""
    return UUID(bytes=hashlib.sha256(repr(parts).encode()).digest()[:16])


class WrittenLedger:
    """Starts with the root's session; `register` and `write` append signed events, one second apart."""

    def __init__(self) -> None:
        self.entries: list[Recorded] = []
        self.events: list[Event] = []
        self.now = START
        self._heads: dict[str, tuple[UUID, int, str]] = {}
        self._signers = {"root": SeedSigner("root", hashlib.sha256(b"root").digest())}
        self.root_public_key = self._signers["root"].public_key
        self._public, self._secret = bindings.crypto_box_seed_keypair(bytes(32))
        self.open("root")

    def register(self, author: str, role: str, owner: str = "", *, insecure_demo: bool = False) -> None:
        signer = self._signers[author] = SeedSigner(author, hashlib.sha256(author.encode()).digest())
        self.write(
            "root", KeyRegistered, subject=author, subject_key_id=signer.key_id, public_key=signer.public_key.hex(),
            role=role, owner=owner or f"owner-of-{author}", insecure_demo=insecure_demo,
        )  # fmt: skip
        self.open(author)

    def open(self, author: str) -> None:
        self._heads[author] = (uuid(author, len(self.entries)), -1, FIRST_PREV)
        self.write(author, SessionOpened, software="test/1")

    def write(self, author: str, kind: type[Event], document: Document | bytes | None = None, **fields: Any) -> Event:
        """Append one event; `document` becomes its payload, bytes one of the type text/plain."""
        session, seq, prev = self._heads[author]
        payload: StoredPayload | None = None
        if document is not None:
            media, plaintext = to_payload(document) if isinstance(document, Document) else ("text/plain", document)
            sealed, commit = seal(plaintext, self._public)
            key = SealOpener(self._secret).open(sealed)
            box = sealed.ciphertext
            payload = StoredPayload(wrap_key(key, STORAGE_KEY, bytes.fromhex(commit)), box.nonce, box.body)
            fields |= {"payload_type": media, "payload_len": len(plaintext), "payload_commit": commit}
        signer = self._signers[author]
        event = kind(
            v=1, log_origin=ORIGIN, author=author, key_id=signer.key_id, session=session, seq=seq + 1, prev=prev,
            at=self.now, id=uuid("event", len(self.entries)), **fields,
        )  # fmt: skip
        header = headers.encode(event)
        self._heads[author] = (session, seq + 1, headers.header_hash(header))
        self.entries.append(Recorded(len(self.entries), self.now, header + sign_header(signer, header), payload))
        self.events.append(event)
        self.now += timedelta(seconds=1)
        return event

    def forget(self, position: int) -> None:
        """Remove a payload, as a purge does."""
        entry = self.entries[position]
        self.entries[position] = Recorded(entry.position, entry.recorded_at, entry.state)

    def purge(self, *positions: int, approval: str = "purge-1", reason: str = "secret", forget: bool = True) -> Event:
        """Purge these payloads as the log demands it: asked for by a keeper, granted, consumed, started, then told."""
        people = (("keeper", "keeper"), ("warden", "reviewer"), ("second-warden", "reviewer"), (CONSOLE, "console"))
        for author, role in people:
            if author not in self._signers:
                self.register(author, role)
        targets = [Target(position, headers.header_hash(self.header(position))) for position in positions]
        action = {"tool": PURGE_TOOL, "resource": "ledger:test", "digest": purge_digest(ORIGIN, reason, targets)}
        named, call = {"approval": approval, "digest": action["digest"]}, f"call-{approval}"
        self.write("keeper", ToolRequested, call=call, **action)
        decided = self.write(
            "keeper", PolicyDecided, call=call, effect="allow", rules=("keeper.purges",), bundle=DIGEST, engine="cedar",
            obligation="approval_and_one_more",
        )  # fmt: skip
        for part in listed(PURGE_CARD, ("deletion",)):
            self.write("keeper", ApprovalListed, **named, **part)
        asked = self.write(
            "keeper", ApprovalRequested, **action, approval=approval, subject=PURGE_TOOL, initiator="owner-of-keeper",
            quorum=2, expires=self.now + timedelta(hours=1), risks=("deletion",), call=call, cause=(decided.id,),
            **committed(PURGE_CARD, ("deletion",)),
        )  # fmt: skip
        assert isinstance(asked, ApprovalRequested)
        for reviewer in ("warden", "second-warden"):
            views, coverage = shown(self.events, asked, reviewer)
            for view in views:
                self.write(CONSOLE, ApprovalViewed, **view)
            self.write(reviewer, ApprovalSigned, **named, decision="approve", coverage=coverage)
        self.write("keeper", ApprovalConsumed, **named, call=call)
        self.write("keeper", ToolStarted, **action, call=call)
        if forget:
            for position in positions:
                self.forget(position)
        hashes = tuple(target.header_hash for target in targets)
        return self.write(
            "keeper", RecordPurged, approval=approval, positions=positions, header_hashes=hashes, reason=reason
        )

    def header(self, position: int) -> bytes:
        """The signed header at a position."""
        return split_state(self.entries[position].state)[0]

    def walk(self, *, payloads: bool = True) -> LogWalk:
        key = STORAGE_KEY if payloads else None
        return LogWalk(origin=ORIGIN, root_public_key=self.root_public_key, storage_key=key)

    def walk_keys(self) -> Sequence[Key]:
        walk = self.walk()
        walk.take(self.entries)
        return walk.keyring.keys()

    def verified(self) -> list[Verified]:
        return self.walk().take(self.entries)

    @property
    def trust(self) -> Trust:
        return Trust(
            origin=ORIGIN, root_public_key=self.root_public_key.hex(), log_key="", policy="", epoch=1,
            epoch_public_key=self._public.hex(),
        )  # fmt: skip


class MemoryFollower:
    """`Follower` over a `WrittenLedger`: real verification, pages of any size, a checkpoint over all that was written."""

    def __init__(self, ledger: WrittenLedger, page_events: int = 500, *, payloads: bool = True) -> None:
        self.walk = ledger.walk(payloads=payloads)
        self.note: bytes | None = None
        self.checkpoint: Checkpoint | None = None
        self._ledger, self._page_events = ledger, page_events

    def pages(self) -> Iterator[list[Verified]]:
        size = len(self._ledger.entries)
        whole = self._ledger.walk(payloads=False)
        whole.take(self._ledger.entries)
        root = whole.frontier.root()
        while self.walk.size < size:
            page = self.walk.take(self._ledger.entries[self.walk.size : self.walk.size + self._page_events])
            self.checkpoint, self.note = Checkpoint(ORIGIN, size, root), f"{ORIGIN}\n{size}\n".encode()
            yield page


class ForgingFollower(MemoryFollower):
    """Hands out its pages and then finds that the root is not the signed one."""

    def pages(self) -> Iterator[list[Verified]]:
        yield from super().pages()
        raise VerificationFailed(6, "the root is not the one that the log signed")


class StoppedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return START + timedelta(hours=1)


def memory_engine(*metadata: Any) -> Engine:
    """An SQLite database in memory with the schema of the read models."""
    engine = create_engine("sqlite://", poolclass=StaticPool, execution_options={OPTION: STORAGE_KEY})
    with engine.begin() as connection:
        connection.execute(text("ATTACH ':memory:' AS read_model"))
        for tables in metadata:
            tables.create_all(connection)
    return engine


def apply_in_pages(connection: Connection, projection: Any, events: Sequence[Verified], page_events: int) -> None:
    for start in range(0, len(events), page_events):
        projection.apply(connection, events[start : start + page_events])


def start_run(ledger: WrittenLedger, run: str, document: Document | None = None) -> Event:
    return ledger.write("pipeline", RunStarted, document, run=run, workflow="change", base="a" * 40, head="b" * 40)

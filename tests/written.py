"""Signed records as authors write them: one small world with a root, a ledger's keys, and sessions that go on by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from nacl import bindings
from tenuto import header as headers
from tenuto.envelope import Envelope
from tenuto.events import FIRST_PREV, Event, KeyRegistered, SessionOpened, ToolStarted
from tenuto.intake.examining import Examiner
from tenuto.intake.judging import Judge, Limits
from tenuto.intake.testimony import Testimony
from tenuto.intake.vault import Vault
from tenuto.keytree import KeyTree
from tenuto.ledger import Batch, NewEntry, SessionHead, StoredPayload
from tenuto.payload import seal
from tenuto.signing import SeedSigner, sign_header
from tenuto.trust import Trust

from tests.doubles import START

ORIGIN = "tenuto.test/log"
STORAGE_KEY = KeyTree.whole(bytes(range(32)))
EPOCH_PUBLIC, EPOCH_SECRET = bindings.crypto_box_seed_keypair(bytes(32))
EPOCH = 1
DIGEST = "d" * 64
CALL: dict[str, Any] = {"call": "call-1", "tool": "deploy.release", "resource": "service/checkout", "digest": DIGEST}
_NUMBERS = count()


def new_id() -> UUID:
    """Ids in order, as UUIDv7 are, and the same in every run."""
    return UUID(int=0x01900000_0000_7000_8000_000000000000 + next(_NUMBERS))


def signer_of(name: str, key: int = 0) -> SeedSigner:
    """The author's key number `key`."""
    return SeedSigner(name, hashlib.sha256(f"{name}/{key}".encode()).digest())


ROOT = signer_of("root")
TRUST = Trust(
    origin=ORIGIN, root_public_key=ROOT.public_key.hex(), log_key="", policy="", epoch=EPOCH,
    epoch_public_key=EPOCH_PUBLIC.hex(),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """One signed record and what it is made of."""

    event: Event
    envelope: Envelope

    @property
    def record(self) -> bytes:
        return self.envelope.to_bytes()

    @property
    def hash(self) -> str:
        return headers.header_hash(self.envelope.header)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.record).hexdigest()

    def entry(self, payload: StoredPayload | None = None) -> NewEntry:
        event = self.event
        return NewEntry(event.session, event.seq, event.kind, event.author, self.envelope.state, self.hash, payload)


def signed(event: Event, signer: SeedSigner, sealed: Any = None, epoch: int = EPOCH) -> Written:
    header = headers.encode(event)
    return Written(event, Envelope(header, sign_header(signer, header), epoch if sealed else 0, sealed))


class Author:
    """An author's session: every `write` is the next of its chain; `at` places it somewhere else."""

    def __init__(self, name: str, *, signer: SeedSigner | None = None, now: datetime = START) -> None:
        self.name, self.signer, self.now = name, signer or signer_of(name), now
        self.session, self.seq, self.prev = new_id(), -1, FIRST_PREV

    def open(self) -> Written:
        return self.write(SessionOpened, software="test/1")

    def write(self, kind: type[Event] = ToolStarted, payload: bytes | None = None, **changes: Any) -> Written:
        """Sign the next event; without fields it is the start of a tool. Any header field can be given in `changes`."""
        sealed = None
        fields: dict[str, Any] = {
            "v": 1, "log_origin": ORIGIN, "author": self.name, "key_id": self.signer.key_id, "session": self.session,
            "seq": self.seq + 1, "prev": self.prev, "at": self.now, "id": new_id(),
        }  # fmt: skip
        if kind is ToolStarted:
            fields |= CALL
        if payload is not None:
            sealed, commit = seal(payload, EPOCH_PUBLIC)
            fields |= {"payload_type": "text/plain", "payload_len": len(payload), "payload_commit": commit}
        written = signed(kind(**(fields | changes)), self.signer, sealed)
        self.seq, self.prev = written.event.seq, written.hash
        return written

    def session_of(self, events: int) -> list[Written]:
        """A session from its opening on, of so many events."""
        return [self.open(), *(self.write() for _ in range(events - 1))]


def register(root: Author, name: str, role: str, *, signer: SeedSigner | None = None) -> Written:
    key = signer or signer_of(name)
    return root.write(
        KeyRegistered, subject=name, subject_key_id=key.key_id, public_key=key.public_key.hex(), role=role,
        owner=f"owner-of-{name}",
    )  # fmt: skip


def genesis(root: Author) -> list[Written]:
    """The root's first events: its session, and the keys of ingest, two agents and a reviewer."""
    roles = {"ingest": "ingest", "deployment": "agent", "infrastructure": "agent", "demo-reviewer": "reviewer"}
    return [root.open(), *(register(root, name, role) for name, role in roles.items())]


def batch_of(
    written: Sequence[Written], *, folded: int = 0, tracking: tuple[str, int] | None = None, **more: Any
) -> Batch:
    """The batch that brings these in, each session building on what its first event names as predecessor."""
    heads: dict[UUID, SessionHead] = {}
    for one in written:
        event = one.event
        before = SessionHead() if event.seq == 0 else SessionHead(event.seq - 1, event.prev, event.author)
        heads.setdefault(event.session, before)
    fields = {"entries": [one.entry() for one in written], "heads_before": heads, "recorded_at": START}
    return Batch(**(fields | {"keys_folded_to": folded, "tracking": tracking} | more))


def judge(*, pool: Any = None, **limits: Any) -> Judge:
    """A judge for this world, with a session of its own for ingest."""
    return Judge(
        examiner=Examiner(ORIGIN, Vault({EPOCH: EPOCH_SECRET}, STORAGE_KEY), pool),
        testimony=Testimony(signer_of("ingest"), ORIGIN, new_id),
        limits=Limits(**limits),
    )

"""Signed records as authors write them, made ahead of the measurement: what they cost is not the ledger's time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from tenuto import header as headers
from tenuto.clock import NewId
from tenuto.envelope import Envelope
from tenuto.events import FIRST_PREV, DecisionMade, Event, KeyRegistered, SessionOpened, ToolStarted
from tenuto.payload import PayloadSealer, Sealed
from tenuto.signing import SeedSigner, sign_headers
from tenuto.trust import Trust

AGENTS = ("code-review", "infrastructure", "deployment")
SESSIONS_OF_AGENT = 4
PAYLOAD_BYTES = 300
DIGEST = "d" * 64


@dataclass(frozen=True, slots=True)
class Written:
    """One record and the key under which it is published; `stored` is how many bytes of it the ledger keeps."""

    event: Event
    key: bytes
    record: bytes
    stored: int


class Author:
    """One session of one author."""

    def __init__(self, signer: SeedSigner, trust: Trust, new_id: NewId, now: datetime) -> None:
        """`now` is the claimed time of every event."""
        self._signer, self._trust, self._new_id, self._now = signer, trust, new_id, now
        self._sealer = PayloadSealer(bytes.fromhex(trust.epoch_public_key))
        self._session, self._seq, self._prev = new_id(), 0, FIRST_PREV

    def write(self, kind: type[Event] = ToolStarted, payload: bytes | None = None, **fields: Any) -> Written:
        """Sign the next event of the session; without a kind it is the start of a tool."""
        if kind is ToolStarted:
            fields |= {"call": f"call-{self._seq}", "tool": "deploy.release", "resource": "service/checkout", "digest": DIGEST}
        return self._signed([self._next(kind, payload, fields)])[0]

    def write_sheaf(self, events: int, payload: bytes | None = None) -> list[Written]:
        """Sign so many decisions with one signature."""
        about = {
            "subject": "commit", "subject_digest": DIGEST, "verdict": "comment", "model": "scripted-model/1",
            "findings": 3, "confidence": 900,
        }  # fmt: skip
        return self._signed([self._next(DecisionMade, payload, dict(about)) for _ in range(events)])

    def _next(self, kind: type[Event], payload: bytes | None, fields: dict[str, Any]) -> tuple[Event, bytes, Sealed | None]:
        """Return the next event of the session with its header and its payload."""
        sealed = None
        if payload is not None:
            sealed, commit = self._sealer.seal(payload)
            fields |= {"payload_type": "application/json", "payload_len": len(payload), "payload_commit": commit}
        event = kind(
            v=1, log_origin=self._trust.origin, author=self._signer.author, key_id=self._signer.key_id,
            session=self._session, seq=self._seq, prev=self._prev, at=self._now, id=self._new_id(), **fields,
        )  # fmt: skip
        header = headers.encode(event)
        self._seq, self._prev = self._seq + 1, headers.header_hash(header)
        return event, header, sealed

    def _signed(self, told: list[tuple[Event, bytes, Sealed | None]]) -> list[Written]:
        written = []
        signatures = sign_headers(self._signer, [header for _, header, _ in told])
        for (event, header, sealed), signature in zip(told, signatures, strict=True):
            envelope = Envelope(header, signature, self._trust.epoch if sealed else 0, sealed)
            body = 0 if sealed is None else len(sealed.ciphertext.body) + len(sealed.ciphertext.nonce)
            written.append(Written(event, self._session.bytes, envelope.to_bytes(), len(envelope.state) + body))
        return written


def founding(root: Author, signers: dict[str, SeedSigner]) -> list[Written]:
    """Return the root's events that let these authors in; `ingest` has its own role, all others are agents."""
    opened = root.write(SessionOpened, software="benchmark/1")
    return [opened, *(_registered(root, name, signer) for name, signer in signers.items())]


def sessions(authors: list[Author], events: int, payload: bytes | None, sheaf: int = 1) -> Iterator[Written]:
    """Yield so many events of all these sessions, in turns, as many agents at work would produce them.

    sheaf: how many events an author signs at once, and says in one turn.
    """
    for author in authors[:events]:
        yield author.write(SessionOpened, software="benchmark/1")
    left = events - len(authors)
    for turn in count():
        author, events_now = authors[turn % len(authors)], min(sheaf, left)
        if events_now <= 0:
            return
        yield from [author.write(payload=payload)] if sheaf == 1 else author.write_sheaf(events_now, payload)
        left -= events_now


def _registered(root: Author, name: str, signer: SeedSigner) -> Written:
    return root.write(
        KeyRegistered, subject=name, subject_key_id=signer.key_id, public_key=signer.public_key.hex(),
        role="ingest" if name == "ingest" else "agent", owner="benchmark",
    )  # fmt: skip

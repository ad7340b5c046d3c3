"""Signed records as authors write them, made ahead of the measurement: what they cost is not the ledger's time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenuto import header as headers
from tenuto.clock import NewId
from tenuto.envelope import Envelope
from tenuto.events import FIRST_PREV, Event, KeyRegistered, SessionOpened, ToolStarted
from tenuto.payload import PayloadSealer
from tenuto.signing import SeedSigner, sign_header
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
        sealed = None
        if payload is not None:
            sealed, commit = self._sealer.seal(payload)
            fields |= {"payload_type": "application/json", "payload_len": len(payload), "payload_commit": commit}
        event = kind(
            v=1, log_origin=self._trust.origin, author=self._signer.author, key_id=self._signer.key_id,
            session=self._session, seq=self._seq, prev=self._prev, at=self._now, id=self._new_id(), **fields,
        )  # fmt: skip
        header = headers.encode(event)
        envelope = Envelope(header, sign_header(self._signer, header), self._trust.epoch if sealed else 0, sealed)
        self._seq, self._prev = self._seq + 1, headers.header_hash(header)
        body = 0 if sealed is None else len(sealed.ciphertext.body) + len(sealed.ciphertext.nonce)
        return Written(event, self._session.bytes, envelope.to_bytes(), len(envelope.state) + body)


def founding(root: Author, signers: dict[str, SeedSigner]) -> list[Written]:
    """Return the root's events that let these authors in; `ingest` has its own role, all others are agents."""
    opened = root.write(SessionOpened, software="benchmark/1")
    return [opened, *(_registered(root, name, signer) for name, signer in signers.items())]


def sessions(authors: list[Author], events: int, payload: bytes | None) -> Iterator[Written]:
    """Yield so many events of all these sessions, in turns, as many agents at work would produce them."""
    for author in authors[:events]:
        yield author.write(SessionOpened, software="benchmark/1")
    for number in range(events - len(authors)):
        yield authors[number % len(authors)].write(payload=payload)


def _registered(root: Author, name: str, signer: SeedSigner) -> Written:
    return root.write(
        KeyRegistered, subject=name, subject_key_id=signer.key_id, public_key=signer.public_key.hex(),
        role="ingest" if name == "ingest" else "agent", owner="benchmark",
    )  # fmt: skip

"""Envelopes as an attacker makes them: any header under any key, past every check that an honest recorder makes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tenuto.envelope import Envelope
from tenuto.events import FIRST_PREV, Event, SessionOpened
from tenuto.header import encode, header_hash
from tenuto.signing import SeedSigner, sign_header

from .ground import Ground


class Chain:
    """A session of the attacker's own under `signer`; each event continues the one before it."""

    def __init__(self, ground: Ground, signer: SeedSigner, author: str | None = None, origin: str | None = None) -> None:
        """`author` is whom the headers name, the signer's own by default; `origin` another log's name."""
        self._ground, self._signer = ground, signer
        self._author, self._origin = author or signer.author, origin or ground.trust.origin
        self.session: UUID = ground.new_id()
        self._seq, self._prev = 0, FIRST_PREV

    def event(self, kind: type[Event], **fields: Any) -> Event:
        """The next event of this session, not yet signed."""
        return kind(
            v=1, log_origin=self._origin, author=self._author, key_id=self._signer.key_id, session=self.session,
            seq=self._seq, prev=self._prev, at=self._ground.clock.now(), id=self._ground.new_id(), **fields,
        )  # fmt: skip

    def signed(self, event: Event, *, advance: bool = True) -> bytes:
        """The record of an event under the attacker's key; with `advance` the next one continues it."""
        header = encode(event)
        if advance:
            self._seq, self._prev = self._seq + 1, header_hash(header)
        return Envelope(header, sign_header(self._signer, header)).to_bytes()

    def opened(self) -> bytes:
        """The record that opens the session."""
        return self.signed(self.event(SessionOpened, software="red-team"))

    def publish(self, record: bytes) -> None:
        """Put a record on the bus, under the key that keeps a session together."""
        self._ground.publish(self.session.bytes, record)

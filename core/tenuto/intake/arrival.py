"""Step 1: bytes from the bus become an envelope with an event in it, or a refusal that still says whose it claims to be."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from .. import envelope as envelopes
from .. import header as headers
from ..bus import BusRecord
from ..envelope import Envelope
from ..errors import UNREADABLE, Refused
from ..events import Event
from ..events.base import Name
from ..keyring import Key
from ..ledger import Parked, StoredPayload


class _Claims(msgspec.Struct):
    """As much of a foreign header as may be repeated in evidence."""

    author: Any = None
    session: Any = None


class Findings(msgspec.Struct, frozen=True):
    """What the bytes of a record say under one public key: a refusal (step 2 or 3), or its payload as the ledger keeps it."""

    public_key: bytes
    refusal: Refused | None = None
    payload: StoredPayload | None = None


class Arrival(msgspec.Struct):
    """One record on its way in. Each step fills in its part or sets `refusal`; nothing later looks at a refused one.

    `parked_at` is set while the record has been waiting in the ledger for its predecessors. `findings` may be there before
    the record is judged, and holds whatever becomes of it.
    """

    record: bytes
    topic: str
    partition: int
    offset: int
    parked_at: datetime | None = None
    envelope: Envelope | None = None
    event: Event | None = None
    header_hash: str = ""
    findings: Findings | None = None
    key: Key | None = None
    payload: StoredPayload | None = None
    refusal: Refused | None = None
    redelivered: bool = False

    @property
    def judged(self) -> bool:
        """Whether nothing is left to decide about this record."""
        return self.redelivered or self.refusal is not None

    @property
    def signed(self) -> Envelope:
        """The envelope of a record that decoded."""
        assert self.envelope is not None
        return self.envelope

    @property
    def said(self) -> Event:
        """The event of a record that decoded."""
        assert self.event is not None
        return self.event

    @property
    def valid_key(self) -> Key:
        """The key of a record whose author may say this."""
        assert self.key is not None
        return self.key

    @property
    def place(self) -> tuple[UUID, int]:
        """Session and sequence number of a record that decoded."""
        return self.said.session, self.said.seq

    @property
    def sha256(self) -> str:
        """What identifies the record in evidence."""
        return hashlib.sha256(self.record).hexdigest()

    def claims(self) -> tuple[str | None, UUID | None]:
        """Return author and session as the record states them, where they can be made out; nothing of it is verified."""
        if self.event is not None:
            return self.event.author, self.event.session
        if self.envelope is None:
            return None, None
        try:
            found = msgspec.json.decode(self.envelope.header, type=_Claims)
        except UNREADABLE:
            return None, None
        return _converted(found.author, Name), _converted(found.session, UUID)


def arrived(record: BusRecord, origin: str) -> Arrival:
    """Decode a record of the bus; `origin` is the log that it must have been written for."""
    return decode(Arrival(record.value, record.topic, record.partition, record.offset), origin)


def returned(kept: Parked, origin: str) -> Arrival:
    """Decode a record that waited; it is judged afresh, since keys may have changed meanwhile."""
    return decode(Arrival(kept.record, kept.topic, kept.partition, kept.offset, kept.parked_at), origin)


def decode(arrival: Arrival, origin: str) -> Arrival:
    """(1) The envelope decodes within its limits, its header is one event, and it was written for this log."""
    try:
        arrival.envelope = envelopes.parse(arrival.record)
        arrival.event = headers.decode(arrival.envelope.header)
        if arrival.event.log_origin != origin:
            sentence = f"The event was written for the log {arrival.event.log_origin}, this is {origin}."
            raise Refused(sentence, reason="wrong_origin")
        arrival.header_hash = headers.header_hash(arrival.envelope.header)
    except Refused as refusal:
        arrival.refusal = refusal
    return arrival


def again(arrival: Arrival) -> Arrival:
    """Return the decoded record without any later judgement, to be judged once more on another standing of the ledger."""
    return Arrival(
        arrival.record, arrival.topic, arrival.partition, arrival.offset, arrival.parked_at, arrival.envelope,
        arrival.event, arrival.header_hash, arrival.findings, refusal=None if arrival.header_hash else arrival.refusal,
    )  # fmt: skip


def _converted(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None

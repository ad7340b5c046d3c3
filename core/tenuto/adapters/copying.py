"""Rows as Postgres reads them in `COPY ... (FORMAT BINARY)` (PostgreSQL documentation, COPY, "Binary Format").

Every event becomes two such rows while all other writers wait for the head row. psycopg would look up and call an encoder
for each value; here the types are known, and a row is a few joins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from ..clock import micros
from ..ledger import StoredPayload

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, no flags, no extension."""
TRAILER = b"\xff\xff"
ENTRY_COLUMNS = "originator_id, originator_version, notification_id, recorded_at, leaf_hash, topic, state"
PAYLOAD_COLUMNS = "notification_id, wrapped_key, nonce, body"
_POSTGRES_EPOCH = micros(datetime(2000, 1, 1, tzinfo=UTC))
_ENTRY = struct.Struct(">h i16s iq iq iq i")  # the number of columns, then each value behind its length
_PAYLOAD = struct.Struct(">h iq")
_LENGTH = struct.Struct(">i").pack


def timestamp(moment: datetime) -> int:
    """Return a `timestamptz` as it is on the wire: microseconds since 2000-01-01T00:00:00Z."""
    return micros(moment) - _POSTGRES_EPOCH


def entry_row(session: UUID, seq: int, number: int, stamp: int, *, leaf: bytes, kind: str, state: bytes) -> bytes:
    """Return the row of ENTRY_COLUMNS; `number` is the notification id (position + 1), `stamp` a `timestamp`."""
    topic = kind.encode()
    fixed = _ENTRY.pack(7, 16, session.bytes, 8, seq, 8, number, 8, stamp, len(leaf))
    return b"".join((fixed, leaf, _LENGTH(len(topic)), topic, _LENGTH(len(state)), state))


def payload_row(number: int, payload: StoredPayload) -> bytes:
    """Return the row of PAYLOAD_COLUMNS."""
    key, nonce, body = payload.wrapped_key, payload.nonce, payload.body
    length = _LENGTH
    return b"".join((_PAYLOAD.pack(4, 8, number), length(len(key)), key, length(len(nonce)), nonce, length(len(body)), body))


def whole(rows: Iterable[bytes]) -> bytes:
    """Return all that a COPY of these rows sends."""
    return b"".join((HEADER, *rows, TRAILER))

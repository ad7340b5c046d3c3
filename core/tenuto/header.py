"""Header bytes to event and back, with exactly one reading.

The bytes an author signed are what counts and what is stored; nobody re-encodes them. To make sure that they have one
meaning only, decoding demands that they are byte for byte what our encoder writes for the event: no second key of the
same name, no spaces, no other order. So two parsers can never read two different events out of one signature.
"""

from __future__ import annotations

import hashlib
from typing import Any, Union

import msgspec

from .errors import UNREADABLE, Refused
from .events import EVENT_CLASSES, HEADER_BYTES_MAX, KINDS, Event
from .events.base import HEADER_VERSION

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Union[EVENT_CLASSES], strict=True).decode  # noqa: UP007


class HeaderRefused(Refused):
    """The header bytes are not one event of this vocabulary."""

    reason = "malformed"


class _Peek(msgspec.Struct):
    """Just enough of a foreign header to say what is wrong with it."""

    kind: Any = None
    v: Any = None


def encode(event: Event) -> bytes:
    """Return the header bytes of `event`, to be signed and then kept verbatim.

    Raises HeaderRefused when they exceed HEADER_BYTES_MAX (4,096 bytes) or a field is outside its alphabet.
    """
    header = _encode(event)
    decode(header)
    return header


def decode(header: bytes) -> Event:
    """Return the event in `header`; raises HeaderRefused with a reason of `RefusalReason`."""
    if len(header) > HEADER_BYTES_MAX:
        sentence = f"The header has {len(header):,} bytes; at most {HEADER_BYTES_MAX:,} are allowed."
        raise HeaderRefused(sentence, reason="oversized")
    try:
        event: Event = _decode(header)
    except UNREADABLE as error:
        raise _explained(header, error) from error
    if _encode(event) != header:
        raise HeaderRefused("The header is not in the one form that this version writes (order, spacing, repeated keys).")
    _demand_whole_payload(event)
    return event


def header_hash(header: bytes) -> str:
    """SHA-256 of the header bytes, hex; the next event's `prev`."""
    return hashlib.sha256(header).hexdigest()


def _demand_whole_payload(event: Event) -> None:
    without = event.payload_commit is None
    if (event.payload_type is None) != without or (event.payload_len is None) != without:
        raise HeaderRefused("The header names only a part of payload_type, payload_len and payload_commit.")


def _explained(header: bytes, error: Exception) -> HeaderRefused:
    try:
        peek = msgspec.json.decode(header, type=_Peek)
    except UNREADABLE:
        return HeaderRefused(f"The header is not JSON of an event: {error}.")
    if peek.v != HEADER_VERSION:
        return HeaderRefused(f"Header version {_told(peek.v):.40} is unknown; this is {HEADER_VERSION}.", reason="unknown_version")
    if not isinstance(peek.kind, str) or peek.kind not in KINDS:
        return HeaderRefused(f"The kind {_told(peek.kind):.80} is not in the vocabulary.", reason="unknown_kind")
    return HeaderRefused(f"The header of kind {peek.kind} is refused: {error}.")


def _told(value: Any) -> str:
    """Return a foreign value for a sentence; of a list or an object only that it is one, since it may be of any depth."""
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(value)

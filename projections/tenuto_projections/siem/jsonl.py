"""JSON lines: one object per event, complete enough that whoever holds it can check it without us.

| field | what it is |
| --- | --- |
| `schema` | `tenuto.event/1`; fields may be added under this name, none is renamed or taken away |
| `origin`, `position` | which log, and where in it; together they name the line, a second copy of it is the same line |
| `recorded_at` | the ledger's clock, UTC, to the microsecond |
| `leaf` | Merkle leaf hash (RFC 6962) of `0x01, recorded_at in microseconds, length, header, signature` |
| `checkpoint_size` | size of a signed checkpoint that covers the event; the newest at the time of the export |
| `role`, `owner`, `insecure_demo` | what the key ring says of the author's key |
| `header` | the signed header's fields, as the author wrote them |
| `header_b64`, `signature` | the signed bytes and the Ed25519 signature over their DSSE encoding, base64; longer for a member of a sheaf (`tenuto.sheaf`) |
| `payload` | null, or `state` of what lies beside the event and, only if asked for, `encoding` and `data` |

A line is ASCII: whatever a stranger wrote is escaped, so nothing in it can end the line or turn the text around it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenuto.verification import Verified

from ..payloads import AVAILABLE, PURGED, payload_state
from ..replay.records import stamp

SCHEMA = "tenuto.event/1"
LEFT_OUT = "left out"
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Mark:
    """What a written line says of its event: enough to find it again in the log."""

    origin: str
    position: int
    leaf: str


class NotALine(ValueError):
    """The bytes are not a whole line of this format."""


def ascii_json(record: Mapping[str, Any]) -> bytes:
    """Return the record as one line of ASCII JSON, without the newline."""
    return _encode(record).replace("\x7f", "\\u007f").encode("ascii")


def record(verified: Verified, checkpoint_size: int, *, payload: bool) -> dict[str, Any]:
    """Return the object of one event; with `payload` what lies beside the event is in it, if it was opened."""
    return {
        "schema": SCHEMA,
        "origin": verified.event.log_origin,
        "position": verified.position,
        "recorded_at": stamp(verified.recorded_at),
        "leaf": verified.leaf.hex(),
        "checkpoint_size": checkpoint_size,
        "role": verified.key.role,
        "owner": verified.key.owner,
        "insecure_demo": verified.key.insecure_demo,
        "header": json.loads(verified.header),
        "header_b64": b64encode(verified.header).decode(),
        "signature": b64encode(verified.signature).decode(),
        "payload": payload_record(verified, payload=payload),
    }


def payload_record(verified: Verified, *, payload: bool) -> dict[str, str] | None:
    """Return what is said of the payload: its state and, if `payload`, its content as UTF-8 text or base64."""
    if not verified.event.has_payload:
        return None
    if not payload:
        return {"state": PURGED if verified.purged else LEFT_OUT}
    state = payload_state(verified)
    if state != AVAILABLE or verified.payload is None:
        return {"state": state}
    try:
        return {"state": state, "encoding": "utf-8", "data": verified.payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {"state": state, "encoding": "base64", "data": b64encode(verified.payload).decode()}


def mark(line: bytes) -> Mark:
    """Return the mark of a written line; raises NotALine."""
    found = parsed(line)
    if found.get("schema") != SCHEMA:
        raise NotALine("it is not a line of this export")
    return mark_of(found.get("origin"), found.get("position"), found.get("leaf"))


def parsed(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line; raises NotALine."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise NotALine("it is not JSON") from None
    if not isinstance(found, dict):
        raise NotALine("it is not a JSON object")
    return found


def mark_of(origin: object, position: object, leaf: object) -> Mark:
    """Return the mark made of three fields of a line; raises NotALine if one of them is not what it should be."""
    if isinstance(origin, str) and type(position) is int and isinstance(leaf, str):
        return Mark(origin, position, leaf)
    raise NotALine("it names no event")

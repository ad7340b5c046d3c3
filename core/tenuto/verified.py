"""An event that passed the steps of verification, with the bytes that prove it: what every fold is fed with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .events import Event
from .keyring import Key


@dataclass(frozen=True, slots=True)
class Verified:
    """An event that passed steps 1 to 4 (and 5 where its payload was at hand), with the bytes that prove it."""

    position: int
    recorded_at: datetime
    event: Event
    header: bytes
    signature: bytes
    header_hash: str
    leaf: bytes
    key: Key
    payload: bytes | None = None
    purged: bool = False

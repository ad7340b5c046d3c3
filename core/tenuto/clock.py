"""Time and identity are handed in, so that a replay, a test and production run the same code.

Only the wiring constructs a `SystemClock` or `new_uuid7`; everything below takes a `Clock` and an id factory.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

NewId = Callable[[], UUID]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_STEP_SECONDS = 5.0
"""A clock that is off by more than this was set, or its machine slept; less is how clocks are kept right."""


class Clock(Protocol):
    """Where a component learns the time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC, to the microsecond."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's present time in UTC."""
        return datetime.now(UTC)


class ClockWatch:
    """Tells when somebody set the clock, by a second one that nobody can set. Belongs to one thread."""

    def __init__(self, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady`: seconds since any moment, running evenly."""
        self._clock, self._steady = clock, steady
        self._before = clock.now(), steady()

    def moved(self) -> float:
        """Return by how many seconds the clock was set since the last call, ahead (above 0) or back; 0.0 below a step."""
        now, steady = self._clock.now(), self._steady()
        moved = (now - self._before[0]).total_seconds() - (steady - self._before[1])
        self._before = now, steady
        return moved if abs(moved) >= CLOCK_STEP_SECONDS else 0.0


def new_uuid7() -> UUID:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits; sorts by time, collides never."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(secrets.token_bytes(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (noise >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00:00Z; exact, no float is involved."""
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=value)

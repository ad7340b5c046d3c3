"""Which events a person asks for: by run, author, kind and time, or up to a point of the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenuto.verification import Verified

_AGO = re.compile(r"^(\d{1,9})(s|m|h|d)$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(said: str, now: datetime) -> datetime:
    """Read `15m`, `2h`, `7d` (before `now`) or an RFC 3339 time with its offset; raises ValueError with a sentence."""
    ago = _AGO.match(said)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(said)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{said!r} is neither a duration such as 15m, 2h, 7d nor a time such as 2026-03-01T12:00:00Z."
        ) from None
    if when.tzinfo is None:
        raise ValueError(f"{said!r} has no offset; write 2026-03-01T12:00:00Z for UTC.")
    return when


@dataclass(frozen=True, slots=True)
class AsOf:
    """A point of the ledger: everything up to and with a position, or recorded up to and with a time. Neither: all."""

    position: int | None = None
    time: datetime | None = None

    def covers(self, verified: Verified) -> bool:
        """Whether the event had happened by then."""
        if self.position is not None:
            return verified.position <= self.position
        return self.time is None or verified.recorded_at <= self.time


def as_of(said: str | None, now: datetime) -> AsOf:
    """Read a position (digits only) or a time as `moment` does; raises ValueError with a sentence."""
    if said is None:
        return AsOf()
    return AsOf(position=int(said)) if said.isdecimal() else AsOf(time=moment(said, now))


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters that must all hold; None lets everything pass. kind: a whole kind or its subject, such as `approval`."""

    run: str | None = None
    author: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, verified: Verified, run: str | None) -> bool:
        """Whether the event, which belongs to `run`, is asked for; times are the ledger's."""
        event, kind = verified.event, verified.event.kind
        return (
            self.run in (None, run)
            and self.author in (None, event.author)
            and self.kind in (None, kind, kind.partition(".")[0])
            and (self.since is None or verified.recorded_at >= self.since)
            and (self.until is None or verified.recorded_at <= self.until)
        )

"""What an author's door owes the ledger about itself: how long it had to keep events back, and whose end nobody knows.

Both are told by the author's own events, in whatever life finds them out.

*Kept back.* While events wait for their receipt longer than OVERDUE_SECONDS, the author's work is not on record. When they
have all been dealt with, `record.spooled` says how many, since when and why. Milliseconds are not told, and a bus that comes
and goes is told at most once in TELL_SECONDS. A process that ends in between takes its count along; its next life counts
from the oldest event that still waits. A period that ends within TELL_SECONDS of the last one told, in a process that is
then killed, is told by nobody.

*Unknown end.* A spool that was deleted, or went with its machine, cannot say what was in it. What the ledger has can: once
the receipt for this life's own `session.opened` is in, everything of this author before it has come through the inbox, in
order and without a hole (`mailbox`). A session that this spool never wrote and that has no `session.closed` by then is told
as `record.unaccounted`, with the last event that the ledger has of it. Certain is that the ledger had no more of it there.
Not certain is that there was more: a process that was killed with nothing waiting looks the same. Nor can it be told from
here whether the session still runs on another machine, which an author is not to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from .clock import Clock, from_micros
from .drain import Drain
from .events import Event, RecordSpooled, RecordUnaccounted
from .events.record import SpoolingReason
from .spool import Spool, SpoolFull

OVERDUE_SECONDS = 30.0
TELL_SECONDS = 300.0
LOOK_SECONDS = 0.2
UNACCOUNTED_MAX = 100  # of one life: an author that was killed so often has told it by the newest of them
log = logging.getLogger(__name__)

Keep = Callable[[type[Event], Mapping[str, Any]], object]
"""Puts an event into the author's spool without waiting; raises SpoolFull."""


@dataclass(frozen=True, slots=True)
class Period:
    """Time in which events waited too long. first: the `number` of the first of them; periods: how many this one sums up."""

    first: int
    since: datetime
    until: datetime
    why: SpoolingReason
    events: int = 0
    bytes_max: int = 0
    periods: int = 1

    def joined(self, later: Period) -> Period:
        """Return both in one, with the reason of the first."""
        return replace(
            self, until=later.until, events=self.events + later.events, bytes_max=max(self.bytes_max, later.bytes_max),
            periods=self.periods + later.periods,
        )  # fmt: skip


class Accounts:
    """One life's accounts; `look` belongs to the thread that takes in receipts."""

    def __init__(self, spool: Spool, drain: Drain, clock: Clock, keep: Keep) -> None:
        """`keep` puts an event of this author into `spool`."""
        self.overdue_seconds = OVERDUE_SECONDS
        self._spool, self._drain, self._clock, self._keep = spool, drain, clock, keep
        self._opened: Event | None = None
        self._now: Period | None = None
        self._ended: Period | None = None
        self._told_at: datetime | None = None
        self._unaccounted = 0
        self.inbox_away = False  # whether the bus could not look at the author's inbox when it was asked last
        self._looked = float("-inf")

    def begin(self, opened: Event) -> None:
        """Say which event opened the session of this life."""
        self._opened = opened

    def look(self) -> None:
        """See how the spool stands, at most every LOOK_SECONDS, and put on record what there is to tell."""
        if self._opened is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        now = self._clock.now()
        self._measure(now, self._opened)
        try:
            if self._told_at is None or now - self._told_at >= timedelta(seconds=TELL_SECONDS):
                self._tell_ended(now)
            self._tell_unaccounted(self._opened)
        except SpoolFull as full:
            log.warning("%s What is to be told about it waits too.", full)

    def finish(self) -> None:
        """Before the session closes: tell what was held back to be told with what follows."""
        try:
            self._tell_ended(self._clock.now())
        except SpoolFull as full:
            log.warning("%s A time of spooling is only in this log: %s", full, self._ended)

    def _measure(self, now: datetime, opened: Event) -> None:
        oldest = self._spool.oldest()
        if oldest is not None and now - from_micros(oldest[1]) >= timedelta(seconds=self.overdue_seconds):
            period = self._now or Period(oldest[0], from_micros(oldest[1]), now, self._why(opened))
            why = "bus_away" if period.why == "no_receipt" and self._bus_away() else period.why
            self._now = replace(period, why=why, bytes_max=max(period.bytes_max, self._spool.waiting()[1]))
        elif self._now is not None:
            first_waiting = self._spool.last_number() + 1 if oldest is None else oldest[0]
            ended = replace(self._now, until=now, events=first_waiting - self._now.first)
            self._ended = ended if self._ended is None else self._ended.joined(ended)
            self._now = None

    def _why(self, opened: Event) -> SpoolingReason:
        first = self._spool.pending(0, 1)
        if first and first[0].session != opened.session:
            return "earlier_life"
        return "bus_away" if self._bus_away() else "no_receipt"

    def _bus_away(self) -> bool:
        return self._drain.away or self.inbox_away

    def _tell_ended(self, now: datetime) -> None:
        ended = self._ended
        if ended is None:
            return
        told = {
            "events": ended.events, "bytes_max": ended.bytes_max, "since": ended.since, "until": ended.until,
            "why": ended.why, "periods": ended.periods,
        }  # fmt: skip
        self._keep(RecordSpooled, told)
        self._ended, self._told_at = None, now

    def _tell_unaccounted(self, opened: Event) -> None:
        for session, last_seq in self._spool.unaccounted():
            if self._unaccounted == UNACCOUNTED_MAX:
                log.error("Sessions before %s have no end on record either; no more of them are told.", session)
                self._forget(session)
                continue
            self._unaccounted += 1
            log.error("The ledger has the session %s up to its event %s and no close; its spool is gone.", session, last_seq)
            self._keep(RecordUnaccounted, {"lost_session": session, "last_seq": last_seq, "cause": (opened.id,)})
            self._forget(session)

    def _forget(self, session: UUID) -> None:
        # A crash one line earlier tells it twice, never not at all.
        self._spool.told(session)

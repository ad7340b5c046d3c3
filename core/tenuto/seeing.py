"""What a gate sees of the ledger: events by run, approvals, the ledger's own time; and waiting until more appears.

Only what stands under a compared root is let in. If reading is torn in the middle, by a signal or by a log that is not
what it claims to be, the view refuses to be used again: half a history is worse than none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from .approvals import Approvals
from .clock import EPOCH
from .errors import Busy, TenutoError
from .events import Event
from .outcomes import Outcomes
from .verification import VerificationFailed, Verified

if TYPE_CHECKING:
    from .following import Follower

Found = TypeVar("Found")
TORN = "Reading the ledger was interrupted in the middle; what is known of it cannot be trusted. Open a new gate."


class LedgerView:
    """A follower's events, kept by run and folded into approvals."""

    def __init__(self, follower: Follower, *, ledger_seconds: float, poll_seconds: float) -> None:
        """`follower` stands before the first event; waiting for the ledger ends after `ledger_seconds`."""
        self.approvals = Approvals()
        self.outcomes = Outcomes(self.approvals.roster)
        self.now: datetime = EPOCH
        self._follower, self._ledger_seconds, self._poll_seconds = follower, ledger_seconds, poll_seconds
        self._runs: dict[str, list[Verified]] = {}
        self._unproven: list[Verified] = []
        self._broken: TenutoError | None = None
        self._lock = RLock()

    def settle(self) -> None:
        """Take in everything up to the newest checkpoint; raises Busy after `ledger_seconds`, VerificationFailed."""
        deadline = time.monotonic() + self._ledger_seconds
        while True:
            try:
                self._catch_up()
            except Busy:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(self._poll_seconds)
            else:
                return

    def events_of(self, run: str) -> list[Verified]:
        """Return the events of a run, in ledger order, as far as they were taken in."""
        return list(self._runs.get(run, ()))

    def role(self, author: str) -> str:
        """Return the role of the author's current key; raises KeyringRefused when it has none."""
        return self._follower.walk.keyring.current(author).role

    def wait_for(self, look: Callable[[], Found | None], seconds: float | None = None) -> Found | None:
        """Take in and look until `look` finds something; None after `seconds`. A ledger that is away is waited for."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            with suppress(Busy):
                self._catch_up()
            found = look()
            if found is not None or (deadline is not None and time.monotonic() >= deadline):
                return found
            time.sleep(self._poll_seconds)

    def demand_on_record(self, event: Event) -> Verified:
        """Wait until an event of a run is under a signed checkpoint; raises Busy after `ledger_seconds`."""
        found = self.wait_for(lambda: self._find(event), self._ledger_seconds)
        if found is None:
            sentence = f"The ledger did not show {event.kind} within {self._ledger_seconds:g} seconds"
            raise Busy(f"{sentence}; the tool was not touched. Is ingest running, and the sealer?")
        return found

    def _find(self, event: Event) -> Verified | None:
        for verified in reversed(self._runs.get(event.run or "", ())):
            if verified.event.id == event.id and verified.event.author == event.author:
                return verified
        return None

    def _catch_up(self) -> None:
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._broken = TenutoError(TORN)
            try:
                for page in self._follower.pages():
                    self._unproven.extend(page)
            except TenutoError as error:
                # Busy leaves the follower between two pages; what it gave so far waits for the root over all of it.
                self._broken = error if isinstance(error, VerificationFailed) else None
                raise
            for verified in self._unproven:
                self._take(verified)
            self._unproven.clear()
            self._broken = None

    def _take(self, verified: Verified) -> None:
        self.approvals.apply(verified)
        self.outcomes.apply(verified)
        self.now = verified.recorded_at
        if verified.event.run is not None:
            self._runs.setdefault(verified.event.run, []).append(verified)

"""What a gate sees of the ledger: events by run, approvals, the ledger's own time; and waiting until more appears.

The events of a run are let go once FINISHED_RUNS_KEPT_MAX other runs finished after it; what stays is its name, so that asking
for it is refused instead of answered with a part. A run that was not finished by who started it is kept for good.

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
from .approvals.spotcheck import Spotchecks
from .clock import EPOCH
from .errors import Busy, TenutoError
from .events import Event, RunFinished
from .outcomes import Outcomes
from .verification import VerificationFailed, Verified

if TYPE_CHECKING:
    from .following import Follower

Found = TypeVar("Found")
FINISHED_RUNS_KEPT_MAX = 1000
TORN = "Reading the ledger was interrupted in the middle; what is known of it cannot be trusted. Open a new gate."


class RunLetGo(TenutoError):
    """The run finished long ago, and its events are not kept any more."""


class LedgerView:
    """A follower's events, kept by run and folded into approvals."""

    def __init__(self, follower: Follower, *, ledger_seconds: float, poll_seconds: float) -> None:
        """`follower` stands before the first event; waiting for the ledger ends after `ledger_seconds`."""
        self.approvals = Approvals()
        self.checks = Spotchecks(self.approvals)
        self.outcomes = Outcomes(self.approvals.roster)
        self.now: datetime = EPOCH
        self._follower, self._ledger_seconds, self._poll_seconds = follower, ledger_seconds, poll_seconds
        self._runs: dict[str, list[Verified]] = {}
        self._finished: dict[str, None] = {}
        self._let_go: set[str] = set()
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
        """Return the events of a run, in ledger order, as far as they were taken in; raises RunLetGo where not all are kept."""
        if run in self._let_go:
            sentence = f"The run {run} finished before {FINISHED_RUNS_KEPT_MAX:,} others did, and its events are not kept here"
            raise RunLetGo(f"{sentence}; `tenuto replay {run}` shows them.")
        return list(self._runs.get(run, ()))

    def runs(self) -> tuple[str, ...]:
        """Return the names of all runs, in the order of their first events."""
        return tuple(self._runs)

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
        self.checks.apply(verified)
        self.outcomes.apply(verified)
        self.now = verified.recorded_at
        run = verified.event.run
        if run is None or run in self._let_go:
            return
        events = self._runs.setdefault(run, [])
        events.append(verified)
        if isinstance(verified.event, RunFinished) and verified.event.author == events[0].event.author:
            self._finished.setdefault(run)
        if len(self._finished) > FINISHED_RUNS_KEPT_MAX:
            oldest = next(iter(self._finished))
            del self._finished[oldest], self._runs[oldest]
            self._let_go.add(oldest)

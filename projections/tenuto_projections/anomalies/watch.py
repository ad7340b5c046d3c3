"""How a finding becomes a signed event: once, however often the watch is stopped or killed.

 1. What an earlier life of this author recorded is brought into the ledger first: its spool is flushed, which ends when
    the ledger's receipts are there.
 2. The ledger is followed to the newest checkpoint, from the first event at every start. All findings wait, and the
    names of all alerts that this author raised are gathered.
 3. What was found and not yet raised is recorded, in the order of the ledger.

A receipt reaches the author only under a checkpoint that is published, so the walk of step 2, which comes after step 1,
meets every alert that ever left this author's spool. A crash between recording and the ledger leaves the alert in the
spool, and the next life finds it in step 1; a crash before recording leaves nothing, and the next life finds the event
again. Nothing is raised before the page it stands on was compared with a signed root.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tenuto.clock import Clock
from tenuto.documents import AlertNote
from tenuto.errors import Busy
from tenuto.events import AlertRaised
from tenuto.following import Follower
from tenuto.verification import Verified

from .finding import RULES, Finding
from .model import MessageModel
from .overdue import OverdueChecks
from .rules import Rules

AUTHOR = "anomaly-watch"
SOFTWARE = "tenuto-watch/0.1.0"
FLUSH_SECONDS = 5.0
log = logging.getLogger(__name__)


class Door(Protocol):
    """What the watch needs of its `tenuto.recorder.Recorder`."""

    @property
    def author(self) -> str:
        """The author who signs."""
        ...

    def record(self, kind: type[AlertRaised], *, document: AlertNote, **fields: Any) -> AlertRaised:
        """Sign the event and keep it, durably, until the ledger has it."""
        ...

    def wait(self, event: AlertRaised, seconds: float) -> object:
        """Return once the ledger has the event; raises Busy after `seconds`, Refused when it never will have it."""
        ...

    def flush(self, seconds: float) -> object:
        """Return once everything in the spool has its receipt; raises Busy when that takes longer than `seconds`."""
        ...


class Watch:
    """One life of the watch. `follower` must be new, before the first event."""

    def __init__(self, follower: Follower, door: Door, clock: Clock | None = None) -> None:
        """Nothing is read or raised yet. With `clock`, what gets late while nothing is recorded is found then."""
        self._follower, self._door, self._clock = follower, door, clock
        self._rules, self._model, self._overdue = Rules(), MessageModel(), OverdueChecks()
        self._settled = False
        self._raised: set[str] = set()
        self._found: list[Finding] = []
        self._unconfirmed: deque[AlertRaised] = deque()
        self._state = ""

    def catch_up(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Look at everything that was signed since the last call and raise what was found; return the number of events.

        Leaves between two pages, or two alerts, as soon as `stopping` says so. Raises Busy (call again, nothing is
        lost), VerificationFailed, and what the recorder refuses.
        """
        count = 0
        self._settle()
        for page in self._follower.pages():
            self._take(page)
            count += len(page)
            if stopping():
                return count
        if self._clock is not None:
            self._found += self._overdue.late_at(self._clock.now())
        self._raise(stopping)
        self._confirm()
        return count

    def _settle(self) -> None:
        if not self._settled:
            self._door.flush(FLUSH_SECONDS)
            self._settled = True

    def _take(self, page: Sequence[Verified]) -> None:
        self._raised.update(
            verified.event.alert
            for verified in page
            if isinstance(verified.event, AlertRaised) and verified.event.author == self._door.author
        )
        by_rules = self._rules.take(page)
        self._found += by_rules + self._model.take(page, by_rules) + self._overdue.take(page)

    def _raise(self, stopping: Callable[[], bool]) -> None:
        self._found = sorted(self._found, key=lambda finding: finding.position)
        while self._found and not stopping():
            finding = self._found[0]
            if finding.alert not in self._raised:
                self._unconfirmed.append(record_alert(self._door, finding))
                # In the spool: from here on every life knows it. One line earlier it is nowhere, and is found again.
                self._raised.add(finding.alert)
                log.warning("%s: %s", RULES[finding.rule].severity, finding.sentence)
            self._found.pop(0)
        if self._model.state != self._state:
            self._state = self._model.state
            log.info("%s", self._state)


    def _confirm(self) -> None:
        """A watch whose alerts the ledger refuses must not go on as if it watched: the refusal ends the process."""
        while self._unconfirmed:
            try:
                self._door.wait(self._unconfirmed[0], 0.0)
            except Busy:
                return
            self._unconfirmed.popleft()


def record_alert(door: Door, finding: Finding) -> AlertRaised:
    """Record the finding as `alert.raised`, with its sentence and figures beside it."""
    rule = RULES[finding.rule]
    return door.record(
        AlertRaised, document=AlertNote(sentence=finding.sentence, figures=dict(finding.figures)), run=finding.run,
        cause=finding.evidence[-1:], refs=rule.refs, alert=finding.alert, detector=finding.detector,
        version=finding.version, rule=finding.rule, severity=rule.severity, score=finding.score,
        suspect=finding.suspect, evidence=finding.evidence,
    )  # fmt: skip

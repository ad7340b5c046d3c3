"""Second looks that nobody takes: one alert for each, counted by the ledger's time.

A spot check that stays open is worth nothing, and a site where all of them stay open has none (M14). The finding carries the
position of the spending, so it has the same name in every walk; a clock only brings it forward while nothing is recorded.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tenuto.approvals import Approvals
from tenuto.approvals.spotcheck import Spotchecks
from tenuto.events import ApprovalConsumed, SpotcheckDrawn
from tenuto.verification import Verified

from .finding import RULES_DETECTOR, RULES_VERSION, Finding, said

RULE = "overdue_check"


class OverdueChecks:
    """The fold: every open second look, and when it gets late."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._approvals = Approvals()
        self._checks = Spotchecks(self._approvals)
        self._spent: dict[str, UUID] = {}
        self._late: list[tuple[datetime, str]] = []

    def take(self, page: Sequence[Verified]) -> list[Finding]:
        """Take the next events; return what was late before each of them, also where that event is the look itself."""
        findings: list[Finding] = []
        for verified in page:
            findings += self.late_at(verified.recorded_at)
            self._approvals.apply(verified)
            self._checks.apply(verified)
            self._expect(verified)
        return findings

    def late_at(self, now: datetime) -> list[Finding]:
        """Return the checks that are overdue at `now` and were not said before, the longest overdue first."""
        findings = []
        while self._late and self._late[0][0] < now:
            _, approval = heapq.heappop(self._late)
            check = self._checks.find(approval)
            if check is not None and check.state(now) == "overdue" and approval in self._spent:
                findings.append(self._finding(approval))
                del self._spent[approval]
        return findings

    def _expect(self, verified: Verified) -> None:
        event = verified.event
        if not isinstance(event, ApprovalConsumed | SpotcheckDrawn):
            return
        check = self._checks.find(event.approval)
        if check is None or check.overdue_from is None:
            return
        if isinstance(event, ApprovalConsumed) and check.position == verified.position:
            self._spent[event.approval] = event.id
        # A draw moves the moment; the entry from before it finds the check not overdue and is dropped.
        heapq.heappush(self._late, (check.overdue_from, event.approval))

    def _finding(self, approval: str) -> Finding:
        check, draw = self._checks.find(approval), self._checks.draw_of(approval)
        assert check is not None
        asked = self._approvals.request(approval).event
        hours = check.within.total_seconds() / 3600
        what = "nobody drew for it, so it counts as drawn, and nobody looked" if draw is None else "nobody took the second look"
        sentence = f"{said(approval)}, approved by {said(', '.join(check.approved_by))}: {what} within {hours:g} hours."
        evidence = (self._spent[approval], *(() if draw is None else (draw.id,)))
        return Finding(
            RULE, check.position, asked.author, sentence, evidence, asked.run, {"hours": hours}, RULES_DETECTOR, RULES_VERSION
        )

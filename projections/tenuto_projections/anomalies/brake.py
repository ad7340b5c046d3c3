"""Who can ring an alarm at will can drown the one that matters: a limit on how often a thing is said of a suspect."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tenuto.verification import Verified

from .finding import Finding
from .history import Recent
from .pace import Window

FINDINGS_PER_HOUR_MAX = 20
HOUR = timedelta(hours=1)


class Brake:
    """Lets FINDINGS_PER_HOUR_MAX (20) findings of one rule about one suspect pass in any hour of ledger time.

    The last of them says that it is the last. Time is the ledger's, so another walk lets the same ones pass.
    """

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: Recent[tuple[str, str], Window] = Recent()

    def passes(self, finding: Finding, verified: Verified) -> Finding | None:
        """Return the finding, as it may be said, or None; `verified` is the event that it stands on."""
        key = (finding.rule, finding.suspect)
        window = self._said.set(key, self._said.get(key) or Window(HOUR))
        count = window.count(verified.recorded_at)
        if count >= FINDINGS_PER_HOUR_MAX:
            return None
        window.take(verified.recorded_at, verified.event.id)
        if count + 1 < FINDINGS_PER_HOUR_MAX:
            return finding
        return replace(finding, sentence=f"{finding.sentence} More of this within the hour is not raised again.")

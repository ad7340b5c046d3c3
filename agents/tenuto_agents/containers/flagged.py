"""Which pull requests are flagged: those that the analysis or a detector had something to say about (M18).

Computed from the verified events of the run, so that nobody who hands a change on can take the flag off.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenuto.events import AlertRaised, DecisionMade
from tenuto.verification import Verified

from ..evidence import CODE_REVIEW


def flagged_by(events: Iterable[Verified]) -> Verified | None:
    """Return the first event that flags the run, or None: findings, a verdict against the analysis, or an alert."""
    for verified in events:
        event, role = verified.event, verified.key.role
        if isinstance(event, AlertRaised):
            return verified
        if isinstance(event, DecisionMade) and (event.author, role) == (CODE_REVIEW, "agent") and (event.findings or event.diverges):
            return verified
    return None

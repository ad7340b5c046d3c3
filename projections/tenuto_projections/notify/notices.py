"""What people are told: the closed list of reasons, and one notice.

Everything in a notice comes from signed headers. Payloads are never read here, and the process that sends has neither their key
nor a right to their table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Reason = Literal[
    "assigned", "overflow", "escalated", "reassigned", "expiring", "second_look", "second_look_overdue", "alert", "granted", "denied",
    "digest", "trial",
]  # fmt: skip

SENTENCES: Mapping[Reason, str] = {
    "assigned": "A request is yours to review.",
    "overflow": "A request came over to you, because somebody on shift has no place left.",
    "escalated": "A request came over to you, because it was not decided in time.",
    "reassigned": "A request that you had went on to somebody else. You may still decide it.",
    "expiring": "A request of yours is about to expire.",
    "second_look": "An approval was drawn for a second look, and the look is yours.",
    "second_look_overdue": "An approval was drawn for a second look, and nobody took it in time.",
    "alert": "An alert was raised.",
    "granted": "What you asked for was granted.",
    "denied": "What you asked for was denied.",
    "digest": "There was more than one can attend to; this is the rest of it.",
    "trial": "This is a trial. Nothing happened.",
}
"""Every reason, with the sentence that says it."""

URGENT: frozenset[Reason] = frozenset({"escalated", "expiring", "second_look_overdue", "alert"})
"""Counted apart, so that a flood of ordinary requests cannot crowd out what matters most, nor the other way round."""

RESULTS: frozenset[Reason] = frozenset({"granted", "denied"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that one person is told once.

    person: name of a reviewer, of an initiator, or from the list `alerts`. about: name of the approval or alert. position, at: of the
    event that is the reason, or since when the time is over. subject, risks, expires: of the request. severity, rule: of the alert.
    lines: of a digest, what it gathers.
    """

    id: str
    reason: Reason
    person: str
    about: str
    position: int
    at: datetime
    subject: str = ""
    risks: tuple[str, ...] = ()
    expires: datetime | None = None
    severity: str = ""
    rule: str = ""
    lines: tuple[str, ...] = ()

    @property
    def urgent(self) -> bool:
        """Which of the two budgets it is counted in."""
        return self.reason in URGENT


def notice_id(origin: str, *parts: str) -> str:
    """Return the id of a notice: the same whenever the same log says the same, so that a receiver tells a repetition."""
    said = "\n".join((origin, *parts))
    return "notice-" + hashlib.sha256(said.encode()).hexdigest()[:32]

"""All rules, held against every event in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenuto.verification import Verified

from .brake import Brake
from .bursts import burst
from .finding import Finding
from .history import History
from .order import after_the_end, out_of_order, ungated_call
from .refusals import clock_ahead, clock_behind, equivocation, refused_record, repeated_refusals
from .reviews import unopened, unreviewed
from .sources import new_source, unknown_receiver, wrong_sender

Judge = Callable[[History, Verified], Finding | None]

JUDGES: tuple[Judge, ...] = (
    wrong_sender, new_source, unknown_receiver, burst, out_of_order, after_the_end, ungated_call, unreviewed, unopened,
    refused_record, repeated_refusals, equivocation, clock_ahead, clock_behind,
)  # fmt: skip
"""Every rule, in the order in which an event is held against them; each is named as its entry in `finding.RULES`."""

class Rules:
    """The rules over one history."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._history, self._brake = History(), Brake()

    def take(self, page: Sequence[Verified]) -> list[Finding]:
        """Hold each event against every rule, then remember it; where pages begin and end makes no difference."""
        findings = []
        for verified in page:
            judged = [finding for judge in JUDGES if (finding := judge(self._history, verified)) is not None]
            findings += [said for finding in judged if (said := self._brake.passes(finding, verified)) is not None]
            self._history.take(verified)
        return findings

"""The demonstration's stand-in for a person: it has each piece open for its least time, one after the other, then approves.

It takes no short cut: the pieces are those that the ledger lists, the time is measured here and recorded by the stand-in's
own console, and it signs only once the ledger shows that coverage. Nobody looks at anything, and every event says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..approvals import Approvals
from ..clock import EPOCH
from ..documents import Reason
from ..events import ApprovalExpired, ApprovalOpened, ApprovalRequested, ApprovalRevoked, ApprovalSigned, ApprovalViewed
from ..verification import Verified

if TYPE_CHECKING:
    from ..recorder import Recorder

REASON = "Unattended demonstration: approved by a program. Nobody looked at it."


class StandIn:
    """Answers every open request, in whatever run: an agent that waits for an older run would never come to this one."""

    def __init__(self, reviewer: Recorder, console: Recorder, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`reviewer` signs, `console` says what was on screen; both are open."""
        self._reviewer, self._console, self._monotonic = reviewer, console, monotonic
        self._approvals = Approvals()
        self._open: dict[str, ApprovalRequested] = {}
        self._shown: dict[str, int] = {}
        self._since = 0.0
        self._now = EPOCH

    def take(self, verified: Verified) -> None:
        """Take the next verified event of the ledger."""
        self._approvals.apply(verified)
        self._now = verified.recorded_at
        event = verified.event
        if isinstance(event, ApprovalRequested):
            self._open.setdefault(event.approval, event)
        elif isinstance(event, ApprovalExpired | ApprovalRevoked) or (
            isinstance(event, ApprovalSigned) and event.author == self._reviewer.author
        ):
            self._open.pop(event.approval, None)

    def look(self) -> None:
        """Go on with the oldest open request: show the next piece once this one's time is over, at last sign."""
        asked = next((one for one in self._open.values() if self._may_be_granted(one.approval)), None)
        if asked is None:
            return
        about: dict[str, Any] = {
            "run": asked.run, "cause": (asked.id,), "approval": asked.approval, "digest": asked.digest,
        }  # fmt: skip
        pieces = self._approvals.request(asked.approval).pieces.demanded
        if asked.approval not in self._shown:
            self._shown[asked.approval], self._since = 0, self._monotonic()
            self._console.record(ApprovalOpened, reviewer=self._reviewer.author, **about)
        shown = self._shown[asked.approval]
        if shown < len(pieces):
            self._show(asked, pieces[shown].digest, pieces[shown].milliseconds, about)
            return
        covered = self._approvals.coverage(asked.approval, self._reviewer.author)
        if not covered.sentence:
            self._reviewer.record(
                ApprovalSigned, document=Reason(text=REASON), decision="approve", coverage=covered.digest, **about
            )
            del self._open[asked.approval]

    def _may_be_granted(self, approval: str) -> bool:
        standing = self._approvals.standing(approval, self._now)
        return standing.state == "open" and not standing.request.pieces.fault

    def _show(self, asked: ApprovalRequested, piece: str, least: int, about: dict[str, Any]) -> None:
        milliseconds = int((self._monotonic() - self._since) * 1000)
        if milliseconds < least:
            return
        self._console.record(
            ApprovalViewed, piece=piece, milliseconds=milliseconds, reviewer=self._reviewer.author, **about
        )
        self._shown[asked.approval] += 1
        self._since = self._monotonic()

    def close(self) -> None:
        """End both sessions."""
        self._reviewer.close()
        self._console.close()

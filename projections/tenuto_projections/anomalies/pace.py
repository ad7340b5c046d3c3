"""How often something happens: a sliding window, and an author's pace with what it was before. Time is the ledger's."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from tenuto.events.alert import EVIDENCE_IDS_MAX

MINUTE = timedelta(minutes=1)
TEACHES_AFTER = timedelta(hours=1)
BURST_MESSAGES_MIN = 20
BURST_FACTOR = 5
MINUTES_KEPT_MAX = 1000


@dataclass
class Window:
    """The moments of the last `span`, with at most as many ids as an alert can name."""

    span: timedelta
    moments: deque[datetime] = field(default_factory=deque)
    ids: deque[UUID] = field(default_factory=lambda: deque(maxlen=EVIDENCE_IDS_MAX))

    def count(self, now: datetime) -> int:
        """Return how many moments lie within the span that ends now."""
        while self.moments and self.moments[0] <= now - self.span:
            self.moments.popleft()
        return len(self.moments)

    def take(self, now: datetime, identity: UUID) -> None:
        """Add one."""
        self.moments.append(now)
        self.ids.append(identity)


@dataclass
class Pace:
    """An author's messages a minute: those of the last 60 seconds, and the highest count of the minutes before.

    A minute teaches an hour later, and never if it touches a burst; otherwise an author could work its way up, or the
    first burst would excuse the second.
    """

    window: Window = field(default_factory=lambda: Window(MINUTE))
    highest: int = 0
    over: bool = False
    _known: deque[int] = field(default_factory=lambda: deque(maxlen=MINUTES_KEPT_MAX))
    _young: deque[tuple[datetime, int]] = field(default_factory=deque)

    @property
    def limit(self) -> int:
        """How many messages a minute are not yet a burst."""
        return max(BURST_MESSAGES_MIN, BURST_FACTOR * self.highest)

    def take(self, now: datetime, identity: UUID) -> None:
        """Count one message."""
        self._learn(now)
        self.window.take(now, identity)
        self.over = self.window.count(now) > self.limit
        minute = now.replace(second=0, microsecond=0)
        if self._young and self._young[-1][0] == minute:
            self._young.append((minute, self._young.pop()[1] + 1))
        else:
            self._young.append((minute, 1))
        while self.over and self._young and minute - self._young[-1][0] <= MINUTE:
            self._young.pop()

    def _learn(self, now: datetime) -> None:
        while self._young and now - self._young[0][0] > TEACHES_AFTER:
            self._known.append(self._young.popleft()[1])
            self.highest = max(self._known)

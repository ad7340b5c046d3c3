"""From the spool to the bus, in order, again and again until the ledger's receipts have emptied the spool.

What the bus acknowledges counts for nothing here: a broker may lose everything it acknowledged. So publishing starts
over from the oldest event without receipt whenever something speaks for a loss: the bus was away, its offsets ran
back, or no receipt came for a while. Ingest makes repetition harmless; a hole in a session is what costs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from .bus import Place, Publisher
from .errors import Busy
from .settings import EVENTS_TOPIC
from .spool import Outgoing, Spool

PAGE_EVENTS = 200
FLUSH_SECONDS = 5.0
PATIENCE_SECONDS = 5.0
PATIENCE_SECONDS_MAX = 60.0
IDLE_SECONDS = 0.5
PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 2.0
log = logging.getLogger(__name__)


class Drain:
    """Publishes what waits in a spool. `run` and `step` belong to one thread; the rest may be called by any."""

    def __init__(self, publisher: Publisher, spool: Spool, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """`patience_seconds`: so long without any receipt, and everything is published again; doubles each time."""
        self._publisher, self._spool, self._first_patience = publisher, spool, patience_seconds
        self._published = 0  # the highest number handed over since the last start
        self._offsets: dict[int, int] = {}
        self._oldest, self._since, self._patience = 0, time.monotonic(), patience_seconds
        self.away = False  # whether the bus took nothing when it was tried last
        self._again, self._wake, self.stopping = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> None:
        """Publish what comes, and again what got lost, until `stop`; a thread's whole life."""
        pause = 0.0
        while not self.stopping.is_set():
            try:
                while not self.stopping.is_set() and self.step():
                    pause = 0.0
            except Busy as busy:
                if not pause:
                    log.warning("%s %s events wait in %s.", busy, self._spool.waiting()[0], self._spool.path)
                pause = min(max(2 * pause, PAUSE_SECONDS), PAUSE_SECONDS_MAX)
                self.stopping.wait(pause)
            else:
                pause = 0.0
                self._wake.wait(IDLE_SECONDS)
                self._wake.clear()

    def wake(self) -> None:
        """There is something new in the spool."""
        self._wake.set()

    def stop(self) -> None:
        """End `run` soon; what is not published stays in the spool."""
        self.stopping.set()
        self._wake.set()

    def start_over(self) -> None:
        """Begin the next step with the oldest event that has no receipt."""
        self._again.set()
        self._wake.set()

    def caught_up(self) -> bool:
        """Whether everything in the spool was handed over and acknowledged since the last start."""
        return not self._again.is_set() and not self._spool.pending(self._published, 1)

    def step(self) -> int:
        """Publish the next events, at most PAGE_EVENTS, and return how many; 0 when there is nothing to do.

        Raises Busy when the bus is away or full; the next step then starts over.
        """
        if self._again.is_set() or self._patience_is_over():
            self._again.clear()
            self._published = 0
        rows = self._spool.pending(self._published, PAGE_EVENTS)
        if not rows:
            return 0
        try:
            places = self._publish(rows)
        except Busy:
            self.away = True
            self.start_over()
            raise
        self.away = False
        self._published = rows[len(places) - 1].number
        if self._ran_back(places):
            self.start_over()
        return len(places)

    def _publish(self, rows: Sequence[Outgoing]) -> list[Place]:
        """Publish the rows, or as many of them as the bus takes at once but at least one; returns where they lie."""
        futures: list[Future[Place]] = []
        stopped: Busy | None = None
        for row in rows:
            try:
                futures.append(self._publisher.publish(EVENTS_TOPIC, row.session.bytes, row.record))
            except Busy as busy:
                stopped = busy
                break
        self._flush(futures)
        if stopped is not None and not futures:
            raise stopped
        return [future.result() for future in futures]

    def _flush(self, futures: Sequence[Future[Place]]) -> None:
        while True:
            try:
                self._publisher.flush(FLUSH_SECONDS)
            except Busy:
                # Time ran out with records still on their way: publishing them again now would only add to the queue.
                if self.stopping.is_set() or all(future.done() for future in futures):
                    raise
            else:
                return

    def _patience_is_over(self) -> bool:
        """Whether published events have waited too long since the last receipt or the last start."""
        oldest, _ = self._spool.oldest() or (0, 0)
        now = time.monotonic()
        if oldest != self._oldest or oldest > self._published:
            self._oldest, self._since, self._patience = oldest, now, self._first_patience
            return False
        if oldest == 0 or now - self._since < self._patience:
            return False
        self._since, self._patience = now, min(2 * self._patience, PATIENCE_SECONDS_MAX)
        return True

    def _ran_back(self, places: Sequence[Place]) -> bool:
        """Whether a partition gave an offset again, which it does only when its topic was made anew."""
        ran_back = False
        for place in places:
            ran_back |= place.offset <= self._offsets.get(place.partition, -1)
            self._offsets[place.partition] = place.offset
        return ran_back

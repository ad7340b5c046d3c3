"""One step of the notifier: read what was signed, keep what follows from it, send what is due.

 1. Every newly signed event is folded. Nothing is kept before its root was compared with a signed checkpoint.
 2. Notices and the place in the ledger are kept in one transaction.
 3. What is no longer worth telling is dropped; the rest is let out, or held, by the person's hour (`pacing`).
 4. Each channel is tried, the oldest letter first. One that does not answer waits, longer each time, and holds up no other.

Delivery is at least once: a crash between sending and noting it sends again, under the same id. The ledger is only read, by a role
of the database that sees headers and no payload, so nothing that happens here stops or changes anything on the road.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from tenuto.clock import EPOCH, Clock
from tenuto.errors import Busy, Refused
from tenuto.log.durable import write_durably
from tenuto.log.merkle import Frontier
from tenuto.verification import Verified

from ..siem.cursor import CursorRefused
from ..siem.exporting import Following
from .channels import Sender
from .contacts import Contacts
from .notices import RESULTS, Notice
from .outbox import Outbox, Place
from .pacing import let_out
from .telling import Telling
from .wording import letter_of

RETRY_SECONDS, RETRY_SECONDS_MAX = 5.0, 900.0
LOOK_AGAIN = timedelta(seconds=5)
LETTERS_AT_ONCE = 20
KEPT = timedelta(days=30)
log = logging.getLogger(__name__)


class Notifier:
    """One life of the notifier. `follower` and `telling` must be new, before the first event; the others are its own."""

    def __init__(
        self, follower: Following, telling: Telling, outbox: Outbox, contacts: Contacts, senders: Mapping[str, Sender], *,
        origin: str, console: str, clock: Clock, status: Path,
    ) -> None:  # fmt: skip
        """`console`: its address. `status`: a file that says how it goes, for `tenuto status`."""
        self._follower, self._telling, self._outbox = follower, telling, outbox
        self._contacts, self._senders = contacts, senders
        self._origin, self._console, self._clock, self._status = origin, console, clock, status
        self._begun = outbox.place()
        self._size = 0 if self._begun is None else self._begun.size
        self._before: Frontier | None = Frontier()
        self._found: list[Notice] = []
        self._seen = self._looked = EPOCH
        self._said: dict[str, Any] = {}

    def step(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Take one step; return the number of events and letters. Leaves between two pages or letters when `stopping` says so.

        Raises Busy (call again, nothing is lost), and VerificationFailed: stop for good.
        """
        count = 0
        for page in self._follower.pages():
            self._take(page)
            count += len(page)
            if stopping():
                return count
        now = max(self._seen, self._clock.now())
        if count or now - self._looked >= LOOK_AGAIN:
            self._verify_beginning()
            self._keep(now)
            self._looked = now
        let_out(self._outbox, self._contacts, lambda one: self._telling.still(one, now), origin=self._origin, now=now)
        count += sum(self._deliver(channel, now, stopping) for channel in self._senders)
        self._tell_status()
        return count

    def _take(self, page: Sequence[Verified]) -> None:
        for verified in page:
            if self._before is not None and verified.position < self._size:
                self._before = self._before.extend([verified.leaf])
            notices = self._telling.take(verified)
            if verified.position >= self._size:
                self._found += (one for one in notices if self._contacts.wants(one.person, one.reason))
            self._seen = verified.recorded_at

    def _verify_beginning(self) -> None:
        """Raise CursorRefused unless this ledger begins with the events that were told of before."""
        if self._before is None or self._begun is None:
            return
        if self._begun.origin != self._origin:
            raise CursorRefused(f"the outbox belongs to the log {self._begun.origin}, this is {self._origin}")
        if self._follower.walk.size < self._begun.size:
            raise CursorRefused(f"{self._begun.size:,} events were told of before, the log has signed {self._follower.walk.size:,}")
        if self._before.root().hex() != self._begun.root:
            raise CursorRefused(f"the first {self._begun.size:,} events are not those that were told of before")
        self._before = None

    def _keep(self, now: datetime) -> None:
        found = [*self._found, *(one for one in self._telling.by_time(now) if self._contacts.wants(one.person, one.reason))]
        if self._begun is None:
            # The first time ever: what is open is told, and nobody is woken by what was over long ago.
            quiet = RESULTS | {"alert"}
            found = [one for one in found if one.reason not in quiet and self._telling.still(one, now)]
        walk = self._follower.walk
        self._begun = Place(self._origin, walk.size, walk.frontier.root().hex())
        self._outbox.take(self._begun, found, now)
        self._outbox.forget(now - KEPT)
        self._found, self._size, self._before = [], walk.size, None

    def _deliver(self, channel: str, now: datetime, stopping: Callable[[], bool]) -> int:
        state, sent = self._outbox.channel(channel), 0
        if now < state.next_try:
            return 0
        for notice in self._outbox.waiting(channel, LETTERS_AT_ONCE):
            if stopping():
                return sent
            contact = self._contacts.people.get(notice.person)
            if contact is None or not self._telling.still(notice, now):
                self._outbox.end(notice, channel, "over")
                continue
            try:
                self._senders[channel].send(letter_of(notice, self._console), contact)
            except Refused as refusal:
                log.error("%s will not have %s for %s: %s", channel, notice.id, notice.person, refusal)
                self._outbox.end(notice, channel, "refused", error=str(refusal))
            except Busy as busy:
                pause = min(RETRY_SECONDS * 2**state.failures, RETRY_SECONDS_MAX)
                self._outbox.fail(channel, state.failures + 1, now + timedelta(seconds=pause), str(busy))
                log.warning("%s: %s The next try is in %.0f seconds.", channel, busy, pause)
                return sent
            else:
                # The receiver has it. A crash before the next line sends it again, under the same id.
                self._outbox.end(notice, channel, "sent", now=now)
                sent += 1
        return sent

    def _tell_status(self) -> None:
        channels = {}
        for name in self._senders:
            state, counts = self._outbox.channel(name), self._outbox.counts(name)
            channels[name] = {
                "waiting": counts.get("waiting", 0), "refused": counts.get("refused", 0), "failures": state.failures,
                "error": state.error, "next_try": state.next_try if state.failures else None, "last_sent": state.last_sent,
            }  # fmt: skip
        said = {
            "seen": self._size, "held": self._outbox.held(), "channels": channels,
            "unreachable": list(self._telling.unreachable()),
        }  # fmt: skip
        if said != self._said:
            write_durably({self._status: msgspec.json.encode(said)})
            self._said = said

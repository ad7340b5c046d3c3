"""The router at work: follow the ledger, decide to whom requests go, record it. It may assign and nothing else.

 1. What an earlier life recorded is brought into the ledger first.
 2. The ledger is followed to the newest checkpoint.
 3. What `tenuto.approvals.routing` says is recorded; until the ledger shows it, it counts as done, so it is said once.

A crash between deciding and recording leaves nothing, and the next life decides the same. A second router changes
nothing either: of two assignments for one place the desk takes the first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from .approvals.desk import Desk
from .approvals.routing import Assign, moves
from .clock import EPOCH, Clock
from .documents import Document, Reason
from .events import ApprovalAssigned
from .following import Follower

AUTHOR = "router"
SOFTWARE = "tenuto-router"
FLUSH_SECONDS = 5.0
log = logging.getLogger(__name__)


class Door(Protocol):
    """What the router needs of its recorder."""

    def record(
        self, kind: type[ApprovalAssigned], *, document: Document | None = None, run: str | None = None,
        cause: Sequence[UUID] = (), **fields: Any,
    ) -> ApprovalAssigned:  # fmt: skip
        """Sign the event and keep it until the ledger has it."""
        ...

    def flush(self, seconds: float) -> None:
        """Return once everything in the spool has its receipt; raises Busy when that takes longer than `seconds`."""
        ...


class Router:
    """One life of the router. `follower` must be new, before the first event."""

    def __init__(self, follower: Follower, door: Door, clock: Clock) -> None:
        """Nothing is read or assigned yet."""
        self._follower, self._door, self._clock = follower, door, clock
        self.desk = Desk()
        self._seen = EPOCH
        self._pending: dict[UUID, Assign] = {}
        self._settled = False

    def step(self) -> int:
        """Take what was signed since the last call and record what follows; return the number of events and assignments.

        Raises Busy (call again, nothing is lost), VerificationFailed, and what the recorder refuses.
        """
        if not self._settled:
            self._door.flush(FLUSH_SECONDS)
            self._settled = True
        events = self._follower.catch_up()
        for verified in events:
            self.desk.apply(verified)
            self._pending.pop(verified.event.id, None)
            self._seen = verified.recorded_at
        return len(events) + self._assign()

    def _assign(self) -> int:
        now = max(self._seen, self._clock.now())
        made = [move for move in moves(self.desk, now, tuple(self._pending.values())) if isinstance(move, Assign)]
        for move in made:
            asked = self.desk.approvals.request(move.approval).event
            event = self._door.record(
                ApprovalAssigned, document=Reason(text=move.sentence), run=asked.run, cause=(asked.id,),
                approval=move.approval, reviewer=move.reviewer, why=move.why, relieves=move.relieves,
            )  # fmt: skip
            self._pending[event.id] = move
            log.info("%s goes to %s (%s): %s", move.approval, move.reviewer, move.why, move.sentence)
        return len(made)

"""The router at work: follow the ledger, decide to whom requests go, make the draws of spot checks, record both.

 1. What an earlier life recorded is brought into the ledger first.
 2. The ledger is followed to the newest checkpoint.
 3. What `tenuto.approvals.routing` says is recorded; until the ledger shows it, it counts as done, so it is said once.
 4. Each spent approval is drawn for by lot, as soon as a cosigned checkpoint covers it (`tenuto.approvals.spotcheck`).

A crash between deciding and recording leaves nothing, and the next life decides the same. A second router changes
nothing either: of two assignments for one place the desk takes the first, and of two draws there is only one outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

from .approvals.desk import Desk
from .approvals.routing import Assign, moves
from .approvals.spotcheck import Spotcheck, Spotchecks, is_drawn
from .clock import EPOCH, Clock
from .documents import Document, Reason
from .errors import Busy, Refused
from .events import ApprovalAssigned, Event, SpotcheckDrawn
from .following import Follower
from .log.tiles import TileMissing

AUTHOR = "router"
SOFTWARE = "tenuto-router"
FLUSH_SECONDS = 5.0
LOOK_AGAIN = timedelta(seconds=2)
"""While the ledger stands still only the hour moves on, and that is looked at no more often: with a thousand requests that
wait, each look is tens of milliseconds."""
log = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)
Lot = Callable[[Spotcheck], tuple[int, str]]
"""Draws: returns the size of the checkpoint and the ticket; raises Busy while no cosigned checkpoint covers the spending."""


class Door(Protocol):
    """What the router needs of its recorder."""

    def record(
        self, kind: type[E], *, document: Document | None = None, run: str | None = None, cause: Sequence[UUID] = (),
        refs: Sequence[str] = (), **fields: Any,
    ) -> E:  # fmt: skip
        """Sign the event and keep it until the ledger has it."""
        ...

    def flush(self, seconds: float) -> None:
        """Return once everything in the spool has its receipt; raises Busy when that takes longer than `seconds`."""
        ...


class Router:
    """One life of the router. `follower` must be new, before the first event."""

    def __init__(self, follower: Follower, door: Door, clock: Clock, lot: Lot | None = None) -> None:
        """Nothing is read or assigned yet. Without `lot` no draws are made, and each counts as drawn once it is overdue."""
        self._follower, self._door, self._clock, self._lot = follower, door, clock, lot
        self.desk = Desk()
        self.checks = Spotchecks(self.desk.approvals)
        self._asked_for: set[str] = set()
        self._seen = self._looked = EPOCH
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
            self.checks.apply(verified)
            self._pending.pop(verified.event.id, None)
            self._seen, self._looked = verified.recorded_at, EPOCH
        return len(events) + self._assign() + self._draw()

    def _assign(self) -> int:
        now = max(self._seen, self._clock.now())
        if self._looked <= now < self._looked + LOOK_AGAIN:
            return 0
        self._looked = now
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

    def _draw(self) -> int:
        """Draw for what was spent; one that cannot be drawn yet is left to a later step, and holds up no other."""
        made = 0
        for check in self.checks.undrawn() if self._lot is not None else ():
            if check.approval in self._asked_for:
                continue
            assert self._lot is not None
            try:
                size, ticket = self._lot(check)
            except (Busy, TileMissing):
                continue
            except Refused as refusal:
                log.error("No draw can be made for %s; it counts as drawn: %s", check.approval, refusal)
                self._asked_for.add(check.approval)
                continue
            asked, drawn = self.desk.approvals.request(check.approval).event, is_drawn(ticket)
            self._door.record(
                SpotcheckDrawn, run=asked.run, cause=(asked.id,), refs=("M14",), approval=check.approval,
                position=check.position, size=size, ticket=ticket, drawn=drawn,
            )  # fmt: skip
            self._asked_for.add(check.approval)
            log.info("%s is %s for a second look.", check.approval, "drawn" if drawn else "not drawn")
            made += 1
        return made

"""Spot checks: which approvals get a second look, who may take it, and what it says about those who approved.

The draw is made when an approval is spent, which happens once, so nobody can throw again by taking a vote back. It is

    SHA-256(cosignature || name of the approval) < 15 % of 2^256

over the draw witness's cosignature on the first checkpoint that covers the spending (`tenuto.log.archive`): nobody knows it
before, and everybody can compute it after. The fold below takes the router's word for the ticket, no longer than its
own arithmetic agrees; `redraw` is for whoever does not. A draw that does not come counts as drawn once it is overdue, so that
withholding a checkpoint or an event gains nothing. How long a look may stay open is the ledger's word (`reviewer.limited`) at the
time of the spending, so that no later setting makes an old one disappear.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from ..events import ApprovalConsumed, SpotcheckDrawn, SpotcheckSigned
from ..events.reviewer import SPOTCHECK_SECONDS
from ..log.archive import Covering, first_covering
from ..log.witnessing import Policy
from ..verified import Verified
from .fold import Approvals

CHANCE_PERCENT = 15
OVERDUE_AFTER = timedelta(seconds=SPOTCHECK_SECONDS)
DRAWING_ROLE = "router"
_WHOLE = 1 << 256


@dataclass(frozen=True, slots=True)
class Spotcheck:
    """One spent approval. position, at: where and when it was spent. approved_by: the persons whose votes counted.

    excluded: persons who may not take the second look. drawn: None before the draw. finding, by: of the second look.
    looked: the event that says so. within: how long the draw may take, and then the look, before it is late.
    """

    approval: str
    digest: str
    position: int
    at: datetime
    approved_by: tuple[str, ...]
    excluded: frozenset[str]
    drawn: bool | None = None
    drawn_at: datetime | None = None
    finding: str = ""
    by: str = ""
    looked: UUID | None = None
    within: timedelta = OVERDUE_AFTER

    @property
    def due_from(self) -> datetime | None:
        """From when on somebody should look: the draw, or the moment at which it should have come; None if it was spared."""
        if self.drawn is None:
            return self.at + self.within
        return self.drawn_at if self.drawn else None

    @property
    def overdue_from(self) -> datetime | None:
        """After which moment an open one is overdue; None if it was spared."""
        return None if self.due_from is None else self.due_from + self.within

    def state(self, now: datetime) -> str:
        """Return waiting (for the draw), spared, due, overdue, agreed or disagreed, as of the ledger time `now`."""
        if self.finding:
            return {"agree": "agreed", "disagree": "disagreed"}[self.finding]
        due, late = self.due_from, self.overdue_from
        if due is None or late is None:
            return "spared"
        if self.drawn is None and now <= due:
            return "waiting"
        return "overdue" if now > late else "due"


@dataclass(frozen=True, slots=True)
class Quality:
    """What second looks said about one person's approvals."""

    agreed: int = 0
    disagreed: int = 0

    @property
    def score(self) -> float:
        """The share that was agreed with, 1.0 where nobody looked yet."""
        looked = self.agreed + self.disagreed
        return self.agreed / looked if looked else 1.0


def ticket_of(cosignature: bytes, approval: str) -> str:
    """Return the ticket, hex: SHA-256 over the cosignature's bytes (timestamp and signature) and the approval's name."""
    return hashlib.sha256(cosignature + approval.encode()).hexdigest()


def is_drawn(ticket: str) -> bool:
    """Whether a ticket means a second look."""
    return int(ticket, 16) * 100 < CHANCE_PERCENT * _WHOLE


def redraw(folder: Path, check: Spotcheck, policy: Policy, origin: str) -> tuple[Covering, str]:
    """Return the checkpoint and the ticket of a draw, from a log folder alone; raises what `first_covering` raises."""
    covering = first_covering(folder, check.position, policy, origin)
    return covering, ticket_of(covering.cosignature.signature, check.approval)


class Spotchecks:
    """The fold. `apply` takes verified events in ledger order, each after `approvals` took it."""

    def __init__(self, approvals: Approvals) -> None:
        """Start before the first event, beside a fold of the same ledger."""
        self._approvals = approvals
        self._checks: dict[str, Spotcheck] = {}
        self._draws: dict[str, SpotcheckDrawn] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event; kinds that are not about spot checks change nothing."""
        event = verified.event
        if isinstance(event, ApprovalConsumed):
            self._open(event, verified)
        elif isinstance(event, SpotcheckDrawn):
            self._draw(event, verified)
        elif isinstance(event, SpotcheckSigned):
            self._sign(event, verified)

    def all(self) -> tuple[Spotcheck, ...]:
        """Return every spent approval, oldest first."""
        return tuple(self._checks.values())

    def find(self, approval: str) -> Spotcheck | None:
        """Return the check of this approval, None if it was never spent."""
        return self._checks.get(approval)

    def draw_of(self, approval: str) -> SpotcheckDrawn | None:
        """Return the draw that stands for this approval."""
        return self._draws.get(approval)

    def undrawn(self) -> tuple[Spotcheck, ...]:
        """Return those that wait for their draw, oldest first."""
        return tuple(check for check in self._checks.values() if check.drawn is None)

    def open(self, now: datetime) -> tuple[Spotcheck, ...]:
        """Return those that want a second look now, oldest first."""
        return tuple(check for check in self._checks.values() if check.state(now) in ("due", "overdue"))

    def quality(self, owner: str) -> Quality:
        """Return what second looks said about the approvals of this person."""
        found = [check.finding for check in self._checks.values() if owner in check.approved_by]
        return Quality(found.count("agree"), found.count("disagree"))

    def _open(self, event: ApprovalConsumed, verified: Verified) -> None:
        if event.approval in self._checks or self._approvals.consumed_at(event.approval) != verified.position:
            return
        standing = self._approvals.standing(event.approval, verified.recorded_at)
        asked = standing.request
        approved = tuple(dict.fromkeys(vote.owner for vote in standing.counting))
        excluded = frozenset({*approved, asked.event.initiator, asked.agent_owner})
        self._checks[event.approval] = Spotcheck(
            event.approval, event.digest, verified.position, verified.recorded_at, approved, excluded,
            within=self._approvals.roster.second_look_within,
        )  # fmt: skip

    def _draw(self, event: SpotcheckDrawn, verified: Verified) -> None:
        check = self._checks.get(event.approval)
        if check is None or check.drawn is not None or verified.key.role != DRAWING_ROLE:
            return
        if event.position != check.position or event.size <= check.position or event.drawn is not is_drawn(event.ticket):
            return
        self._draws[event.approval] = event
        self._checks[event.approval] = replace(check, drawn=event.drawn, drawn_at=verified.recorded_at)

    def _sign(self, event: SpotcheckSigned, verified: Verified) -> None:
        check, looker = self._checks.get(event.approval), self._approvals.looker
        if check is None or looker is None or check.digest != event.digest or check.state(verified.recorded_at) not in ("due", "overdue"):
            return
        known = self._approvals.roster.find(looker.name)
        if looker.fault or looker.owner in check.excluded or (known is not None and not known.active):
            return
        self._checks[event.approval] = replace(check, finding=event.finding, by=looker.owner, looked=event.id)

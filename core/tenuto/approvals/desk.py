"""Who has what on the desk: the fold over `approval.assigned`, on top of the approvals.

A router records what it decided; whether that stands is decided here, by the ledger's order. So two routers, or one that
crashed between deciding and recording, cannot give one place away twice: what comes first is taken, what then no longer
fits is not. An assignment ends by itself when the reviewer has decided, may no longer review, or was relieved, and with
the request. Nobody needs one to vote: it says who is expected to, and whose turn it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..events import ApprovalAssigned
from ..verified import Verified
from .fold import Approvals, Request, Standing
from .roster import Reviewer, Roster

ROUTER_ROLE = "router"
FINAL = ("consumed", "revoked", "expired")
"""States that no event and no time changes any more."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One request on one reviewer's desk. why: the router's word for it; position: of the event that says so."""

    approval: str
    reviewer: str
    owner: str
    why: str
    at: datetime
    position: int


class Desk:
    """The fold. `approvals` and `roster` are what it stands on; `apply` feeds them as well."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.approvals = Approvals()
        self._given: dict[str, list[Assignment]] = {}
        self._relieved: dict[str, set[str]] = {}
        self._of_owner: dict[str, list[Assignment]] = {}
        self._open: dict[str, None] = {}

    @property
    def roster(self) -> Roster:
        """Who reviews, and within which limits."""
        return self.approvals.roster

    def apply(self, verified: Verified) -> None:
        """Take the next event."""
        self.approvals.apply(verified)
        event = verified.event
        if event.kind == "approval.requested":
            self._open.setdefault(getattr(event, "approval", ""))
        elif isinstance(event, ApprovalAssigned) and verified.key.role == ROUTER_ROLE:
            self._assign(event, verified)

    def undecided(self, now: datetime) -> Iterator[Standing]:
        """Yield every request that is open at `now`, oldest first."""
        for name in list(self._open):
            standing = self.approvals.standing(name, now)
            if standing.state in FINAL:
                del self._open[name]
            elif standing.state == "open":
                yield standing

    def live(self, standing: Standing) -> tuple[Assignment, ...]:
        """Return who is expected to decide on an open request, in the order of assignment."""
        approval = standing.request.event.approval
        if standing.state != "open":
            return ()
        voted = {vote.owner for vote in standing.counting}
        relieved = self._relieved.get(approval, set())
        return tuple(
            one for one in self._given.get(approval, ())
            if one.reviewer not in relieved and one.owner not in voted and self._reviews(one.reviewer)
        )  # fmt: skip

    def given(self, approval: str) -> tuple[Assignment, ...]:
        """Return every assignment of this request that was taken, oldest first, whether or not it still stands."""
        return tuple(self._given.get(approval, ()))

    def took(self, approval: str, position: int) -> bool:
        """Whether the assignment that stands at this position was one."""
        return any(one.position == position for one in self._given.get(approval, ()))

    def relieved(self, approval: str) -> frozenset[str]:
        """Return who had the request and did not decide in time."""
        return frozenset(self._relieved.get(approval, ()))

    def on_desk(self, owner: str, now: datetime) -> int:
        """Count the open requests that this person is expected to decide."""
        kept = [one for one in self._of_owner.get(owner, ()) if self._still(one, now)]
        self._of_owner[owner] = [one for one in self._of_owner.get(owner, ()) if one.approval in self._open]
        return len(kept)

    def places(self, owner: str, now: datetime) -> int:
        """Count the decisions this person may still be asked for: the cap, less the last hour's, less what lies there."""
        made = len(self.approvals.decisions(owner, now))
        return self.roster.decisions_per_hour - made - self.on_desk(owner, now)

    def _assign(self, event: ApprovalAssigned, verified: Verified) -> None:
        now = verified.recorded_at
        reviewer = self.roster.find(event.reviewer)
        if reviewer is None or event.approval not in self._open:
            return
        standing = self.approvals.standing(event.approval, now)
        live = self.live(standing)
        if standing.state != "open" or excluded(standing.request, reviewer) or self.places(reviewer.owner, now) < 1:
            return
        if reviewer.owner in {one.owner for one in live} | {vote.owner for vote in standing.counting}:
            return
        if event.relieves is not None:
            late = [one for one in live if one.reviewer == event.relieves and now >= one.at + self.roster.escalate_after]
            if not late:
                return
            self._relieved.setdefault(event.approval, set()).add(event.relieves)
        elif len(live) + len(standing.counting) >= standing.quorum:
            return
        one = Assignment(event.approval, reviewer.name, reviewer.owner, event.why, now, verified.position)
        self._given.setdefault(event.approval, []).append(one)
        self._of_owner.setdefault(reviewer.owner, []).append(one)

    def _still(self, one: Assignment, now: datetime) -> bool:
        return one.approval in self._open and one in self.live(self.approvals.standing(one.approval, now))

    def _reviews(self, name: str) -> bool:
        reviewer = self.roster.find(name)
        return reviewer is not None and bool(reviewer.keys) and reviewer.active


def excluded(request: Request, reviewer: Reviewer) -> str:
    """Say why this reviewer may never approve this request, or "": the identity rules of the fold, asked beforehand."""
    asked = request.event
    if not reviewer.keys or not reviewer.active:
        return "is not an active reviewer"
    if reviewer.name == asked.author or asked.initiator in (reviewer.name, reviewer.owner):
        return "started it"
    if reviewer.owner == request.agent_owner:
        return "answers for the agent that asks"
    role = reviewer.lacks(asked.risks)
    return f"does not have the role {role}" if role else ""

"""How many people must agree: what policy demanded of the call, and never less than its risks demand.

The number in a request is its author's word. What counts is the largest of three: that number, what `policy.decided` of
the same call demanded, and what the risks demand by themselves. A request without such a decision on record is about a
call that nobody allowed, and nothing clears it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from ..events import ApprovalRequested, PolicyDecided, ToolFailed, ToolRequested, ToolStarted
from ..verified import Verified

QUORUM: Mapping[str, int] = {"none": 0, "approval": 1, "approval_and_one_more": 2}
"""What each obligation of a policy decision demands."""
ALWAYS_A_PERSON = frozenset({"security_group", "iam", "public_endpoint"})
ONE_MORE = frozenset({"deletion", "replacement"})


@dataclass(frozen=True, slots=True)
class Demand:
    """What is needed. quorum: distinct reviewers. call: the one call it is for. fault: why nothing can clear it, or ""."""

    quorum: int
    call: str = ""
    fault: str = ""


def least_quorum(obligation: str, risks: Collection[str]) -> int:
    """Return how many people must agree to a call with this obligation and these risks; 0 only where neither asks for one.

    Deletions need one more than they would without; security groups, IAM and public endpoints always need a person.
    """
    if ONE_MORE.intersection(risks):
        return max(QUORUM[obligation], 2)
    return max(QUORUM[obligation], 1 if ALWAYS_A_PERSON.intersection(risks) else 0)


class Decisions:
    """What was asked of policy, and what it said: the fold over `tool.requested` and `policy.decided`."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._asked: dict[tuple[str, str], ToolRequested] = {}
        self._decided: dict[tuple[str, UUID], PolicyDecided] = {}
        self._decisions: dict[tuple[str, str], list[UUID]] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event; of two that claim one call, the first stands. A call that began or ended is forgotten:
        whoever asks people about it then asks too late, and there are many calls.
        """
        event = verified.event
        if isinstance(event, ToolRequested):
            self._asked.setdefault((event.author, event.call), event)
        elif isinstance(event, PolicyDecided):
            self._decided.setdefault((event.author, event.id), event)
            self._decisions.setdefault((event.author, event.call), []).append(event.id)
        elif isinstance(event, ToolStarted | ToolFailed):
            self._asked.pop((event.author, event.call), None)
            for decided in self._decisions.pop((event.author, event.call), ()):
                self._decided.pop((event.author, decided), None)

    def demand(self, request: ApprovalRequested) -> Demand:
        """Return what clears this request, by the decision among its causes that its own author recorded."""
        decided = next((found for cause in request.cause if (found := self._decided.get((request.author, cause)))), None)
        if decided is None:
            return Demand(request.quorum, fault="no decision of policy about its call is on record.")
        asked = self._asked.get((request.author, decided.call))
        if request.call not in (None, decided.call):
            return Demand(request.quorum, decided.call, "policy decided about another call.")
        if asked is None or (asked.tool, asked.resource, asked.digest) != (request.tool, request.resource, request.digest):
            return Demand(request.quorum, decided.call, "policy was asked about another tool, resource or digest.")
        if decided.effect != "allow":
            return Demand(request.quorum, decided.call, "policy denied the call.")
        return Demand(max(request.quorum, least_quorum(decided.obligation, request.risks)), decided.call)

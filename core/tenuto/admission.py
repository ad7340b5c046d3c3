"""A tool's own look at the ledger: whether a call that reaches it may happen, whatever its caller says.

The gate lives in the agent's process, and whoever took the agent over walks round it. What nobody in that process can do is
to make the ledger say, to another reader, what did not happen. So a tool server reads the ledger itself, and before each call:

 1. the start that the caller names is on record, under a checkpoint of the log, by the agent whose tools these are
 2. it is about this very thing: tool, resource and digest are those that the server computes from the arguments it was given
 3. it is under way: the only start of its call, no end of it is on record, it is at most START_SECONDS_MAX old, and nothing
    of the same kind is unknown since before (`outcomes`)
 4. policy allows it, asked here again by the server's own rules; what the agent recorded as policy's answer counts for nothing
 5. where these rules or the risks demand people, an approval of exactly this was granted and spent on this call, in time
 6. it was not used before: from here on it is spent, and the tool may be touched

A ledger that cannot be read admits nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from .action import Action, Patience
from .approvals import NotGranted
from .approvals.quorum import least_quorum
from .clock import Clock
from .errors import Refused
from .events import ApprovalConsumed, ToolFailed, ToolFinished, ToolStarted, ToolUnknown
from .keyring import KeyringRefused
from .policy.decision import Policy, PolicyRequest
from .seeing import LedgerView, RunLetGo
from .verification import Verified

if TYPE_CHECKING:
    from .following import Follower

START_SECONDS_MAX = 120.0


class NotAdmitted(Refused):
    """The call does not carry a proof that counts; the tool was not touched. `rule` is the number of the check that fails."""

    reason = "not_admitted"

    def __init__(self, rule: int, sentence: str) -> None:
        """`rule` as in this module's docstring."""
        super().__init__(f"The call is not admitted ({rule}): {sentence}")
        self.rule = rule


class Spent(Protocol):
    """Remembers which calls were admitted, for as long as their start could still count."""

    def spend(self, agent: str, call: str) -> None:
        """Return once the call is durably spent; raises Refused when it was before. Of two at once one wins."""
        ...


class Admission:
    """What stands before the tools of one server. One call at a time."""

    def __init__(
        self, *, agent: str, follower: Follower, policy: Policy, spent: Spent, clock: Clock, patience: Patience | None = None
    ) -> None:
        """`agent` is the only author whose starts count; `follower` stands before the first event and is this one's alone."""
        patience = patience or Patience()
        self.agent, self._policy, self._spent, self._clock = agent, policy, spent, clock
        self._view = LedgerView(follower, ledger_seconds=patience.ledger_seconds, poll_seconds=patience.poll_seconds)

    def look(self) -> None:
        """Take in what the log has signed so far, so that no call waits for it; a ledger that is away is met again there."""
        self._view.wait_for(lambda: True)

    def events_of(self, run: str) -> list[Verified]:
        """Return the verified events of a run, as far as they were taken in."""
        return self._view.events_of(run)

    def admit(self, action: Action, *, run: str, start: UUID) -> ToolStarted:
        """Return the start that lets `action` happen once, and spend it; raises NotAdmitted, Busy, VerificationFailed.

        `action` is what the call is, computed by the server itself; `run` and `start` are what the caller names.
        """
        self._view.settle()
        found = self._find(run, start)  # (1)
        begun = found.event
        assert isinstance(begun, ToolStarted)
        for name in ("tool", "resource", "digest"):  # (2)
            if getattr(begun, name) != getattr(action, name):
                raise NotAdmitted(2, f"the start on record is of another {name}, {getattr(begun, name)}.")
        self._demand_under_way(found, begun)  # (3)
        quorum = self._demand_allowed(action)  # (4)
        if quorum > 0:
            self._demand_cleared(action, found, begun, quorum)  # (5)
        try:
            self._spent.spend(self.agent, begun.call)  # (6)
        except Refused as refusal:
            raise NotAdmitted(6, str(refusal)) from refusal
        return begun

    def _find(self, run: str, start: UUID) -> Verified:
        for verified in self._events(run):
            if verified.event.id == start and isinstance(verified.event, ToolStarted) and verified.event.author == self.agent:
                return verified
        raise NotAdmitted(1, f"no start {start} of {self.agent} is on record in the run {run!r:.80}.")

    def _events(self, run: str) -> list[Verified]:
        try:
            return self._view.events_of(run)
        except RunLetGo as gone:
            raise NotAdmitted(1, str(gone)) from gone

    def _demand_under_way(self, found: Verified, begun: ToolStarted) -> None:
        own = [one.event for one in self._events(begun.run or "") if one.event.author == self.agent]
        if sum(isinstance(event, ToolStarted) and event.call == begun.call for event in own) != 1:
            raise NotAdmitted(3, f"the call {begun.call} was started more than once.")
        if any(isinstance(event, ToolFinished | ToolFailed | ToolUnknown) and event.call == begun.call for event in own):
            raise NotAdmitted(3, f"the call {begun.call} is over.")
        if self._clock.now() - found.recorded_at > timedelta(seconds=START_SECONDS_MAX):
            raise NotAdmitted(3, f"the call {begun.call} was started more than {START_SECONDS_MAX:g} seconds ago.")
        lost = self._view.outcomes.in_the_way(self.agent, begun.tool, begun.resource, begun.call)
        if lost is not None:
            raise NotAdmitted(3, f"how {lost.call} ended is unknown, and nothing is tried again blind.")

    def _demand_allowed(self, action: Action) -> int:
        """Return how many people must have agreed."""
        try:
            role = self._view.role(self.agent)
        except KeyringRefused as refusal:
            raise NotAdmitted(4, str(refusal)) from refusal
        request = PolicyRequest(
            principal=self.agent, role=role, tool=action.tool, resource=action.resource, digest=action.digest,
            subject=action.subject, risks=action.risks, initiator=action.initiator, arguments=action.arguments,
        )  # fmt: skip
        decision = self._policy.decide(request)
        if decision.effect != "allow":
            raise NotAdmitted(4, f"policy does not allow {action.tool} on {action.resource}: {', '.join(decision.rules)}.")
        return least_quorum(decision.obligation, action.risks)

    def _demand_cleared(self, action: Action, found: Verified, begun: ToolStarted, quorum: int) -> None:
        spent = next(
            (
                one for one in self._events(begun.run or "")
                if one.event.id in begun.cause and one.event.author == self.agent and isinstance(one.event, ApprovalConsumed)
            ),
            None,
        )  # fmt: skip
        if spent is None or spent.position > found.position:
            raise NotAdmitted(5, f"policy wants {quorum} to agree, and the start names no approval that was spent before it.")
        consumed = spent.event
        assert isinstance(consumed, ApprovalConsumed)
        approvals = self._view.approvals
        try:
            request = approvals.request(consumed.approval)
        except NotGranted as missing:
            raise NotAdmitted(5, str(missing)) from missing
        # Withdrawn, expired, revoked, denied, spent on another call or by another author: the fold then says that it was not.
        if consumed.call != begun.call or approvals.consumed_at(consumed.approval) != spent.position:
            raise NotAdmitted(5, f"the approval {consumed.approval} was not granted and spent on the call {begun.call}.")
        asked = request.event
        if (asked.author, asked.tool, asked.resource, asked.digest, asked.subject) != (
            self.agent, action.tool, action.resource, action.digest, action.subject or action.tool
        ):  # fmt: skip
            raise NotAdmitted(5, f"people were asked about something else in {asked.approval}.")
        if hidden := sorted(set(action.risks) - set(asked.risks)):
            raise NotAdmitted(5, f"people were not told of the risk {hidden[0]} in {asked.approval}.")
        if action.initiator and asked.initiator != action.initiator:
            raise NotAdmitted(5, f"{asked.approval} names {asked.initiator} as its initiator, and it is {action.initiator}.")
        if request.demand.quorum < quorum:
            raise NotAdmitted(5, f"{asked.approval} asked {request.demand.quorum} to agree, and policy here wants {quorum}.")



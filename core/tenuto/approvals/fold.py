"""Does this approval count? The same function for router, console, gate and replay.

A reviewer signs a fact: "I approve exactly this digest". Whether it counts follows from the ledger by these rules:

 1. the digest, tool and resource are the ones that were requested
 2. the reviewer may review, and is neither author nor initiator of the request nor owner of the agent (by identity)
 3. what bears risk was opened before signing (counted where the request demands coverage)
 4. the reviewer made at most 10 decisions that count in any sliding 60 minutes; a denial is never held up by it
 5. the quorum of distinct reviewers is reached and nobody who counts denied
 6. the request is neither expired nor revoked
 7. the approval was not consumed: one approval, one execution

Who asked consumes, over the digest that was asked for, and only while rules 5 and 6 hold: what was consumed too early,
too late or by somebody else was not consumed at all. After it nothing changes, whoever votes, withdraws or revokes.

Time is the ledger's `recorded_at`, so the answer at a position never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..errors import Refused
from ..events import ApprovalConsumed, ApprovalRequested, ApprovalRevoked, ApprovalSigned
from ..verified import Verified

DECISIONS_PER_HOUR_MAX = 10
CAP_WINDOW = timedelta(minutes=60)

RULES: dict[int, str] = {
    1: "digest, tool and resource are the ones requested",
    2: "the reviewer is entitled and independent",
    3: "what bears risk was opened before signing",
    4: "the reviewer was under the hourly cap",
    5: "the quorum of distinct reviewers is reached",
    6: "the request is neither expired nor revoked",
    7: "the approval was not consumed before",
}


class NotGranted(Refused):
    """The approval does not clear this action; `rule` is the number of the rule that fails."""

    reason = "not_granted"

    def __init__(self, rule: int, sentence: str) -> None:
        """`rule` is a number of RULES."""
        super().__init__(f"Rule {rule} ({RULES[rule]}) does not hold: {sentence}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One numbered rule, whether it holds now, and why."""

    rule: int
    holds: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One reviewer's signed decision. `counts` is False with the number and sentence of the rule that it breaks."""

    reviewer: str
    owner: str
    decision: str
    position: int
    recorded_at: datetime
    insecure_demo: bool
    counts: bool
    rule: int = 0
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, by whom, and when the ledger recorded it. `agent_owner` answers for the asking agent."""

    event: ApprovalRequested
    agent_owner: str
    position: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands: `state` is open, granted, denied, expired, revoked or consumed."""

    request: Request
    state: str
    votes: tuple[Vote, ...]
    rules: tuple[RuleResult, ...]

    @property
    def counting(self) -> tuple[Vote, ...]:
        """The approvals that count, one per reviewer."""
        return tuple(vote for vote in self.votes if vote.counts and vote.decision == "approve")


@dataclass
class _Case:
    request: Request
    votes: list[Vote] = field(default_factory=list)
    revoked: int | None = None
    consumed: tuple[int, str] | None = None


class Approvals:
    """The fold. `apply` takes verified events in ledger order; everything else only reads."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._cases: dict[str, _Case] = {}
        self._decisions: dict[str, list[datetime]] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event; kinds that are not about approvals change nothing."""
        event = verified.event
        if isinstance(event, ApprovalRequested):
            request = Request(event, verified.key.owner, verified.position, verified.recorded_at)
            self._cases.setdefault(event.approval, _Case(request))
        elif isinstance(event, ApprovalSigned):
            self._vote(event, verified)
        elif isinstance(event, ApprovalRevoked):
            case = self._cases.get(event.approval)
            if case and case.consumed is None and case.revoked is None and self._may_revoke(case, verified):
                case.revoked = verified.position
        elif isinstance(event, ApprovalConsumed):
            case = self._cases.get(event.approval)
            if case and case.consumed is None and self._may_consume(case, event, verified.recorded_at):
                case.consumed = (verified.position, event.call)

    def requests(self) -> tuple[str, ...]:
        """The names of all requests, oldest first."""
        return tuple(self._cases)

    def request(self, approval: str) -> ApprovalRequested:
        """Return what was asked for under this name; raises NotGranted (rule 1) for an unknown one."""
        return self._case(approval).request.event

    def consumed_by(self, approval: str) -> str | None:
        """Return the call that consumed the approval first, or None."""
        case = self._cases.get(approval)
        return case.consumed[1] if case and case.consumed else None

    def standing(self, approval: str, now: datetime) -> Standing:
        """Return where the request stands at the ledger time `now`; raises NotGranted (rule 1) for an unknown name."""
        case = self._case(approval)
        rules = (self._independent(case), self._quorum(case), self._in_time(case, now), self._unconsumed(case))
        return Standing(case.request, self._state(case, now), tuple(case.votes), rules)

    def verify_granted(self, requested: ApprovalRequested, now: datetime) -> tuple[Vote, ...]:
        """Return the votes that clear exactly this action now; raises NotGranted with the first rule that fails.

        `requested` is what the caller is about to do, in the terms it asked for.
        """
        case = self._case(requested.approval)
        asked = case.request.event
        for name in ("digest", "tool", "resource", "author", "quorum", "subject", "initiator", "risks", "expires"):
            if getattr(asked, name) != getattr(requested, name):
                raise NotGranted(1, f"the request on record has another {name}.")
        for result in (self._in_time(case, now), self._unconsumed(case), self._quorum(case)):
            if not result.holds:
                raise NotGranted(result.rule, result.sentence)
        return self.standing(requested.approval, now).counting

    def _case(self, approval: str) -> _Case:
        case = self._cases.get(approval)
        if case is None:
            raise NotGranted(1, f"no request named {approval} is in the ledger.")
        return case

    def _vote(self, event: ApprovalSigned, verified: Verified) -> None:
        case = self._cases.get(event.approval)
        if case is None:
            return
        if event.decision == "withdraw":
            case.votes = [vote for vote in case.votes if vote.reviewer != event.author or case.consumed is not None]
            return
        rule, sentence = self._broken_rule(case, event, verified)
        if rule == 0:
            self._decisions.setdefault(verified.key.owner, []).append(verified.recorded_at)
        case.votes.append(
            Vote(
                reviewer=event.author, owner=verified.key.owner, decision=event.decision, position=verified.position,
                recorded_at=verified.recorded_at, insecure_demo=verified.key.insecure_demo, counts=rule == 0,
                rule=rule, sentence=sentence,
            )
        )  # fmt: skip

    def _broken_rule(self, case: _Case, event: ApprovalSigned, verified: Verified) -> tuple[int, str]:
        asked, owner = case.request.event, verified.key.owner
        if event.digest != asked.digest:
            return 1, "it was signed over another digest."
        if verified.key.role != "reviewer":
            return 2, f"{event.author} has the role {verified.key.role}."
        if owner in (asked.initiator, case.request.agent_owner) or event.author in (asked.author, asked.initiator):
            return 2, f"{owner} started this or answers for the agent that asks."
        # Who approved may still deny, and need not withdraw first; an approval is not heard twice, nor after a denial.
        heard = [vote.decision for vote in case.votes if vote.owner == owner and vote.counts]
        if "deny" in heard or (heard and event.decision == "approve"):
            return 5, f"{owner} has voted already."
        if event.decision == "approve" and self._over_cap(owner, verified.recorded_at):
            return 4, f"{owner} made {DECISIONS_PER_HOUR_MAX} decisions in the last 60 minutes."
        return self._too_late(case, verified.recorded_at)

    @staticmethod
    def _too_late(case: _Case, now: datetime) -> tuple[int, str]:
        if case.consumed is not None:
            return 7, "it came after the approval was consumed."
        if case.revoked is not None:
            return 6, "it came after the request was revoked."
        if now > case.request.event.expires:
            return 6, "it came after the request had expired."
        return 0, ""

    def _over_cap(self, owner: str, now: datetime) -> bool:
        recent = [moment for moment in self._decisions.get(owner, ()) if moment > now - CAP_WINDOW]
        return len(recent) >= DECISIONS_PER_HOUR_MAX

    @staticmethod
    def _may_revoke(case: _Case, verified: Verified) -> bool:
        return verified.key.role == "reviewer" or verified.event.author == case.request.event.author

    def _may_consume(self, case: _Case, event: ApprovalConsumed, now: datetime) -> bool:
        asked = case.request.event
        if (event.author, event.digest) != (asked.author, asked.digest):
            return False
        return self._in_time(case, now).holds and self._quorum(case).holds

    @staticmethod
    def _independent(case: _Case) -> RuleResult:
        bad = [vote for vote in case.votes if not vote.counts]
        sentences = "; ".join(f"{vote.reviewer}: {vote.sentence}" for vote in bad)
        return RuleResult(2, not bad, sentences or "all votes count")

    @staticmethod
    def _quorum(case: _Case) -> RuleResult:
        quorum = case.request.event.quorum
        denied = [vote.reviewer for vote in case.votes if vote.counts and vote.decision == "deny"]
        if denied:
            return RuleResult(5, holds=False, sentence=f"denied by {', '.join(denied)}.")
        votes = sum(vote.counts and vote.decision == "approve" for vote in case.votes)
        return RuleResult(5, votes >= quorum, f"{votes} of {quorum} reviewers approved.")

    @staticmethod
    def _in_time(case: _Case, now: datetime) -> RuleResult:
        if case.revoked is not None:
            return RuleResult(6, holds=False, sentence=f"it was revoked at position {case.revoked}.")
        expires = case.request.event.expires
        return RuleResult(6, now <= expires, f"it expires at {expires.isoformat()}.")

    @staticmethod
    def _unconsumed(case: _Case) -> RuleResult:
        if case.consumed is None:
            return RuleResult(7, holds=True, sentence="not consumed.")
        position, call = case.consumed
        return RuleResult(7, holds=False, sentence=f"the call {call} consumed it at position {position}.")

    def _state(self, case: _Case, now: datetime) -> str:
        if case.consumed is not None:
            return "consumed"
        if case.revoked is not None:
            return "revoked"
        if any(vote.counts and vote.decision == "deny" for vote in case.votes):
            return "denied"
        if not self._in_time(case, now).holds:
            return "expired"
        return "granted" if self._quorum(case).holds else "open"


"""Does this approval count? The same function for router, console, gate and replay.

A reviewer signs a fact: "I approve exactly this digest". Whether it counts follows from the ledger by these rules:

 1. the digest, tool and resource are the ones that were requested
 2. the reviewer signed with a key or passkey of its own, is active, has the role that the risks ask for, and is neither
    author nor initiator of the request nor owner of the agent (by identity)
 3. every piece that bears risk was on the reviewer's screen before signing, each for its least time and all of them for
    theirs, as a console measured it; a denial needs none of that
 4. the reviewer made at most 10 decisions that count in any sliding 60 minutes (or as many as `reviewer.limited` says);
    a denial is never held up by it, and neither is taking a request back
 5. the quorum of distinct reviewers is reached and nobody who counts denied; the quorum is what policy decided about this
    very call, what the request asks for, or what its risks demand, whichever is most
 6. the request is neither expired nor revoked
 7. the approval was not consumed: one approval, one execution

Who asked consumes, for the call that was asked about and over its digest, and only while rules 5 and 6 hold: what was
consumed too early, too late, for another call or by somebody else was not consumed at all. After it nothing changes,
whoever votes, withdraws or revokes.

Time is the ledger's `recorded_at`, so the answer at a position never changes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime

from ..errors import Refused
from ..events import (
    ApprovalConsumed,
    ApprovalListed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    SpotcheckSigned,
)
from ..verified import Verified
from .coverage import Covered, Listing, PieceList, Views, committed_list, first_coverage
from .passkeys import Passkeys
from .quorum import Decisions, Demand
from .roster import CAP_WINDOW, REVIEWER_ROLE, Roster
from .voting import Voter, voter_of

RULES: dict[int, str] = {
    1: "digest, tool and resource are the ones requested",
    2: "the reviewer is entitled and independent",
    3: "what bears risk was opened before signing",
    4: "the reviewer was under the hourly cap",
    5: "the quorum of distinct reviewers that policy demands is reached",
    6: "the request is neither expired nor revoked",
    7: "the approval was not consumed before",
}

_TERMS = (
    "digest", "tool", "resource", "author", "quorum", "subject", "initiator", "risks", "expires", "call", "pieces",
    "pieces_count", "review_milliseconds",
)  # fmt: skip


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
    """What was asked, by whom, and when the ledger recorded it. `agent_owner` answers for the asking agent.

    pieces: what has to be seen before an approval. demand: how many people must agree, and for which call.
    """

    event: ApprovalRequested
    agent_owner: str
    position: int
    recorded_at: datetime
    pieces: PieceList
    demand: Demand


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands: `state` is open, granted, denied, expired, revoked or consumed."""

    request: Request
    state: str
    votes: tuple[Vote, ...]
    rules: tuple[RuleResult, ...]

    @property
    def quorum(self) -> int:
        """How many distinct reviewers are needed, by rule 5."""
        return self.request.demand.quorum

    @property
    def counting(self) -> tuple[Vote, ...]:
        """The approvals that count, one per reviewer."""
        return tuple(vote for vote in self.votes if vote.counts and vote.decision == "approve")


@dataclass
class _Case:
    request: Request
    votes: list[Vote] = field(default_factory=list)
    views: dict[str, Views] = field(default_factory=dict)
    revoked: int | None = None
    consumed: tuple[int, str] | None = None


class Approvals:
    """The fold. `apply` takes verified events in ledger order; everything else only reads."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.roster = Roster()
        self.passkeys = Passkeys()
        self.looker: Voter | None = None
        """Who took the second look of the last `spotcheck.signed`; an assertion is used up once, so only this fold asks."""
        self._cases: dict[str, _Case] = {}
        self._policy = Decisions()
        self._listings: dict[tuple[str, str], Listing] = {}
        self._decisions: dict[str, list[datetime]] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event; kinds that are not about approvals change nothing."""
        event = verified.event
        self._policy.apply(verified)
        if isinstance(event, PasskeyOffered | PasskeyEnrolled | PasskeyRevoked):
            if self._same_person(event) and self.passkeys.apply(event, verified.key, verified.position):
                self.roster.apply(verified)
            return
        self.roster.apply(verified)
        if isinstance(event, ApprovalListed):
            listing = self._listings.setdefault((event.author, event.approval), Listing(event.digest))
            listing.take(event)
        elif isinstance(event, ApprovalRequested):
            self._open(event, verified)
        elif isinstance(event, ApprovalViewed):
            self._view(event, verified)
        elif isinstance(event, ApprovalSigned):
            self._vote(event, verified)
        elif isinstance(event, SpotcheckSigned):
            self.looker = voter_of(event, verified.key, self.roster, self.passkeys)
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

    def request(self, approval: str) -> Request:
        """Return what was asked under this name; raises NotGranted (rule 1) for an unknown name."""
        return self._case(approval).request

    def coverage(self, approval: str, reviewer: str) -> Covered:
        """Return what the reviewer has seen of a request so far; raises NotGranted (rule 1) for an unknown name."""
        case, known = self._case(approval), self.roster.find(reviewer)
        return self._views(case, reviewer).covered(
            case.request.pieces, case.request.event, owner=known.owner if known else reviewer
        )

    def viewers(self, approval: str) -> tuple[str, ...]:
        """Return whose looking at a request is on record; raises NotGranted (rule 1) for an unknown name."""
        return tuple(self._case(approval).views)

    def decisions(self, owner: str, now: datetime) -> tuple[datetime, ...]:
        """Return when this person made the decisions that count toward the cap at `now`, oldest first."""
        made = self._decisions.get(owner, [])
        return tuple(made[bisect_right(made, now - CAP_WINDOW) :])

    def consumed_by(self, approval: str) -> str | None:
        """Return the call that consumed the approval first, or None."""
        case = self._cases.get(approval)
        return case.consumed[1] if case and case.consumed else None

    def consumed_at(self, approval: str) -> int | None:
        """Return the position of the event that consumed the approval, or None."""
        case = self._cases.get(approval)
        return case.consumed[0] if case and case.consumed else None

    def standing(self, approval: str, now: datetime) -> Standing:
        """Return where the request stands at the ledger time `now`; raises NotGranted (rule 1) for an unknown name."""
        case = self._case(approval)
        votes = (self._by_all_votes(case, rule) for rule in (1, 2, 3, 4))
        rules = (*votes, self._quorum(case), self._in_time(case, now), self._unconsumed(case))
        return Standing(case.request, self._state(case, now), tuple(case.votes), rules)

    def verify_granted(self, requested: ApprovalRequested, now: datetime) -> tuple[Vote, ...]:
        """Return the votes that clear exactly this action now; raises NotGranted with the first rule that fails.

        `requested` is what the caller is about to do, in the terms it asked for.
        """
        case = self._case(requested.approval)
        asked = case.request.event
        for name in _TERMS:
            if getattr(asked, name) != getattr(requested, name):
                raise NotGranted(1, f"the request on record has another {name}.")
        listed = RuleResult(3, not case.request.pieces.fault, case.request.pieces.fault)
        for result in (self._in_time(case, now), self._unconsumed(case), listed, self._quorum(case)):
            if not result.holds:
                raise NotGranted(result.rule, result.sentence)
        return self.standing(requested.approval, now).counting

    def _case(self, approval: str) -> _Case:
        case = self._cases.get(approval)
        if case is None:
            raise NotGranted(1, f"no request named {approval} is in the ledger.")
        return case

    def _open(self, event: ApprovalRequested, verified: Verified) -> None:
        listed = committed_list(event, self._listings.pop((event.author, event.approval), None))
        demand = self._policy.demand(event)
        request = Request(event, verified.key.owner, verified.position, verified.recorded_at, listed, demand)
        self._cases.setdefault(event.approval, _Case(request))

    def _view(self, event: ApprovalViewed, verified: Verified) -> None:
        case = self._cases.get(event.approval)
        if case is None or event.reviewer is None or event.digest != case.request.event.digest:
            return
        if any(piece.digest == event.piece for piece in case.request.pieces.pieces):
            case.views.setdefault(event.reviewer, self._views(case, event.reviewer)).take(event, verified.key)

    @staticmethod
    def _views(case: _Case, reviewer: str) -> Views:
        asked = case.request.event
        return case.views.get(reviewer) or Views(first_coverage(asked.approval, asked.digest, reviewer))

    def _same_person(self, event: PasskeyOffered | PasskeyEnrolled | PasskeyRevoked) -> bool:
        """Whether an enrolment names the person whom the reviewer's other keys name."""
        known = self.roster.find(event.reviewer)
        return not isinstance(event, PasskeyEnrolled) or known is None or known.owner == event.owner

    def _vote(self, event: ApprovalSigned, verified: Verified) -> None:
        case = self._cases.get(event.approval)
        if case is None:
            return
        voter = voter_of(event, verified.key, self.roster, self.passkeys)
        if event.decision == "withdraw":
            if not voter.forged:
                case.votes = [one for one in case.votes if one.reviewer != voter.name or case.consumed is not None]
            return
        rule, sentence = self._broken_rule(case, event, voter, verified.recorded_at)
        if rule == 0:
            self._decisions.setdefault(voter.owner, []).append(verified.recorded_at)
        case.votes.append(
            Vote(
                reviewer=voter.name, owner=voter.owner, decision=event.decision, position=verified.position,
                recorded_at=verified.recorded_at, insecure_demo=verified.key.insecure_demo, counts=rule == 0,
                rule=rule, sentence=sentence,
            )
        )  # fmt: skip

    def _broken_rule(self, case: _Case, event: ApprovalSigned, voter: Voter, now: datetime) -> tuple[int, str]:
        asked, owner = case.request.event, voter.owner
        if event.digest != asked.digest:
            return 1, "it was signed over another digest."
        if excluded := self._excluded(case, event, voter):
            return 2, excluded
        # Who approved may still deny, and need not withdraw first; an approval is not heard twice, nor after a denial.
        heard = [vote.decision for vote in case.votes if vote.owner == owner and vote.counts]
        if "deny" in heard or (heard and event.decision == "approve"):
            return 5, f"{owner} has voted already."
        if late := self._too_late(case, now):
            return late
        if event.decision == "approve":
            covered = self._views(case, voter.name).covered(
                case.request.pieces, asked, owner=owner, coverage=event.coverage or ""
            )
            if covered.sentence:
                return 3, covered.sentence
            if len(self.decisions(owner, now)) >= self.roster.decisions_per_hour:
                return 4, f"{owner} made {self.roster.decisions_per_hour} decisions in the last 60 minutes."
        return 0, ""

    def _excluded(self, case: _Case, event: ApprovalSigned, voter: Voter) -> str:
        asked = case.request.event
        if voter.fault:
            return voter.fault
        if voter.owner in (asked.initiator, case.request.agent_owner) or voter.name in (asked.author, asked.initiator):
            return f"{voter.owner} started this or answers for the agent that asks."
        known = self.roster.find(voter.name)
        if known is not None and not known.active:
            return f"{voter.name} is not an active reviewer."
        if known is not None and event.decision == "approve" and (role := known.lacks(asked.risks)):
            return f"{voter.name} does not have the role {role}, which the risks ask for."
        return ""

    @staticmethod
    def _too_late(case: _Case, now: datetime) -> tuple[int, str] | None:
        if case.consumed is not None:
            return 7, "it came after the approval was consumed."
        if case.revoked is not None:
            return 6, "it came after the request was revoked."
        if now > case.request.event.expires:
            return 6, "it came after the request had expired."
        return None

    @staticmethod
    def _may_revoke(case: _Case, verified: Verified) -> bool:
        return verified.key.role == REVIEWER_ROLE or verified.event.author == case.request.event.author

    def _may_consume(self, case: _Case, event: ApprovalConsumed, now: datetime) -> bool:
        asked = case.request.event
        if (event.author, event.digest, event.call) != (asked.author, asked.digest, case.request.demand.call):
            return False
        return self._in_time(case, now).holds and self._quorum(case).holds

    @staticmethod
    def _by_all_votes(case: _Case, rule: int) -> RuleResult:
        bad = [vote for vote in case.votes if vote.rule == rule]
        sentences = "; ".join(f"{vote.reviewer}: {vote.sentence}" for vote in bad)
        if rule == 3 and case.request.pieces.fault:
            return RuleResult(3, holds=False, sentence=case.request.pieces.fault)
        return RuleResult(rule, not bad, sentences or "no vote breaks it.")

    @staticmethod
    def _quorum(case: _Case) -> RuleResult:
        demand = case.request.demand
        if demand.fault:
            return RuleResult(5, holds=False, sentence=demand.fault)
        denied = [vote.reviewer for vote in case.votes if vote.counts and vote.decision == "deny"]
        if denied:
            return RuleResult(5, holds=False, sentence=f"denied by {', '.join(denied)}.")
        votes = sum(vote.counts and vote.decision == "approve" for vote in case.votes)
        return RuleResult(5, votes >= demand.quorum, f"{votes} of {demand.quorum} reviewers approved.")

    @staticmethod
    def _in_time(case: _Case, now: datetime) -> RuleResult:
        if case.revoked is not None:
            return RuleResult(6, holds=False, sentence=f"it was revoked at position {case.revoked}.")
        expires = case.request.event.expires
        said = "expires" if now <= expires else "expired"
        return RuleResult(6, now <= expires, f"it {said} at {expires:%H:%M} UTC on {expires:%Y-%m-%d}.")

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


"""The gate: a tool runs only after policy allowed it, people cleared it where they must, and its start is on record.

One call goes through these steps, with the same numbers in the code:

 1. what is asked for goes on record: tool, resource, digest, arguments; it ends here while the outcome of an earlier call
    of the same author, of this tool on this resource, is unknown and no person has said how it ended (`outcomes`)
 2. policy decides; an error, an undefined answer and no rule at all are a deny; the decision goes on record
 3. if policy or the risks demand it, people are asked: what they have to see is listed piece by piece, then the request
    goes on record, and the gate waits until the ledger says granted, denied, expired or revoked
 4. the gate recomputes the approval from verified events, spends it, and sees in the ledger that this call was the one
 5. the start goes on record, and the gate sees it under a checkpoint that the log signed
 6. the tool runs
 7. how it ended goes on record: finished, failed, or unknown

Whatever goes wrong in 1 to 5 ends the call before the tool is touched, with `tool.failed` on record. All that the gate
knows it read from the ledger and verified itself; what its own author recorded counts only once it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec

from .action import (
    SENTENCE_CHARACTERS_MAX,
    Action,
    ActionRefused,
    Call,
    Outcome,
    OutcomeUnknown,
    Patience,
    demand_askable,
    kept_result,
    named,
    short_sentence,
    target_of,
    why_failed,
)
from .approvals import Approvals, NotGranted, Standing
from .approvals.pieces import Piece, entries_of, list_digest, pieces_of
from .approvals.quorum import least_quorum
from .approvals.spotcheck import Spotchecks
from .clock import Clock, NewId
from .documents import Arguments, Document, PolicyQuestion, Result
from .errors import Busy, Refused, TenutoError
from .events import (
    ApprovalConsumed,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalListed,
    ApprovalRequested,
    ApprovalRevoked,
    Event,
    PolicyDecided,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from .events.approval import PIECES_LISTED_MAX
from .policy.decision import ERROR_RULE, Decision, Policy, PolicyRequest
from .seeing import LedgerView
from .verification import Verified

if TYPE_CHECKING:
    from .following import Follower
    from .recorder import Recorder

Kind = TypeVar("Kind", bound=Event)
_VOTES_SHOWN_MAX = 9


__all__ = ["SENTENCE_CHARACTERS_MAX", "Action", "ActionRefused", "Gate", "Outcome", "OutcomeUnknown", "Patience"]


class Gate:
    """The only way from an agent to a tool."""

    def __init__(
        self, *, recorder: Recorder, follower: Follower, policy: Policy, clock: Clock, new_id: NewId,
        patience: Patience | None = None,
    ) -> None:  # fmt: skip
        """`recorder` has its session open; `follower` stands before the first event and is this gate's alone."""
        self._recorder, self._policy, self._clock, self._new_id = recorder, policy, clock, new_id
        self._patience = patience = patience or Patience()
        self._view = LedgerView(
            follower, ledger_seconds=patience.ledger_seconds, poll_seconds=patience.poll_seconds
        )

    @property
    def approvals(self) -> Approvals:
        """The fold of all approvals up to the newest checkpoint; raises Busy, VerificationFailed."""
        self._view.settle()
        return self._view.approvals

    @property
    def checks(self) -> Spotchecks:
        """The fold of all second looks up to the newest checkpoint; raises Busy, VerificationFailed."""
        self._view.settle()
        return self._view.checks

    def runs(self) -> tuple[str, ...]:
        """Return the names of all runs up to the newest checkpoint; raises Busy, VerificationFailed."""
        self._view.settle()
        return self._view.runs()

    def events_of(self, run: str) -> list[Verified]:
        """Return the verified events of a run up to the newest checkpoint; raises Busy, VerificationFailed."""
        self._view.settle()
        return self._view.events_of(run)

    def run(
        self, action: Action, execute: Callable[[], Result], *, run: str, cause: Sequence[UUID] = ()
    ) -> Outcome:
        """Take one call through the steps; `execute` touches the tool and returns what goes on record about it.

        Raises ActionRefused (policy or people said no), Busy (the ledger cannot be reached), another Refused such as
        VerificationFailed: in all of these `execute` was not called. Raises OutcomeUnknown, and whatever else `execute`
        raises, after it is on record.
        """
        return self.call(action, lambda _: execute(), run=run, cause=cause)

    def call(
        self, action: Action, execute: Callable[[ToolStarted], Result], *, run: str, cause: Sequence[UUID] = ()
    ) -> Outcome:
        """Like `run`; `execute` is given the start that is on record, for a tool that asks for it (`admission`)."""
        call = Call(action, f"call-{self._new_id()}", run)
        arguments = Arguments(values=dict(action.arguments))
        requested = self._record(call, ToolRequested, tuple(cause), arguments, **target_of(call))  # (1)
        try:
            decision, decided = self._decide(call, requested)  # (2)
            approval, cleared = self._clear(call, decision, decided)  # (3) (4)
            started = self._start(call, cleared)  # (5)
        except (Refused, Busy) as error:
            self._record_failed(call, requested, error)
            raise
        return Outcome(self._execute(call, lambda: execute(started), started), call.name, approval)  # (6) (7)

    def request(self, action: Action, *, run: str, cause: Sequence[UUID] = ()) -> ApprovalRequested:
        """Take one call through steps 1 and 2, ask people, and return without waiting; `resume` goes on from there.

        Raises like `run`; ActionRefused also where policy asks nobody, so that there would be nothing to wait for.
        """
        call = Call(action, f"call-{self._new_id()}", run)
        arguments = Arguments(values=dict(action.arguments))
        requested = self._record(call, ToolRequested, tuple(cause), arguments, **target_of(call))  # (1)
        try:
            decision, decided = self._decide(call, requested)  # (2)
            quorum = least_quorum(decision.obligation, action.risks)
            if quorum == 0:
                raise ActionRefused(f"Policy asks nobody before {action.tool}, and it is not done unasked. Give the rule an obligation.")
            return self._ask(call, decision, decided, quorum)  # (3)
        except (Refused, Busy) as error:
            self._record_failed(call, requested, error)
            raise

    def wait(self, asked: ApprovalRequested) -> None:
        """Return once people have decided about a request, or its time is over."""
        self._view.wait_for(lambda: self._decided(asked))

    def resume(self, asked: ApprovalRequested, action: Action, execute: Callable[[], Result]) -> Outcome:
        """Go on with what `request` asked for, from where the ledger says that it stands: steps 4 to 7.

        `execute` may have run before, in a process that died: only an action that does no harm when it is repeated may
        come here. Once its end is on record it is not begun again. Policy is asked again before the approval is spent.
        Raises Busy while people have not decided, and like `run`.
        """
        # An end that this author recorded a moment ago, or in an earlier life, must be in sight before anything is repeated.
        self._recorder.flush(self._patience.ledger_seconds)
        self._view.settle()
        before = {type(one.event): one.event for one in reversed(self._of_call(asked))}
        requested = before.get(ToolRequested)
        if not isinstance(requested, ToolRequested) or asked.author != self._recorder.author:
            raise ActionRefused(f"{asked.approval} is not a request of {self._recorder.author} whose call is on record.")
        call = Call(action, requested.call, asked.run or "")
        try:
            _demand_same(asked, action, ended=ToolFinished in before)
            cleared = before.get(ApprovalConsumed) or self._clear_again(call, asked, requested)  # (4)
            started = before.get(ToolStarted) or self._start(call, cleared)  # (5)
        except Refused as error:
            self._record_failed(call, requested, error)
            raise
        return Outcome(self._execute(call, execute, started), call.name, asked.approval)  # (6) (7)

    def _of_call(self, asked: ApprovalRequested) -> list[Verified]:
        """The events of the call that a request is about, told by what the request names as its cause."""
        events = self._view.events_of(asked.run or "")
        calls = {one.event.call for one in events if isinstance(one.event, PolicyDecided) and one.event.id in asked.cause}
        return [one for one in events if one.event.author == asked.author and getattr(one.event, "call", None) in calls]

    def _clear_again(self, call: Call, asked: ApprovalRequested, requested: Event) -> Event:
        standing = self._decided(asked)
        if standing is None:
            missing = "; ".join(rule.sentence for rule in self._view.approvals.standing(asked.approval, self._view.now).rules
                                if not rule.holds)  # fmt: skip
            raise Busy(f"People have not decided about {asked.approval} yet: {missing}")
        if standing.state != "granted":
            self._record_not_granted(call, asked, standing)
            raise self._not_approved(asked, max(self._view.now, self._clock.now()))
        decision, _ = self._decide(call, requested)
        if asked.quorum < least_quorum(decision.obligation, call.action.risks):
            raise ActionRefused(f"Policy demands more approvals now than {asked.approval} asked for. Request it anew.")
        return self._consume(call, asked, self._record_granted(call, asked))

    def _decide(self, call: Call, requested: Event) -> tuple[Decision, Event]:
        action = call.action
        self._view.settle()
        self._demand_known(call)
        request = PolicyRequest(
            principal=self._recorder.author, role=self._view.role(self._recorder.author), tool=action.tool,
            resource=action.resource, digest=action.digest, subject=action.subject, risks=action.risks,
            initiator=action.initiator, arguments=action.arguments,
        )  # fmt: skip
        try:
            decision = self._policy.decide(request)
        except BaseException as error:
            # Whatever it was, it is a deny and on record before anything else happens.
            engine, bundle = self._policy.engine, self._policy.bundle
            denied = Decision(effect="deny", rules=(ERROR_RULE,), bundle=bundle, engine=engine)
            self._record_decision(call, requested, request, denied)
            if isinstance(error, Exception):
                raise ActionRefused(f"Policy could not decide about {action.tool}: {short_sentence(error)}") from error
            raise
        decided = self._record_decision(call, requested, request, decision)
        if decision.effect != "allow":
            sentence = f"Policy does not allow {action.tool} on {action.resource} to {request.principal}"
            raise ActionRefused(f"{sentence}: {', '.join(decision.rules)} in the bundle {decision.bundle[:12]}.")
        return decision, decided

    def _demand_known(self, call: Call) -> None:
        """Raise ActionRefused while nobody knows whether this very thing has happened already."""
        tool, resource = call.action.tool, call.action.resource
        lost = self._view.outcomes.in_the_way(self._recorder.author, tool, resource, call.name)
        if lost is not None:
            sentence = f"Whether {lost.call} had its effect on {resource} is unknown since position {lost.position}"
            raise ActionRefused(f"{sentence}, and nothing is tried again blind. A person says first how it ended: tenuto reconcile {lost.call}.")

    def _record_decision(self, call: Call, requested: Event, request: PolicyRequest, decision: Decision) -> Event:
        asked = PolicyQuestion(
            role=request.role, subject=request.subject, risks=request.risks, initiator=request.initiator
        )
        return self._record(
            call, PolicyDecided, (requested.id,), asked, call=call.name, effect=decision.effect, rules=decision.rules,
            bundle=decision.bundle, engine=decision.engine, obligation=decision.obligation,
        )  # fmt: skip

    def _clear(self, call: Call, decision: Decision, decided: Event) -> tuple[str | None, Event]:
        """Steps 3 and 4: return the name of the approval that was spent, and the event that clears the way."""
        quorum = least_quorum(decision.obligation, call.action.risks)
        if quorum == 0:
            return None, decided
        asked = self._ask(call, decision, decided, quorum)
        standing = self._view.wait_for(lambda: self._decided(asked))
        if standing is None or standing.state != "granted":
            self._record_not_granted(call, asked, standing)
            raise self._not_approved(asked, max(self._view.now, self._clock.now()))
        granted = self._record_granted(call, asked)
        return asked.approval, self._consume(call, asked, granted)

    def _ask(self, call: Call, decision: Decision, decided: Event, quorum: int) -> ApprovalRequested:
        action = call.action
        card = msgspec.structs.replace(demand_askable(action), policy_rules=decision.rules)
        pieces = pieces_of(card, action.risks)
        name = f"approval-{self._new_id()}"
        self._list(call, decided, name, pieces)
        asked = self._record(
            call, ApprovalRequested, (decided.id,), card, approval=name, subject=action.subject or action.tool,
            digest=action.digest, tool=action.tool, resource=action.resource, initiator=action.initiator, risks=action.risks,
            quorum=quorum, expires=self._clock.now() + timedelta(seconds=self._patience.approval_seconds), call=call.name,
            pieces=list_digest(entries_of(pieces)), pieces_count=len(pieces),
            review_milliseconds=sum(piece.milliseconds for piece in pieces),
        )  # fmt: skip
        try:
            self._view.demand_on_record(asked)
        except Busy:
            # It may still get there, and then nobody waits for the answer any more.
            self._record(call, ApprovalRevoked, (asked.id,), approval=asked.approval, reason="superseded")
            raise
        return asked

    def _list(self, call: Call, decided: Event, approval: str, pieces: Sequence[Piece]) -> None:
        """Put the pieces on record, a header full at a time, before the request that commits to all of them."""
        entries = entries_of(pieces)
        for start in range(0, len(entries), PIECES_LISTED_MAX):
            digests, names, risks, milliseconds = zip(*entries[start : start + PIECES_LISTED_MAX], strict=True)
            self._record(
                call, ApprovalListed, (decided.id,), approval=approval, digest=call.action.digest, pieces=digests,
                names=names, risks=risks, milliseconds=milliseconds,
            )  # fmt: skip

    def _decided(self, asked: ApprovalRequested) -> Standing | None:
        """Where the request stands once it is no longer open, or once its time is over by either clock."""
        standing = self._view.approvals.standing(asked.approval, self._view.now)
        return standing if standing.state != "open" or self._clock.now() > asked.expires else None

    def _record_failed(self, call: Call, requested: Event, error: TenutoError) -> None:
        sentence = Result(text=str(error)[:SENTENCE_CHARACTERS_MAX])
        self._record(call, ToolFailed, (requested.id,), sentence, **named(call), why=why_failed(error))

    def _record_not_granted(self, call: Call, asked: ApprovalRequested, standing: Standing | None) -> None:
        state = standing.state if standing else "open"
        if state == "denied":
            self._record(call, ApprovalDenied, (asked.id,), approval=asked.approval, digest=asked.digest)
        elif state in ("open", "expired"):
            self._record(call, ApprovalExpired, (asked.id,), approval=asked.approval)

    def _record_granted(self, call: Call, asked: ApprovalRequested) -> Event:
        try:
            votes = self._view.approvals.verify_granted(asked, self._view.now)
        except NotGranted as missing:
            raise ActionRefused(str(missing), reason="not_approved") from missing
        counted = min(len(votes), _VOTES_SHOWN_MAX)
        named = {"approval": asked.approval, "digest": asked.digest}
        return self._record(call, ApprovalGranted, (asked.id,), **named, votes=counted)

    def _consume(self, call: Call, asked: ApprovalRequested, granted: Event) -> Event:
        """Spend the approval; the fold says whether this was in time, before any revocation, and the first."""
        consumed = self._record(
            call, ApprovalConsumed, (granted.id,), approval=asked.approval, digest=asked.digest, call=call.name
        )
        seen = self._view.demand_on_record(consumed)
        if self._view.approvals.consumed_at(asked.approval) != seen.position:
            raise self._not_approved(asked, self._view.now)
        return consumed

    def _not_approved(self, asked: ApprovalRequested, now: datetime) -> ActionRefused:
        try:
            self._view.approvals.verify_granted(asked, now)
        except NotGranted as missing:
            return ActionRefused(str(missing), reason="not_approved")
        return ActionRefused(f"The approval {asked.approval} was not spent on this call.", reason="not_approved")

    def _start(self, call: Call, cleared: Event) -> ToolStarted:
        started = self._record(call, ToolStarted, (cleared.id,), **target_of(call))
        self._view.demand_on_record(started)
        return started

    def _execute(self, call: Call, execute: Callable[[], Result], started: Event) -> Result:
        began = time.monotonic()
        try:
            result = execute()
        except BaseException as error:
            # Nothing is swallowed here. What is no ordinary exception broke into the tool from outside, so that nobody
            # can say how far it had come.
            unknown = isinstance(error, OutcomeUnknown) or not isinstance(error, Exception)
            how: dict[str, Any] = {} if unknown else {"why": "error"}
            kind = ToolUnknown if unknown else ToolFailed
            self._record(call, kind, (started.id,), Result(text=short_sentence(error)), **named(call), **how)
            raise
        milliseconds = int((time.monotonic() - began) * 1000)
        self._record(call, ToolFinished, (started.id,), kept_result(result), **named(call), milliseconds=milliseconds)
        return result

    def _record(
        self, of: Call, kind: type[Kind], cause: tuple[UUID, ...], document: Document | None = None, /, **fields: Any
    ) -> Kind:
        return self._recorder.record(kind, document=document, run=of.run, cause=cause, refs=of.action.refs, **fields)


def _demand_same(asked: ApprovalRequested, action: Action, *, ended: bool) -> None:
    """Raise ActionRefused unless this is what people were asked about, and it is not over yet."""
    told = {"tool": action.tool, "resource": action.resource, "digest": action.digest, "initiator": action.initiator,
            "subject": action.subject or action.tool, "risks": action.risks}  # fmt: skip
    for name, value in told.items():
        if getattr(asked, name) != value:
            raise ActionRefused(f"People were asked about another {name} in {asked.approval}; it clears nothing else.", reason="not_approved")
    if ended:
        raise ActionRefused(f"What {asked.approval} cleared has finished; it is good for one execution.", reason="not_approved")

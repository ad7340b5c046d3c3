"""One stack: the infrastructure of one repository, with its state, planned from a commit in a private folder.

The plan file is as confidential as the state: it lies in a folder of mode 0700 and only while it is needed.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenuto.documents import PlannedChange
from tenuto.errors import Refused
from tenuto.gate import OutcomeUnknown

from .configuration import write_configuration
from .exposure import world_open
from .git import Repository
from .plan import plan_risks, planned_changes
from .processes import ToolTimedOut
from .provider import Provider
from .statehome import STATE_FILE, LocalState, StateHome
from .terraform import Plan, Terraform, Workspace
from .text import as_name


class InfrastructureRefused(Refused):
    """The change cannot be planned, or its plan cannot be shown whole to a reviewer."""

    reason = "infrastructure"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with what was read out of it. `open_to_world`: the addresses that would let everybody in."""

    plan: Plan
    changes: tuple[PlannedChange, ...]
    risks: tuple[str, ...]
    open_to_world: tuple[str, ...] = ()

    @property
    def arguments(self) -> dict[str, object]:
        """What policy is told about it."""
        return {
            "plan_digest": self.plan.digest, "resources": [one.address for one in self.changes],
            "open_to_world": list(self.open_to_world),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stack:
    """What is needed to plan and apply. `folder` is ours, mode 0700; `state` and `provider` are chosen by the operator."""

    terraform: Terraform
    folder: Path
    state: StateHome
    provider: Provider | None = None

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Give an empty private folder that is gone afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="plan-", dir=self.folder) as folder:
            yield Workspace(self.terraform, Path(folder), self.state, self.provider)

    def plan(self, workspace: Workspace, repository: Repository, commit: str) -> Planned:
        """Plan the configuration at `commit` from the state as it is now."""
        source = self.provider.source if self.provider is not None else None
        write_configuration(repository, commit, workspace.folder, source)
        workspace.prepare()
        return judged(workspace.plan())


@dataclass(frozen=True, slots=True)
class Stacks:
    """Where the stacks of an agent are: one folder for each repository; states lie there unless `states` says where."""

    terraform: Terraform
    folder: Path
    provider: Provider | None = None
    states: Callable[[str], StateHome] | None = None

    def stack(self, repository: str) -> Stack:
        """Return the stack of a repository; two repositories of the same name are two stacks."""
        place = hashlib.sha256(str(Path(repository).resolve()).encode()).hexdigest()[:8]
        home = self.folder / f"{as_name(Path(repository).name)}-{place}"
        state = self.states(home.name) if self.states is not None else LocalState(home.name, home / STATE_FILE)
        return Stack(self.terraform, home, state, self.provider)


def stack_resource(repository: str) -> str:
    """How policy names the infrastructure of a repository, such as `stack:shop`."""
    return f"stack:{as_name(Path(repository).name)}"


def judged(plan: Plan) -> Planned:
    """Return a plan with what was read out of it; raises PlanRefused."""
    changes = planned_changes(plan.raw)
    return Planned(plan, changes, plan_risks(changes), world_open(plan.raw))


def apply(workspace: Workspace, planned: Planned) -> str:
    """Apply exactly this plan and return Terraform's last lines; raises OutcomeUnknown when it did not come to an end."""
    try:
        return workspace.apply(planned.plan)
    except ToolTimedOut as error:
        raise OutcomeUnknown(f"{error} What it had applied by then is not known.") from error

"""Looking for drift from time to time, and taking it back: through policy, a bound plan, people where it is grave, and a brake.

    look      plan the baseline and list the cloud, as one tool call on record (M7)
    tell      `drift.detected`, when anything differs
    take back the plan that was just made, by its digest, as `terraform.revert` (M20); policy says who must agree
    brake     after REVERTS_MAX (3) within an hour somebody else keeps changing it: nothing more is done, people are called

What Terraform does not manage is told and left alone: nobody here knows whose it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from tenuto.documents import AlertNote, ApprovalCard, Result
from tenuto.errors import Refused
from tenuto.events import AlertRaised, DriftDetected, DriftReverted, StateAttested
from tenuto.gate import Action
from tenuto.verification import Verified

from .drift import Drift, found_drift
from .evidence import PLAN_SUBJECT, PLAN_TOOL
from .git import Repository
from .infrastructure import PLAN_TEXT_BYTES_MAX, REPOSITORY_FILE, Infrastructure, attest
from .inventory import Inventory, unmanaged
from .plan import summary
from .stack import InfrastructureRefused, Stack, apply, stack_resource
from .statestore.door import state_run
from .statestore.visiting import Snapshot
from .task import Task
from .terraform import Terraform, Workspace
from .text import visible
from .vouching import Guards, StateNotVouched, last_attested

REVERT_TOOL = "terraform.revert"
REVERTS_MAX = 3
REVERTS_WINDOW = timedelta(hours=1)
DRIFT_REFS, REVERT_REFS = ("T2", "T8", "M7"), ("T2", "M6", "M20")


class RevertBraked(Refused):
    """The same stack was taken back too often; somebody works against us, and people have to find out who."""

    reason = "revert_braked"


@dataclass(frozen=True, slots=True)
class Watched:
    """One stack to look at: where its repository is, and the version that is vouched for."""

    stack: Stack
    repository: Path
    baseline: StateAttested

    @property
    def resource(self) -> str:
        """How policy names it."""
        return stack_resource(str(self.repository))


def drift_run(stack: str) -> str:
    """Name the run that everything about the drift of a stack stands in."""
    return f"drift-{stack}"


class DriftWatch:
    """Looks at every stack that the agent once applied."""

    def __init__(
        self, agent: Infrastructure, terraform: Terraform, inventory: Inventory | None, *, guards: Guards | None = None,
        reverts_max: int = REVERTS_MAX,
    ) -> None:  # fmt: skip
        """Without an inventory only what Terraform manages is looked at."""
        self._agent, self._terraform, self._inventory = agent, terraform, inventory
        self._guards, self._reverts_max = guards or Guards(), reverts_max

    def watched(self, task: Task) -> list[Watched]:
        """Return the stacks with a baseline on record."""
        found = []
        for file in sorted(self._agent.folder.glob(f"*/{REPOSITORY_FILE}")):
            repository = Path(os.fsdecode(file.read_bytes()))
            stack = self._agent.stack(str(repository), self._terraform)
            baseline = last_attested(task.gate.events_of(state_run(stack.state.name)), stack.state.name, self._agent.name)
            if baseline is not None:
                found.append(Watched(stack, repository, baseline))
        return found

    def check(self, task: Task, watched: Watched, states: Iterable[Snapshot], *, revert: bool) -> Drift:
        """Look at one stack, tell what differs, and with `revert` take it back; raises what stops it.

        `states` are those of the other stacks, whose resources are managed too. Raises RevertBraked.
        """
        with watched.stack.workspace() as workspace:
            try:
                found, drift = self._look(task, watched, workspace, states)
            except StateNotVouched as refusal:
                warn_of_state(task, watched, str(refusal))
                raise
            if drift.count == 0:
                return drift
            detected = task.record(
                DriftDetected, document=Result(text=drift.sentence()), refs=DRIFT_REFS, stack=watched.stack.state.name,
                baseline=watched.baseline.digest, resources=drift.count,
            )  # fmt: skip
            if revert and drift.planned.changes:
                caused = replace(task, cause=(*task.cause, detected.id))
                self._take_back(caused, watched, workspace, drift, found)
            return drift

    def _look(
        self, task: Task, watched: Watched, workspace: Workspace, states: Iterable[Snapshot]
    ) -> tuple[Snapshot | None, Drift]:
        stack, baseline = watched.stack, watched.baseline

        def work() -> tuple[tuple[Snapshot | None, Drift], Result]:
            found = stack.state.read()
            self._guards.verify_attested(stack.state.name, found, baseline)
            planned = stack.plan(workspace, Repository(watched.repository), baseline.revision)
            known = [one.document() for one in (*states, *([found] if found else []))]
            strangers = unmanaged(self._inventory.listed(), known) if self._inventory is not None else ()
            drift = found_drift(planned, strangers)
            return (found, drift), Result(text=drift.sentence(), values={"resources": drift.count})

        arguments = {"revision": baseline.revision, "state": stack.state.name}
        action = Action(
            tool=PLAN_TOOL, resource=watched.resource, digest=baseline.digest, arguments=arguments, refs=DRIFT_REFS
        )
        return task.act(action, work).value

    def _take_back(
        self, task: Task, watched: Watched, workspace: Workspace, drift: Drift, found: Snapshot | None
    ) -> None:
        stack, planned = watched.stack, drift.planned
        self._brake(task, stack.state.name)

        def work() -> tuple[None, Result]:
            self._guards.verify_unmoved(stack.state.name, found, stack.state.read())
            return None, Result(text=apply(workspace, planned), values={"plan_digest": planned.plan.digest})

        action = Action(
            tool=REVERT_TOOL, resource=watched.resource, digest=planned.plan.digest, subject=PLAN_SUBJECT, risks=planned.risks,
            arguments=planned.arguments, card=revert_card(watched.resource, drift), initiator=self._agent.name,
            refs=REVERT_REFS,
        )  # fmt: skip
        task.act(action, work)
        left = stack.state.read_after(found)
        if left is not None:
            attest(task, stack, left, planned.plan.digest, watched.baseline.revision)
        task.record(
            DriftReverted, refs=REVERT_REFS, stack=stack.state.name, baseline=watched.baseline.digest,
            digest=planned.plan.digest,
        )  # fmt: skip

    def _brake(self, task: Task, stack: str) -> None:
        """Raise RevertBraked, after the alert, when the stack was taken back too often of late."""
        events = task.gate.events_of(task.run)
        if not events or reverts_since(events, stack, events[-1].recorded_at - REVERTS_WINDOW) < self._reverts_max:
            return
        sentence = (
            f"{stack} was taken back {self._reverts_max} times within an hour and differs again. Somebody else writes to it; "
            "nothing more is taken back until a person has found out who."
        )
        task.record(
            AlertRaised, document=AlertNote(sentence=sentence), refs=REVERT_REFS, alert=f"drift-{task.cause[-1]}",
            detector="drift-watch", version="1", rule="drift.fought_over", severity="high", score=1000, suspect=stack,
            evidence=task.cause[-1:],
        )  # fmt: skip
        raise RevertBraked(sentence)


def warn_of_state(task: Task, watched: Watched, sentence: str) -> None:
    """Raise one alert for each version that was vouched for and is not the one that is there any more (T8)."""
    name = f"state-{watched.stack.state.name}-{watched.baseline.digest[:12]}"
    known = (one.event for one in task.gate.events_of(task.run))
    if not any(isinstance(event, AlertRaised) and event.alert == name for event in known):
        task.record(
            AlertRaised, document=AlertNote(sentence=sentence), refs=("T8", "M32"), alert=name, detector="drift-watch",
            version="1", rule="state.not_vouched", severity="critical", score=1000, suspect=watched.stack.state.name,
            evidence=(watched.baseline.id,),
        )  # fmt: skip


def reverts_since(events: Iterable[Verified], stack: str, since: datetime) -> int:
    """Count how often a stack was taken back since a moment of the ledger's time."""
    return sum(
        isinstance(one.event, DriftReverted) and one.event.stack == stack and one.recorded_at > since for one in events
    )


def revert_card(resource: str, drift: Drift) -> ApprovalCard:
    """Return what the reviewer of a revert sees; raises InfrastructureRefused when the plan is too long to be shown whole."""
    text = visible(drift.planned.plan.text)
    if len(text.encode()) > PLAN_TEXT_BYTES_MAX:
        raise InfrastructureRefused(f"The plan's text has more than {PLAN_TEXT_BYTES_MAX:,} bytes; take it back by hand.")
    return ApprovalCard(
        title=f"Take back the drift of {resource}", sentence=f"On {resource}: {summary(drift.planned.changes)}."[:1000],
        plan_text=text, changes=drift.planned.changes,
    )  # fmt: skip

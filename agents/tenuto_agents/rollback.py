"""The way back after a second look: where somebody disagrees about a release, the deployment agent asks to take it back.

Nobody tells the agent. Between two messages it looks into the verified ledger itself, by the fold that everybody computes, so
there is no message that could be forged and nobody who could send one. For each disagreement about an approval that the agent
spent on a release:

 1. what was in force before that release follows from the events of all runs
 2. people are asked, once, through the gate, in the run of the release; who disagreed started it and may not approve it
 3. once they have decided, the gate goes on: the older release is put in force and `deployment.rolled_back` goes on record

Every step is told by what is on record: the request names the second look as its cause. So a crash anywhere is continued, never
repeated, and the agent goes on with its other work while people think.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tenuto.approvals.spotcheck import Spotcheck
from tenuto.documents import ApprovalCard, ImageChange, Result
from tenuto.errors import Busy, Refused, TenutoError
from tenuto.events import (
    ApprovalRequested,
    ApprovalRevoked,
    DeploymentHealthy,
    DeploymentRolledBack,
    DeploymentStarted,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolUnknown,
)
from tenuto.gate import Action
from tenuto.seeing import RunLetGo
from tenuto.verification import VerificationFailed, Verified

from .place import ENVIRONMENT, Place
from .task import Task

ROLLBACK_TOOL = "deploy.rollback"
SUBJECT = "rollback"
FLUSH_SECONDS = 30.0
LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contested:
    """A release that a second look disagrees with. before: the digest of what was in force then."""

    check: Spotcheck
    released: ApprovalRequested
    deployment: str
    before: str

    @property
    def service(self) -> str:
        """The service's name, out of `service:NAME`."""
        return self.released.resource.partition(":")[2]


class Rollbacks:
    """What one life of the deployment agent does about disagreements: its chore while no message waits."""

    def __init__(self, places: Callable[[str], Place], *, tool: str) -> None:
        """`places` gives the place of a service; `tool` is that of a release, such as `deploy.production`."""
        self._places, self._tool = places, tool
        self._flushed = False
        self._done: set[str] = set()

    def look(self, task: Task) -> None:
        """Take the next step for every disagreement; raises Busy (call again, nothing is lost) and VerificationFailed."""
        if not self._flushed:
            # What an earlier life asked for must be in sight before anything is asked for.
            task.recorder.flush(FLUSH_SECONDS)
            self._flushed = True
        for check in task.gate.checks.all():
            if check.finding == "disagree" and check.approval not in self._done:
                self._attend(task, check)

    def _attend(self, task: Task, check: Spotcheck) -> None:
        contested = self._contested(task, check)
        if contested is None or self._ended(task, check, contested.released.run or ""):
            self._done.add(check.approval)
            return
        asked = self._asked(task, check, contested.released.run or "")
        try:
            if asked is None:
                self._ask(task, contested)
            else:
                self._go_on(task, contested, asked)
        except Busy as busy:
            # People have not decided, or the ledger is away; what was recorded meanwhile must be in sight at the next look.
            log.debug("%s", busy)
            self._flushed = False
        except VerificationFailed:
            raise
        except TenutoError as error:
            log.warning("%s is not taken back: %s", contested.deployment, error)
            self._done.add(check.approval)

    def _contested(self, task: Task, check: Spotcheck) -> Contested | None:
        """Return what the disagreement is about; None when that is no release of ours that went into force over another one."""
        released = task.gate.approvals.request(check.approval).event
        if (released.author, released.tool) != (task.recorder.author, self._tool) or released.run is None:
            return None
        went_out = [one for one in self._in_force(task, released.resource) if one.at > check.position and one.run == released.run]
        if not went_out or went_out[0].artifact != released.digest:
            log.warning("A second look disagrees with %s, whose release never went into force or did so long ago.", check.approval)
            return None
        before = [one for one in self._in_force(task, released.resource) if one.at < went_out[0].at]
        if not before:
            log.error("A second look disagrees with %s, and no release before it is known here. Look at it now.", check.approval)
            return None
        return Contested(check, released, went_out[0].deployment, before[-1].artifact)

    def _in_force(self, task: Task, resource: str) -> list[_Release]:
        """Every release of this service that came into force, oldest first, by what this agent recorded."""
        found = [one for run in task.gate.runs() for one in _releases(self._own(task, run), resource, self._tool)]
        return sorted(found, key=lambda one: one.at)

    def _own(self, task: Task, run: str) -> list[Verified]:
        try:
            events = task.gate.events_of(run)
        except RunLetGo:  # it finished a thousand runs ago
            return []
        return [one for one in events if one.event.author == task.recorder.author]

    def _calls(self, task: Task, check: Spotcheck, run: str) -> set[str]:
        """The calls by which this agent asked for the way back because of this very look."""
        events = (one.event for one in self._own(task, run))
        return {
            event.call for event in events
            if isinstance(event, ToolRequested) and event.tool == ROLLBACK_TOOL and check.looked in event.cause
        }  # fmt: skip

    def _ended(self, task: Task, check: Spotcheck, run: str) -> bool:
        """Whether one of them is over. One that never reached people, because the ledger was away, is not, and is asked anew."""
        calls = self._calls(task, check, run)
        for event in (one.event for one in self._own(task, run)):
            if isinstance(event, ToolFinished | ToolUnknown) and event.call in calls:
                return True
            if isinstance(event, ToolFailed) and event.call in calls and event.why != "timeout":
                return True
        return False

    def _asked(self, task: Task, check: Spotcheck, run: str) -> ApprovalRequested | None:
        """The request that stands on record, unless this agent took it back because it did not see it there in time."""
        events = [one.event for one in self._own(task, run)]
        revoked = {event.approval for event in events if isinstance(event, ApprovalRevoked)}
        calls = self._calls(task, check, run)
        asked = (event for event in events if isinstance(event, ApprovalRequested) and event.call in calls)
        return next((event for event in asked if event.approval not in revoked), None)

    def _ask(self, task: Task, contested: Contested) -> None:
        assert contested.check.looked is not None
        if contested.before not in self._places(contested.service).ways_back():
            raise Refused(f"The release {contested.before[:12]} cannot be brought back any more. Look at it now.")
        run = contested.released.run or ""
        asked = task.gate.request(self._action(contested), run=run, cause=(contested.check.looked,))
        log.info("%s was asked for: %s disagrees with %s.", asked.approval, contested.check.by, contested.check.approval)

    def _go_on(self, task: Task, contested: Contested, asked: ApprovalRequested) -> None:
        task = replace(task, run=asked.run or "", cause=(asked.id,))
        place = self._places(contested.service)

        def execute() -> Result:
            task.stop.begin_effect()
            release = place.go_back(task, contested.before, contested.deployment)
            return Result(text=release.sentence, values={"address": release.address, "artifact": contested.before})

        try:
            task.gate.resume(asked, self._action(contested), execute)
        finally:
            task.stop.end_effect()
        self._done.add(contested.check.approval)

    def _action(self, contested: Contested) -> Action:
        check, released = contested.check, contested.released
        return Action(
            tool=ROLLBACK_TOOL, resource=released.resource, digest=contested.before, subject=SUBJECT, risks=("production",),
            initiator=check.by, card=rollback_card(contested), refs=("M14", "M18"),
            arguments={"approval": check.approval, "release": released.digest, "back_to": contested.before},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Release:
    """One release that came into force: at which position, in which run, under which name."""

    at: int
    run: str
    deployment: str
    artifact: str


def rollback_card(contested: Contested) -> ApprovalCard:
    """Return what the reviewer of a way back sees."""
    check, released = contested.check, contested.released
    sentence = (
        f"Take {contested.service} back to the release {contested.before[:12]}: {check.by} looked a second time at {check.approval}, by"
        f" which {', '.join(check.approved_by)} cleared {released.digest[:12]}, and disagrees."
    )
    return ApprovalCard(
        title=f"Take {contested.service} back", sentence=sentence[:1000],
        images=(ImageChange(name=contested.service, before=released.digest, after=contested.before),),
    )  # fmt: skip


def _releases(events: list[Verified], resource: str, tool: str) -> Iterator[_Release]:
    """Yield what came into force in one run: a release of this service that was well, or an older one that was brought back."""
    if not any(isinstance(one.event, ToolRequested) and (one.event.tool, one.event.resource) == (tool, resource) for one in events):
        return
    started: dict[str, str] = {}
    for one in events:
        event = one.event
        if isinstance(event, DeploymentStarted) and event.environment == ENVIRONMENT:
            started[event.deployment] = event.artifact
        elif isinstance(event, DeploymentHealthy) and event.deployment in started:
            yield _Release(one.position, event.run or "", event.deployment, started[event.deployment])
        elif isinstance(event, DeploymentRolledBack):
            yield _Release(one.position, event.run or "", event.deployment, event.artifact)

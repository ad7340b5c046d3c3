"""The deployment agent: has the most privilege, so it believes the least.

A message says that everything is approved; it looks for itself, in verified events up to a checkpoint of the log: that the
pipeline submitted exactly these commits, that the review's decision is over them, that people approved the plan and that
the approval was spent on applying it. Then it builds the artifact from git, asks for production, and puts it there. A
release that is not healthy is taken back, and so is one that a second look disagrees with, once people say so (`rollback`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tenuto.documents import ApprovalCard, Handover, ImageChange, Result
from tenuto.gate import Action

from .agent import Chore, Duty
from .artifact import build_artifact
from .change import Change, initiator
from .code_review import read_recorded
from .configuration import INFRASTRUCTURE_FOLDER
from .evidence import (
    DEPLOYMENT,
    INFRASTRUCTURE,
    Record,
    verify_applied,
    verify_planned,
    verify_reviewed,
    verify_submitted,
)
from .git import Repository
from .infrastructure import TOPIC_APPLIED
from .place import ENVIRONMENT, LocalPlace, Place, Prepared, Put, Release
from .rollback import LOOK_SECONDS, Rollbacks
from .stack import stack_resource
from .task import Task
from .text import as_name
from .tools.deploy_tools import DEPLOY_TOOL, RELEASE, RISKS, SUBJECT, ReleaseArguments, service_resource


class Deployment:
    """The agent `deployment`."""

    name = DEPLOYMENT

    def __init__(self, places: Callable[[str], Place]) -> None:
        """`places` gives the place of a service by its name."""
        self._places = places

    def duties(self) -> Mapping[str, Duty]:
        """Takes `infrastructure.applied` of the infrastructure agent."""
        return {TOPIC_APPLIED: Duty(INFRASTRUCTURE, "agent", self.deploy)}

    def chore(self) -> Chore:
        """What is done while no message waits: second looks that disagree are followed up."""
        return Chore(DEPLOYMENT, LOOK_SECONDS, Rollbacks(self._places, tool=DEPLOY_TOOL).look)

    def deploy(self, handover: Handover, task: Task) -> None:
        """Prove, build, ask, release; end the run with how it went."""
        asked = handover.pull_request
        record = Record(task.gate.events_of(task.run), task.gate.approvals)
        verify_submitted(record, asked.base, asked.head)
        verify_reviewed(record, asked.base, asked.head)
        change = read_recorded(task, asked)
        self._verify_infrastructure(record, handover, change)
        artifact = build_artifact(Repository(Path(change.repository)), change.head)
        place = self._places(as_name(Path(change.repository).name))
        prepared = place.prepare(task, change, artifact)
        release = self._release(task, handover, change, place, prepared)
        task.finish("succeeded" if release.healthy else "failed", release.sentence, address=release.address)

    def _verify_infrastructure(self, record: Record, handover: Handover, change: Change) -> None:
        if handover.plan_digest:
            verify_applied(record, handover.plan_digest, stack_resource(change.repository))
        elif change.touches(INFRASTRUCTURE_FOLDER):
            verify_planned(record)

    def _release(self, task: Task, handover: Handover, change: Change, place: Place, prepared: Prepared) -> Release:
        artifact = prepared.artifact
        name = artifact.service.name if artifact.service else Path(change.repository).name
        deployment = f"{as_name(name)}-{prepared.digest[:12]}"

        def work() -> tuple[Release, Result]:
            release = place.put(task, prepared, deployment)
            return release, _told(release, prepared, place)

        action = Action(
            tool=DEPLOY_TOOL, resource=service_resource(change.repository), digest=prepared.digest, subject=SUBJECT,
            risks=RISKS, initiator=initiator(change), card=deployment_card(handover, change, prepared, place.current()),
            arguments={"head": change.head, "artifact": prepared.digest, "files": artifact.files, **prepared.values},
            refs=("R1", "M18"),
        )  # fmt: skip
        if task.tools is not None and isinstance(place, LocalPlace):
            return self._release_by_server(task, change, action, (place, prepared, deployment))
        return task.act(action, work).value

    @staticmethod
    def _release_by_server(
        task: Task, change: Change, action: Action, what: tuple[LocalPlace, Prepared, str]
    ) -> Release:
        """The server builds the artifact itself, from the same commit, and puts it in force; what becomes of it is recorded here."""
        place, prepared, deployment = what
        releases: list[Release] = []

        def tell(put: Put) -> Result:
            releases.append(release := place.end(task, put, deployment))
            return _told(release, prepared, place)

        arguments = ReleaseArguments(change.repository, change.base, change.head, prepared.digest)
        task.use("deploy", RELEASE, arguments, action, tell, begin=lambda: place.begin(task, prepared, deployment))
        return releases[0]


def _told(release: Release, prepared: Prepared, place: Place) -> Result:
    values = {"healthy": release.healthy, "address": release.address, "artifact": prepared.digest, "lacks": place.lacks}
    return Result(text=release.sentence, values=values)


def deployment_card(handover: Handover, change: Change, prepared: Prepared, running: str | None) -> ApprovalCard:
    """Return what the reviewer of a production deployment sees; `running` is the digest of the release it replaces."""
    service = prepared.artifact.service
    what = f"{service.name} {service.version}" if service else f"{prepared.artifact.files} files of {Path(change.repository).name}"
    return ApprovalCard(
        title=change.title, sentence=f"Deploy {what} from commit {change.head[:12]} to {ENVIRONMENT}."[:1000],
        pull_request=change.document(), diff=change.diff, findings=(*handover.findings, *prepared.findings),
        verdict=handover.verdict, verdict_reasoning=handover.reasoning,
        images=(ImageChange(name=what, before=running or "", after=prepared.digest),),
    )  # fmt: skip

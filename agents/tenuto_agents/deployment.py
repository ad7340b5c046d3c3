"""The deployment agent: has the most privilege, so it believes the least.

A message says that everything is approved; it looks for itself, in verified events up to a checkpoint of the log: that the
pipeline submitted exactly these commits, that the review's decision is over them, that people approved the plan and that
the approval was spent on applying it. Then it builds the artifact from git, asks for production, and puts it there. A
release that is not healthy is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenuto.documents import ApprovalCard, Handover, ImageChange, Result
from tenuto.events import DeploymentHealthy, DeploymentRolledBack, DeploymentStarted, DeploymentUnhealthy
from tenuto.gate import Action

from .agent import Duty
from .artifact import Artifact, build_artifact
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
from .infrastructure import TOPIC_APPLIED, stack_resource
from .service_process import Unhealthy
from .target import LocalTarget
from .task import Task
from .text import as_name

DEPLOY_TOOL = "deploy.production"
SUBJECT = "artifact"
ENVIRONMENT = "production"


@dataclass(frozen=True, slots=True)
class Release:
    """How a deployment ended. `artifact` is what runs now: the new one, the restored one, or None."""

    healthy: bool
    sentence: str
    address: str = ""


class Deployment:
    """The agent `deployment`."""

    name = DEPLOYMENT

    def __init__(self, targets: Path) -> None:
        """`targets` is the folder of local targets, one per service."""
        self._targets = targets

    def duties(self) -> Mapping[str, Duty]:
        """Takes `infrastructure.applied` of the infrastructure agent."""
        return {TOPIC_APPLIED: Duty(INFRASTRUCTURE, "agent", self.deploy)}

    def target(self, repository: str) -> LocalTarget:
        """Return the target of a repository's service."""
        return LocalTarget(self._targets / as_name(Path(repository).name))

    def deploy(self, handover: Handover, task: Task) -> None:
        """Prove, build, ask, release; end the run with how it went."""
        asked = handover.pull_request
        record = Record(task.gate.events_of(task.run), task.gate.approvals)
        verify_submitted(record, asked.base, asked.head)
        verify_reviewed(record, asked.base, asked.head)
        change = read_recorded(task, asked)
        self._verify_infrastructure(record, handover, change)
        artifact = build_artifact(Repository(Path(change.repository)), change.head)
        release = self._release(task, handover, change, artifact)
        task.finish("succeeded" if release.healthy else "failed", release.sentence, address=release.address)

    def _verify_infrastructure(self, record: Record, handover: Handover, change: Change) -> None:
        if handover.plan_digest:
            verify_applied(record, handover.plan_digest, stack_resource(change.repository))
        elif change.touches(INFRASTRUCTURE_FOLDER):
            verify_planned(record)

    def _release(self, task: Task, handover: Handover, change: Change, artifact: Artifact) -> Release:
        name = artifact.service.name if artifact.service else Path(change.repository).name
        deployment = f"{as_name(name)}-{artifact.digest[:12]}"
        target = self.target(change.repository)

        def work() -> tuple[Release, Result]:
            task.record(DeploymentStarted, deployment=deployment, environment=ENVIRONMENT, artifact=artifact.digest)
            release = _put(task, target, artifact, deployment)
            values = {"healthy": release.healthy, "address": release.address, "artifact": artifact.digest}
            return release, Result(text=release.sentence, values=values)

        action = Action(
            tool=DEPLOY_TOOL, resource=service_resource(change.repository), digest=artifact.digest, subject=SUBJECT,
            risks=("production",), initiator=initiator(change), card=deployment_card(handover, change, artifact, target.current()),
            arguments={"head": change.head, "artifact": artifact.digest, "files": artifact.files}, refs=("R1", "M18"),
        )  # fmt: skip
        return task.act(action, work).value


def _put(task: Task, target: LocalTarget, artifact: Artifact, deployment: str) -> Release:
    before = target.current()
    try:
        milliseconds, address = target.release(artifact)
    except Unhealthy as unhealthy:
        seen = Result(text=str(unhealthy))
        task.record(DeploymentUnhealthy, document=seen, deployment=deployment, checks=unhealthy.checks)
        return _put_back(task, target, before, deployment, str(unhealthy))
    task.record(DeploymentHealthy, deployment=deployment, milliseconds=milliseconds)
    return Release(healthy=True, sentence=f"{deployment} is healthy at {address}.", address=address)


def _put_back(task: Task, target: LocalTarget, before: str | None, deployment: str, why: str) -> Release:
    restored = target.restore(before)
    if before is None:
        return Release(healthy=False, sentence=f"{why} There was no release before it; nothing runs.")
    if not restored:
        return Release(healthy=False, sentence=f"{why} The release {before[:12]} could not be restored. Look at it now.")
    task.record(DeploymentRolledBack, deployment=deployment, artifact=before, why="unhealthy", refs=("M18", "R4"))
    running = target.running()
    sentence = f"{why} The release {before[:12]} is back."
    return Release(healthy=False, sentence=sentence, address=running.address if running else "")


def deployment_card(handover: Handover, change: Change, artifact: Artifact, running: str | None) -> ApprovalCard:
    """Return what the reviewer of a production deployment sees; `running` is the digest of the release it replaces."""
    service = artifact.service
    what = f"{service.name} {service.version}" if service else f"{artifact.files} files of {Path(change.repository).name}"
    return ApprovalCard(
        title=change.title, sentence=f"Deploy {what} from commit {change.head[:12]} to {ENVIRONMENT}."[:1000],
        pull_request=change.document(), diff=change.diff, findings=handover.findings, verdict=handover.verdict,
        verdict_reasoning=handover.reasoning,
        images=(ImageChange(name=what, before=running or "", after=artifact.digest),),
    )  # fmt: skip


def service_resource(repository: str) -> str:
    """How policy names the service of a repository, such as `service:shop`."""
    return f"service:{as_name(Path(repository).name)}"

"""Where releases go: what the deployment agent asks of a place, whether it is this machine or a container site.

A place first makes of an artifact what people are asked about, named by one digest, and refuses there what must not be
asked for at all. Only after the approval it puts exactly that digest in force, and on failure what was there before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from tenuto.documents import Finding, Result
from tenuto.events import DeploymentHealthy, DeploymentRolledBack, DeploymentStarted, DeploymentUnhealthy

from .artifact import Artifact
from .change import Change
from .service_process import Unhealthy
from .target import LocalTarget
from .task import Task

ENVIRONMENT = "production"
LOCAL_LACKS = "This built-in target signs no image, scans nothing, limits no connection and proves no way back beforehand."


@dataclass(frozen=True, slots=True)
class Release:
    """How a deployment ended. `sentence` says what runs now, `address` where."""

    healthy: bool
    sentence: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What people are asked about: `digest` names it, `findings` is what a scan says of it, `values` go on record."""

    artifact: Artifact
    digest: str
    findings: tuple[Finding, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)


class Put(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a release that was put in force on the built-in target.

    seen: why it is not well, empty where it is; then milliseconds until it was, else checks that found it unwell. before: the
    digest that was in force, if any; restored: whether that is back. address: where what runs now answers.
    """

    seen: str
    milliseconds: int
    checks: int
    before: str | None
    restored: bool
    address: str


class Place(Protocol):
    """One environment for one service. `lacks`: in a sentence, which controls it does not have; empty when it has all."""

    lacks: str

    def current(self) -> str | None:
        """Return the digest of what is in force, or None before the first release."""
        ...

    def prepare(self, task: Task, change: Change, artifact: Artifact) -> Prepared:
        """Make of the artifact what can be approved; raises Refused for what must not go there. Nothing runs yet."""
        ...

    def put(self, task: Task, prepared: Prepared, deployment: str) -> Release:
        """Put it in force, on record as `deployment`; on failure what was there before. Raises when neither is known."""
        ...

    def ways_back(self) -> tuple[str, ...]:
        """Return the digests of the older releases that can be put in force again."""
        ...

    def go_back(self, task: Task, digest: str, deployment: str) -> Release:
        """Put an older release in force in the place of `deployment`, after a second look; harmless when it is so already.

        Raises when it cannot be, and leaves in force what was.
        """
        ...


class LocalPlace:
    """The built-in target of this machine: a process in a folder named by the digest, and the way back."""

    lacks = LOCAL_LACKS

    def __init__(self, target: LocalTarget) -> None:
        """`target` is this service's."""
        self._target = target

    def current(self) -> str | None:
        """Return the digest of the artifact in force."""
        return self._target.current()

    def prepare(self, task: Task, change: Change, artifact: Artifact) -> Prepared:
        """The artifact is what is approved."""
        return Prepared(artifact, artifact.digest)

    def put(self, task: Task, prepared: Prepared, deployment: str) -> Release:
        """Start it beside the running one, and go back when it is not healthy."""
        self.begin(task, prepared, deployment)
        return self.end(task, put_in_force(self._target, prepared.artifact), deployment)

    def begin(self, task: Task, prepared: Prepared, deployment: str) -> None:
        """Put on record that the release begins, before anything is touched."""
        task.record(DeploymentStarted, deployment=deployment, environment=ENVIRONMENT, artifact=prepared.digest)

    def end(self, task: Task, put: Put, deployment: str) -> Release:
        """Put on record what became of it, and return how that is said."""
        if not put.seen:
            task.record(DeploymentHealthy, deployment=deployment, milliseconds=put.milliseconds)
            return Release(healthy=True, sentence=f"{deployment} is healthy at {put.address}.", address=put.address)
        task.record(DeploymentUnhealthy, document=Result(text=put.seen), deployment=deployment, checks=put.checks)
        if put.before is None:
            return Release(healthy=False, sentence=f"{put.seen} There was no release before it; nothing runs.")
        if not put.restored:
            return Release(healthy=False, sentence=f"{put.seen} The release {put.before[:12]} could not be restored. Look at it now.")
        task.record(DeploymentRolledBack, deployment=deployment, artifact=put.before, why="unhealthy", refs=("M18", "R4"))
        return Release(healthy=False, sentence=f"{put.seen} The release {put.before[:12]} is back.", address=put.address)

    def ways_back(self) -> tuple[str, ...]:
        """Return the releases whose archives are kept, without the one in force."""
        return tuple(digest for digest in self._target.kept() if digest != self._target.current())

    def go_back(self, task: Task, digest: str, deployment: str) -> Release:
        """Release the kept archive as any other, so that it is verified, started beside the running one, and judged."""
        before = self._target.current()
        if before != digest or self._target.running() is None:
            try:
                self._target.release(self._target.artifact(digest))
            except Unhealthy as unhealthy:
                self._target.restore(before)
                raise Unhealthy(f"{unhealthy} The release {(before or 'none')[:12]} stays.", unhealthy.checks) from unhealthy
        task.record(DeploymentRolledBack, deployment=deployment, artifact=digest, why="spotcheck", refs=("M14", "M18", "R4"))
        running = self._target.running()
        address = running.address if running else ""
        return Release(healthy=True, sentence=f"The release {digest[:12]} is back in the place of {deployment}.", address=address)


def put_in_force(target: LocalTarget, artifact: Artifact) -> Put:
    """Make `artifact` the current release of a target, or bring back what was; nothing goes on record here."""
    before = target.current()
    try:
        milliseconds, address = target.release(artifact)
    except Unhealthy as unhealthy:
        restored = target.restore(before)
        running = target.running()
        return Put(str(unhealthy), 0, unhealthy.checks, before, restored, running.address if running else "")
    return Put("", milliseconds, 0, before, restored=False, address=address)


def local_place(folder: Path) -> LocalPlace:
    """Return the built-in place whose releases lie in `folder`."""
    return LocalPlace(LocalTarget(folder))

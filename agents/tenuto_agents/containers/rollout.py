"""The rollout: what is in force changes step by step, and only after the way back was walked (R4, M15, M18).

 1. the image goes into the registry, signed, under the digest that people approved
 2. the way back: the release in force is started once more, from the registry, in a network without a link, and is well
 3. staging: the new release is well there as well
 4. canary: it takes a tenth of the connections for a while, stays well and calls nobody it may not
 5. production: it takes all, and only then the old one ends

Every step is on record before it begins. A step that fails leaves the old release where it was, or brings it back. The
state file says what is in force and what was before; it is written before anything is ended.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from tenuto.documents import Document, Result
from tenuto.errors import UNREADABLE, Busy, Refused, TenutoError
from tenuto.events import DeploymentHealthy, DeploymentRolledBack, DeploymentStarted, DeploymentUnhealthy, Event

from ..place import ENVIRONMENT, Release
from ..service_process import Unhealthy
from .image import Image
from .instance import Hosts, Instance
from .network import Attempt
from .registry import ImageRefused, Registry
from .site import Site

STATE = "containers.json"
CANARY_TENTHS = 1
CANARY_PAUSE_SECONDS = 0.1
UNWELL_LOOKS = 3
"""So many looks in a row that find a release unwell are its end; one alone may be a lost packet."""
Why = Literal["unhealthy", "spotcheck", "person"]


class Recording(Protocol):
    """Puts an event on record, for the run that a rollout belongs to."""

    def __call__(self, kind: type[Event], *, document: Document | None = None, **fields: Any) -> Event:
        """Return the event as it was recorded."""
        ...


class NoWayBack(Refused):
    """There is no release to go back to, or it is not what it was; a person has to look."""

    reason = "no_way_back"


class Suspicious(TenutoError):
    """A release called what it may not while it was being rolled out."""

    def __init__(self, instance: Instance, attempts: tuple[Attempt, ...]) -> None:
        """`attempts` is what the kernel dropped."""
        called = ", ".join(f"{one.address} {one.protocol}/{one.port}" for one in attempts[:5])
        super().__init__(f"{instance.deployment} called {called}, which it may not.")
        self.instance, self.attempts = instance, attempts


class InForce(msgspec.Struct, frozen=True):
    """What takes the work of a service, and what did before it; `before` is where a rollback leads.

    unsaid: the deployment and the reason of a rollback that happened and may not be on record yet.
    """

    instance: Instance
    before: Instance | None = None
    unsaid: tuple[str, Why] | None = None


class Rollout:
    """The containers of one service. `folder` is this service's own, and nobody else writes there."""

    def __init__(self, name: str, site: Site, registry: Registry, hosts: Hosts, folder: Path) -> None:
        """`name` is the service's, as in the site file."""
        self.name, self.site, self.hosts = name, site, hosts
        self._registry, self._file = registry, folder / STATE
        folder.mkdir(parents=True, exist_ok=True)

    def in_force(self) -> InForce | None:
        """Return what is in force, or None; raises Refused when the state file cannot be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=InForce)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            raise Refused(f"{self._file} cannot be read ({error}). End the containers by hand and delete it.") from error

    def release(self, record: Recording, image: Image, deployment: str, run: str) -> Release:
        """Take the five steps; return how it ended. Raises ImageRefused, NoWayBack and Suspicious before anything changed."""
        with self.alone():
            return self._release(record, image, Instance(f"{self.name}-{image.digest[:12]}", self.name, deployment, image.digest, image.service, run))

    def _release(self, record: Recording, image: Image, new: Instance) -> Release:
        before = self.settle()
        self._registry.push(image, self.name)  # (1)
        shutil.rmtree(image.layout, ignore_errors=True)
        if before is not None:
            self._prove_way_back(record, before.instance, new.deployment)  # (2)
        try:
            reference = self._registry.pull(self.name, new.digest)
            self._staging(record, new, reference)  # (3)
            canary = self._canary(record, new, reference, before)  # (4)
            return self._promote(record, canary, before)  # (5)
        except Unhealthy as unhealthy:
            seen = Result(text=str(unhealthy))
            record(DeploymentUnhealthy, document=seen, deployment=new.deployment, checks=unhealthy.checks, refs=("M18",))
            return self._keep_old(record, new, before, str(unhealthy))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes this service in the block; raises Busy when somebody does. The lock ends with its process."""
        with self._file.with_suffix(".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"Another process is changing what runs as {self.name}.") from None
            yield

    def settle(self) -> InForce | None:
        """Undo what a process left behind that died in a rollout: only what is in force runs. Returns that."""
        now = self.in_force()
        kept = now.instance.name if now else None
        for name in self.hosts.engine.names(self.name):
            if name != kept:
                self.hosts.end(name)
        self._restore_route(now)
        return now

    def roll_back(self, record: Recording, why: Why) -> Release:
        """Bring back what was in force before; raises NoWayBack when there is none, or it cannot be had or is not well.

        The image is pulled anew, by digest and signature, as the proof before the promotion did it.
        """
        with self.alone():
            return self.go_back(record, why)

    def go_back(self, record: Recording, why: Why) -> Release:
        """Like `roll_back`, for whoever is `alone` already."""
        now = self.in_force()
        if now is None or now.before is None:
            raise NoWayBack(f"There is no release of {self.name} to go back to.")
        target = now.before
        try:
            reference = self._registry.pull(self.name, target.digest)
            planned = msgspec.structs.replace(target, name=self._beside(now.instance, target.digest))
            restored, _ = self._start(planned, reference, linked=True)
        except TenutoError as error:
            raise NoWayBack(f"{self.name} cannot go back to {target.digest[:12]}: {error}") from error
        self.put_state(InForce(restored, unsaid=(now.instance.deployment, why)))
        self.hosts.end(now.instance.name)
        self.say_rolled_back(record)
        return Release(healthy=False, sentence=f"{self.name} is back at {target.digest[:12]}.", address=restored.endpoint)

    def say_rolled_back(self, record: Recording) -> None:
        """Put a rollback on record that happened; after a crash in between it may be said twice, and never not at all."""
        now = self.in_force()
        if now is not None and now.unsaid is not None:
            deployment, why = now.unsaid
            record(DeploymentRolledBack, deployment=deployment, artifact=now.instance.digest, why=why, refs=("T1", "M18", "R4"))
            self._save(msgspec.structs.replace(now, unsaid=None))

    def forget(self) -> None:
        """Nothing is in force any more."""
        self._file.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Lead nobody to this service any more; what was before stays known, so that it can be brought back."""
        front = self.site.fronts.get(self.name)
        if front is not None:
            self.hosts.networks.route(self.name, front, "", None)

    def _prove_way_back(self, record: Recording, old: Instance, deployment: str) -> None:
        scratch = msgspec.structs.replace(old, name=f"{self.name}-way-back", deployment=f"{deployment}/way-back", address="")
        try:
            self._stage(record, scratch, self._registry.pull(self.name, old.digest), "scratch", refs=("R4",))
        except (Unhealthy, ImageRefused) as error:
            record(DeploymentUnhealthy, document=Result(text=str(error)), deployment=scratch.deployment, checks=1, refs=("R4",))
            raise NoWayBack(f"The release in force could not be started again, so there is no way back from a new one: {error}") from error
        finally:
            self.hosts.end(scratch.name)

    def _staging(self, record: Recording, new: Instance, reference: str) -> None:
        staged = msgspec.structs.replace(new, name=f"{self.name}-staging", deployment=f"{new.deployment}/staging")
        try:
            started = self._stage(record, staged, reference, "staging", refs=("T5", "M15"))
            self._demand_quiet(started)
        finally:
            self.hosts.end(staged.name)

    def _canary(self, record: Recording, new: Instance, reference: str, before: InForce | None) -> Instance:
        name = new.name if before is None else self._beside(before.instance, new.digest)
        planned = msgspec.structs.replace(new, name=name, deployment=f"{new.deployment}/canary")
        try:
            canary = self._stage(record, planned, reference, "canary", refs=("T5", "M15", "M17"))
            if before is not None:
                self._route(before.instance, canary)
            self._watch(canary)
        except Suspicious:
            self._restore_route(before)
            raise  # it stays, isolated by whoever is told, for the snapshot
        except BaseException:
            self._restore_route(before)
            self.hosts.end(name)
            raise
        return msgspec.structs.replace(canary, deployment=new.deployment)

    def _watch(self, canary: Instance) -> None:
        deadline, checks, unwell = time.monotonic() + self.site.canary_seconds, 0, 0
        while time.monotonic() < deadline or unwell:
            checks += 1
            seen = self.hosts.wrong_with(canary)
            unwell = unwell + 1 if seen else 0
            if unwell == UNWELL_LOOKS:
                raise Unhealthy(f"{canary.deployment} was healthy and is not any more: {seen}", checks)
            self._demand_quiet(canary)
            time.sleep(CANARY_PAUSE_SECONDS)

    def _demand_quiet(self, instance: Instance) -> None:
        attempts = self.hosts.networks.attempts(instance.name)
        if attempts:
            raise Suspicious(instance, attempts)

    def _promote(self, record: Recording, new: Instance, before: InForce | None) -> Release:
        started = record(
            DeploymentStarted, deployment=new.deployment, environment=ENVIRONMENT, artifact=new.digest, refs=("R1", "T5", "M15")
        )
        new = msgspec.structs.replace(new, started=started.id)
        self.put_state(InForce(new, before.instance if before else None))
        milliseconds = self.hosts.await_well(new)
        record(DeploymentHealthy, deployment=new.deployment, milliseconds=milliseconds, refs=("M18",))
        if before is not None:
            self.hosts.end(before.instance.name)
        return Release(healthy=True, sentence=f"{new.deployment} is healthy at {new.endpoint}.", address=new.endpoint)

    def _keep_old(self, record: Recording, new: Instance, before: InForce | None, why: str) -> Release:
        now = self.in_force()
        if now is not None and now.instance.digest == new.digest and now.instance.deployment == new.deployment:
            # It had taken over already. The old one has not ended yet.
            self._take_back(before)
            self.hosts.end(now.instance.name)
        if before is None:
            return Release(healthy=False, sentence=f"{why} There was no release before it; nothing runs.")
        digest = before.instance.digest
        record(DeploymentRolledBack, deployment=new.deployment, artifact=digest, why="unhealthy", refs=("T1", "M18", "R4"))
        return Release(healthy=False, sentence=f"{why} The release {digest[:12]} is in force.", address=before.instance.endpoint)

    def _stage(
        self, record: Recording, planned: Instance, reference: str, environment: str, *, refs: tuple[str, ...]
    ) -> Instance:
        """Start a pulled image and wait until it is well; only a canary gets a link to the world."""
        begun = record(DeploymentStarted, deployment=planned.deployment, environment=environment, artifact=planned.digest, refs=refs)
        planned = msgspec.structs.replace(planned, started=begun.id)
        started, milliseconds = self._start(planned, reference, linked=environment == "canary")
        record(DeploymentHealthy, deployment=planned.deployment, milliseconds=milliseconds, refs=refs)
        return started

    def _start(self, planned: Instance, reference: str, *, linked: bool) -> tuple[Instance, int]:
        try:
            return self.hosts.start(planned, reference, self.site.allowed(self.name), linked=linked)
        except BaseException:
            self.hosts.end(planned.name)
            raise

    def _beside(self, running: Instance, digest: str) -> str:
        """A name for a container of `digest` that the running one does not have."""
        name = f"{self.name}-{digest[:12]}"
        return name if running.name != name else f"{name}-again"

    def _take_back(self, before: InForce | None) -> None:
        if before is None:
            self.forget()
            self.withdraw()
        else:
            self.put_state(before)

    def _restore_route(self, before: InForce | None) -> None:
        if before is not None:
            self._route(before.instance, None)

    def _route(self, current: Instance, canary: Instance | None) -> None:
        front = self.site.fronts.get(self.name)
        if front is not None:
            self.hosts.networks.route(self.name, front, current.endpoint, canary.endpoint if canary else None, CANARY_TENTHS)

    def put_state(self, state: InForce) -> None:
        """Have `state` in force: from here on it decides what is ended after a crash."""
        self._save(state)
        self._route(state.instance, None)

    def _save(self, state: InForce) -> None:
        scratch = self._file.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(state))
        scratch.replace(self._file)



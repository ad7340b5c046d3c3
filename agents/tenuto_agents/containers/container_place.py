"""The container site as a place for releases: what is asked about is a scanned image, what is put in force is its digest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tenuto.clock import Clock
from tenuto.documents import Result

from ..artifact import Artifact
from ..change import Change
from ..git import Repository
from ..place import Prepared, Release
from ..task import Task
from ..tools.registry_tools import (
    BUILD,
    SCAN,
    BuildArguments,
    ImageBuilt,
    ImageWorks,
    ScanArguments,
    Scanned,
    build_action,
    scan_action,
)
from .alerts import raise_egress_alert
from .engine import Engine
from .image import Image
from .instance import Hosts
from .network import Networks
from .quarantine import Quarantine
from .registry import Registry
from .rollout import NoWayBack, Rollout, Suspicious
from .site import Site


class ContainerPlace:
    """One service of a container site. It has every control, so that it lacks none."""

    lacks = ""

    def __init__(self, rollout: Rollout, quarantine: Quarantine, works: ImageWorks) -> None:
        """`works` is where images are built and scanned, here or by the server that has the same folder."""
        self.rollout, self.quarantine, self._works = rollout, quarantine, works
        self._built: Image | None = None

    def current(self) -> str | None:
        """Return the manifest digest of the image in force."""
        found = self.rollout.in_force()
        return found.instance.digest if found else None

    def prepare(self, task: Task, change: Change, artifact: Artifact) -> Prepared:
        """Build the image on its pinned, signed base (M15) and scan it (M16), each on record; raises what blocks it."""
        image = self._build(task, change, artifact)
        scan = self._scan(task, image)
        self._built = image
        values = {"base": image.base, "sbom": scan.sbom, "components": scan.components, "advisories": scan.advisories.isoformat()}
        return Prepared(artifact, image.digest, scan.plain, values)

    def put(self, task: Task, prepared: Prepared, deployment: str) -> Release:
        """Roll the prepared image out; a release that calls what it may not is quarantined on the way."""
        image = self._built
        assert image is not None
        assert image.digest == prepared.digest, "a place puts what it prepared"
        try:
            return self.rollout.release(task.record, image, deployment, task.run)
        except Suspicious as caught:
            # Cut off first; everything else can wait for that.
            self.rollout.hosts.networks.isolate(caught.instance.name)
            said = raise_egress_alert(task.record, caught.instance, caught.attempts)
            kept = self.quarantine.take(caught.instance, task.record, caught.attempts)
            return Release(healthy=False, sentence=f"{said} It is quarantined; the snapshot is {kept[:12]}.")

    def ways_back(self) -> tuple[str, ...]:
        """Return the image that was in force before, which the registry still has."""
        now = self.rollout.in_force()
        return () if now is None or now.before is None else (now.before.digest,)

    def go_back(self, task: Task, digest: str, deployment: str) -> Release:
        """Pull what was in force before, anew and by its signature, and let it take over."""
        with self.rollout.alone():
            now = self.rollout.in_force()
            if now is not None and now.instance.digest == digest:
                # A life before this one did it and died before it said so.
                self.rollout.say_rolled_back(task.record)
                return Release(healthy=True, sentence=f"The release {digest[:12]} is back.", address=now.instance.endpoint)
            if now is None or now.before is None or now.before.digest != digest:
                raise NoWayBack(f"{self.rollout.name} does not lead back to {digest[:12]} any more.")
            return self.rollout.go_back(task.record, "spotcheck")

    def _build(self, task: Task, change: Change, artifact: Artifact) -> Image:
        name, arguments = self.rollout.name, BuildArguments(change.repository, change.head, artifact.digest)
        if task.tools is not None:
            layout = self._works.folder(name) / "image"
            return task.use("registry", BUILD, arguments, build_action(arguments), _told_built).value.image(layout)

        def work() -> tuple[Image, Result]:
            image = self._works.build(name, artifact, Repository(Path(change.repository)), change.head)
            return image, _told_built(image)

        return task.act(build_action(arguments), work).value

    def _scan(self, task: Task, image: Image) -> Scanned:
        name, arguments = self.rollout.name, ScanArguments(self.rollout.name, image.digest)
        if task.tools is not None:
            return task.use("registry", SCAN, arguments, scan_action(arguments), _told_scanned).value

        def work() -> tuple[Scanned, Result]:
            scanned = Scanned.of(self._works.scan(name, image))
            return scanned, _told_scanned(scanned)

        return task.act(scan_action(arguments), work).value


def _told_built(image: Image | ImageBuilt) -> Result:
    return Result(text=f"The image {image.digest} on {image.base}.", values={"image": image.digest, "base": image.base})


def _told_scanned(scan: Scanned) -> Result:
    text = f"Nothing critical; {len(scan.findings)} other findings in {scan.components} components."
    return Result(text=text, values={"sbom": scan.sbom, "advisories": scan.advisories.isoformat()})


def open_places(site: Site, folder: Path, clock: Clock) -> Callable[[str], ContainerPlace]:
    """Return what gives the place of each service. `folder` holds this site's state, a folder a service."""
    registry = Registry(site, folder / "work")
    hosts = Hosts(Engine(Path(site.storage), folder / "work"), Networks(site.edge, site.subnet), site.health_seconds)
    quarantine, works = Quarantine(site, hosts, folder / "work", clock), ImageWorks(site, registry, folder / "work", clock)

    def place(name: str) -> ContainerPlace:
        rollout = Rollout(name, site, registry, hosts, folder / name)
        return ContainerPlace(rollout, quarantine, works)

    return place



"""The container site as a place for releases: what is asked about is a scanned image, what is put in force is its digest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tenuto.clock import Clock
from tenuto.documents import Result
from tenuto.gate import Action

from ..artifact import Artifact
from ..change import Change
from ..git import Repository
from ..place import Prepared, Release
from ..task import Task
from .alerts import raise_egress_alert
from .containerfile import read_base
from .engine import Engine
from .image import Image, build_image
from .instance import Hosts
from .network import Networks
from .quarantine import Quarantine
from .registry import Registry
from .rollout import NoWayBack, Rollout, Suspicious
from .scan import Scan, scan_image
from .site import Site

BUILD_TOOL, SCAN_TOOL = "image.build", "image.scan"


class ContainerPlace:
    """One service of a container site. It has every control, so that it lacks none."""

    lacks = ""

    def __init__(self, rollout: Rollout, registry: Registry, quarantine: Quarantine, clock: Clock, work: Path) -> None:
        """`work` is a folder for building, emptied before each build."""
        self.rollout, self._registry, self.quarantine, self._clock = rollout, registry, quarantine, clock
        self._work = work
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
        values = {"base": image.base, "sbom": scan.sbom_digest, "components": scan.components, "advisories": scan.updated.isoformat()}
        return Prepared(artifact, image.digest, scan.findings, values)

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
        def work() -> tuple[Image, Result]:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            base = read_base(Repository(Path(change.repository)), change.head, self.rollout.site)
            image = build_image(artifact, base, self._registry.base_layout(base), self._work / "image")
            return image, Result(text=f"The image {image.digest} on {image.base}.", values={"image": image.digest, "base": image.base})

        action = Action(
            tool=BUILD_TOOL, resource=f"service:{self.rollout.name}", digest=artifact.digest, arguments={"head": change.head},
            refs=("T5", "M15"),
        )  # fmt: skip
        return task.act(action, work).value

    def _scan(self, task: Task, image: Image) -> Scan:
        def work() -> tuple[Scan, Result]:
            scan = scan_image(image, self.rollout.site, self._clock, self._work / "scan")
            text = f"Nothing critical; {len(scan.findings)} other findings in {scan.components} components."
            return scan, Result(text=text, values={"sbom": scan.sbom_digest, "advisories": scan.updated.isoformat()})

        action = Action(
            tool=SCAN_TOOL, resource=f"service:{self.rollout.name}", digest=image.digest, arguments={"commit": image.commit},
            refs=("T5", "M16"),
        )  # fmt: skip
        return task.act(action, work).value


def open_places(site: Site, folder: Path, clock: Clock) -> Callable[[str], ContainerPlace]:
    """Return what gives the place of each service. `folder` holds this site's state, a folder a service."""
    registry = Registry(site, folder / "work")
    hosts = Hosts(Engine(Path(site.storage), folder / "work"), Networks(site.edge, site.subnet), site.health_seconds)
    quarantine = Quarantine(site, hosts, folder / "work", clock)

    def place(name: str) -> ContainerPlace:
        rollout = Rollout(name, site, registry, hosts, folder / name)
        return ContainerPlace(rollout, registry, quarantine, clock, folder / "work" / f"build-{name}")

    return place



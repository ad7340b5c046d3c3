"""One service on the red team's container site: built, put in force and watched by the parts that a working site uses."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenuto.clock import Clock, SystemClock
from tenuto.events import DeploymentHealthy, DeploymentStarted
from tenuto.recorder import Recorder
from tenuto.verification import Verified

from ..containers.advisories import Advisory, write_database
from ..containers.container_place import ContainerPlace, open_places
from ..containers.containerfile import read_base
from ..containers.image import Image, build_image
from ..containers.instance import Instance
from ..containers.network import inside
from ..containers.registry import Registry
from ..containers.rollout import InForce
from ..containers.site import Site
from ..containers.watch import ContainerWatch, recording
from ..place import Release
from .container_range import FRONT, SERVICE, ContainerRange

LEAK = Advisory("CVE-2020-14343", "pip", "PyYAML", ("<5.4",), "CRITICAL", ("5.4",), "code execution when loading")
NAME = f"releases/{SERVICE}"


class ShopOnRange:
    """The service `shop` on a range, empty at first. `recorder` says what happens to it, for the run `run`."""

    def __init__(self, on: ContainerRange, folder: Path, recorder: Recorder, run: str, **changed: Any) -> None:
        """`folder` is for its state. `changed` replaces fields of the site file."""
        self.range, self.folder, self.recorder, self.run = on, folder, recorder, run
        self.changed: dict[str, Any] = {"quarantine": str(folder / "quarantine"), **changed}
        self.site: Site = on.site(**self.changed)
        self.place: ContainerPlace = open_places(self.site, folder / "site", SystemClock())(SERVICE)
        self.rollout, self.hosts = self.place.rollout, self.place.rollout.hosts
        self.registry = Registry(self.site, folder / "site" / "work")
        write_database([LEAK], Path(self.site.advisories), SystemClock().now())

    def clear(self) -> None:
        """End its containers and take its front down."""
        for name in self.hosts.engine.names(SERVICE):
            self.hosts.end(name)
        self.rollout.withdraw()

    def image(self, version: str, **more: str) -> Image:
        """The image of a release, built as a place builds it; the same one is built once on a range."""
        built = self.range.images.get(key := repr((version, sorted(more.items()))))
        if built is None:
            artifact, repository = self.range.artifact(version, **more)
            base = read_base(repository, artifact.commit, self.site)
            folder = self.range.folder / "images" / os.urandom(4).hex()
            built = self.range.images[key] = build_image(artifact, base, self.registry.base_layout(base), folder)
        layout = self.folder / "site" / "work" / f"image-{os.urandom(4).hex()}"
        shutil.copytree(built.layout, layout, copy_function=os.link)
        return replace(built, layout=layout)

    def release(self, version: str, *, run: str | None = None, **more: str) -> Release:
        """Roll a release out through all stages."""
        image = self.image(version, **more)
        return self.rollout.release(recording(self.recorder, run or self.run), image, deployment_of(image), run or self.run)

    def put_in_force(self, version: str, *, run: str | None = None, **more: str) -> Instance:
        """Have a release in force as if it had been rolled out, without the stages before."""
        image, before, run = self.image(version, **more), self.rollout.in_force(), run or self.run
        self.registry.push(image, SERVICE)
        reference = self.registry.pull(SERVICE, image.digest)
        record, deployment = recording(self.recorder, run), deployment_of(image)
        begun = record(DeploymentStarted, deployment=deployment, environment="production", artifact=image.digest)
        planned = Instance(f"{SERVICE}-{image.digest[:12]}", SERVICE, deployment, image.digest, image.service, run, started=begun.id)
        started, milliseconds = self.hosts.start(planned, reference, self.site.allowed(SERVICE), linked=True)
        record(DeploymentHealthy, deployment=deployment, milliseconds=milliseconds)
        self.rollout.put_state(InForce(started, before.instance if before else None))
        if before is not None:
            self.hosts.end(before.instance.name)
        return started

    def in_force(self) -> Instance:
        """What takes the work; there has to be something."""
        found = self.rollout.in_force()
        assert found is not None, "nothing is in force"
        return found.instance

    def watch(self, recorder: Recorder, events_of: Callable[[str], Sequence[Verified]], clock: Clock) -> ContainerWatch:
        """Return a new watch over it."""
        return ContainerWatch(self.rollout, self.place.quarantine, recorder, events_of, clock)

    def stop_answering(self) -> None:
        """Freeze what is in force, as a service that hangs."""
        self.hosts.engine.pause(self.in_force().name)

    def version(self) -> str:
        """What the front answers in the world; raises OSError when it does not."""
        return inside(self.range.edge, _ask)


def deployment_of(image: Image) -> str:
    """Name the deployment of an image, as the deployment agent does."""
    return f"{SERVICE}-{image.digest[:12]}"


def _ask() -> str:
    connection = http.client.HTTPConnection(FRONT, timeout=3)
    try:
        connection.request("GET", "/health")
        return str(json.loads(connection.getresponse().read())["version"])
    finally:
        connection.close()



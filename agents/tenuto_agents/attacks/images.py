"""Attacks on images (T5): put something else where a signed release or a pinned base belongs, and have it pulled or built on.

Each is planted in a real registry by somebody who may write to it. The judge is the pull itself, under the site's policy,
as a tool of the range's agent behind a gate: what it refuses is on record as a call that failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tenuto.action import Action
from tenuto.clock import SystemClock
from tenuto.documents import Result
from tenuto.errors import Refused

from ..containers.containerfile import BaseRefused, read_base
from ..containers.image import Image
from ..containers.registry import ImageRefused
from ..containers.scan import ScanBlocked, find_scanner, scan_image
from .container_range import RELEASE_KEY, SERVICE, STRANGER, ContainerRange
from .ground import RANGE_AGENT, Ground
from .scenario import Lacking, Scenario, Seen, Stop
from .shop import NAME, ShopOnRange

FAILED_SECONDS_MAX = 15.0
CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class Planted:
    """What is to be pulled, and by which words the site refuses it."""

    digest: str
    refusal: str


def unsigned(service: ShopOnRange) -> Planted:
    """An image that nobody signed."""
    image = _evil(service)
    service.range.copy(image.layout, f"{NAME}@sha256:{image.digest}", key=None)
    return Planted(image.digest, "[Ss]ignature")


def other_key(service: ShopOnRange) -> Planted:
    """An image that somebody signed whose key does not count here."""
    image = _evil(service)
    service.range.copy(image.layout, f"{NAME}@sha256:{image.digest}", key=STRANGER)
    return Planted(image.digest, "[Ss]ignature|[Kk]ey")


def copied_signature(service: ShopOnRange) -> Planted:
    """An evil image with the good signature of the release before."""
    good, evil = service.image("good"), _evil(service)
    service.registry.push(good, SERVICE)
    service.range.copy(evil.layout, f"{NAME}@sha256:{evil.digest}", key=None)
    _copy_signature(service, NAME, good.digest, evil.digest)
    return Planted(evil.digest, "digest")


def other_repository(service: ShopOnRange) -> Planted:
    """An image that was signed with the right key, for another repository."""
    image = _evil(service)
    service.range.copy(image.layout, f"releases/other@sha256:{image.digest}", key=RELEASE_KEY)
    service.range.copy(image.layout, f"{NAME}@sha256:{image.digest}", key=None)
    _copy_signature(service, "releases/other", image.digest, image.digest)
    return Planted(image.digest, "identity|reference")


def corrupted_layer(service: ShopOnRange) -> Planted:
    """A signed image whose layer was altered on the registry's disk afterwards."""
    image = _evil(service)
    service.registry.push(image, SERVICE)
    manifest = json.loads(service.range.blob(image.digest).read_bytes())
    layer = service.range.blob(manifest["layers"][-1]["digest"].removeprefix("sha256:"))
    layer.write_bytes(layer.read_bytes().replace(b"exec httpd", b"exec evild"))
    return Planted(image.digest, "[Dd]igest|corrupt|mismatch|verif")


PLANTS: Mapping[str, Callable[[ShopOnRange], Planted]] = {
    "image-unsigned": unsigned, "image-other-key": other_key, "image-copied-signature": copied_signature,
    "image-other-repository": other_repository, "image-corrupted-layer": corrupted_layer,
}  # fmt: skip


def unpinned_base(ground: Ground) -> Seen:
    """Have a release built on a base that a tag names."""
    with on_range(ground) as service:
        artifact, repository = service.range.artifact("1", base=f"FROM {service.site.registry}/base/busybox:latest\n")
        said = _tried(ground, "image.build", artifact.digest, lambda: read_base(repository, artifact.commit, service.site), BaseRefused)
        return _seen(ground, said, "M15", "The base is named by a tag.", "The release was built on whatever the tag names.")


def vulnerable(ground: Ground) -> Seen:
    """Bring a package with a critical vulnerability into production inside a signed image."""
    with on_range(ground) as service:
        try:
            find_scanner(service.site.scanner)
        except ScanBlocked as missing:
            raise Lacking(str(missing)) from missing
        image = service.image("1", **with_package("PyYAML", "5.3"))
        scan = lambda: scan_image(image, service.site, SystemClock(), service.folder / "scan")  # noqa: E731
        said = _tried(ground, "image.scan", image.digest, scan, ScanBlocked)
        return _seen(ground, said, "M16", "The scan found what is critical.", "The image passed the scan.")


def scanner_gone(ground: Ground) -> Seen:
    """Take the scanner away, so that nothing is found."""
    with on_range(ground, scanner="no-such-scanner") as service:
        image = service.image("1")
        scan = lambda: scan_image(image, service.site, SystemClock(), service.folder / "scan")  # noqa: E731
        said = _tried(ground, "image.scan", image.digest, scan, ScanBlocked)
        return _seen(ground, said, "M16", "A scan that did not take place blocks.", "An image that nobody scanned passed.")


def with_package(name: str, version: str) -> dict[str, str]:
    """Return the files by which a Python package is known to be installed."""
    return {f"lib/{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}


@contextmanager
def on_range(ground: Ground, **changed: str) -> Iterator[ShopOnRange]:
    """Give a fresh service on the range of this run; raises Lacking where this machine cannot have one.

    Registry, keys and world are made once for all attacks. After one that broke off they are made anew: nobody knows what it left.
    """
    site = ground.kept(CONTAINERS, ContainerRange)
    service = ShopOnRange(site, ground.folder / "service", ground.recorder(RANGE_AGENT), f"range-{ground.new_id()}", **changed)
    try:
        _demand_honest_pull(service)
        yield service
        service.clear()
    except BaseException:
        ground.let_go(CONTAINERS)
        raise


def _demand_honest_pull(service: ShopOnRange) -> None:
    """Raises Lacking where even what is in order is refused: there, a refusal would prove nothing."""
    image = service.image("honest")
    try:
        service.registry.push(image, SERVICE)
        service.registry.pull(SERVICE, image.digest)
    except ImageRefused as refused:
        raise Lacking(f"A signed image cannot be pulled on this machine: {refused}") from refused


def _pulled(plant: Callable[[ShopOnRange], Planted]) -> Callable[[Ground], Seen]:
    def attack(ground: Ground) -> Seen:
        with on_range(ground) as service:
            planted = plant(service)
            said = _tried(ground, "image.pull", planted.digest, lambda: service.registry.pull(SERVICE, planted.digest), ImageRefused)
            if said and not re.search(planted.refusal, said):
                return Seen(reached=False, sentence=f"It was refused, but not for what is wrong with it: {said}")
            return _seen(ground, said, "M15", "The image is not the signed one.", "The image is in the storage that containers start from.")

    return attack


def _tried(ground: Ground, tool: str, digest: str, work: Callable[[], object], refusal: type[Refused]) -> str:
    """Do `work` as a call of the range's agent; return what refused it, or "" when it went through."""

    def execute() -> Result:
        work()
        return Result(text="It went through.")

    action = Action(tool=tool, resource=f"service:{SERVICE}", digest=digest, arguments={}, refs=("T5", "M16" if tool == "image.scan" else "M15"))
    try:
        ground.gate().run(action, execute, run=f"range-{ground.new_id()}")
    except refusal as refused:
        return str(refused)
    return ""


def _seen(ground: Ground, said: str, control: str, stopped: str, reached: str) -> Seen:
    if not said:
        return Seen(reached=True, sentence=reached)
    failed = ground.wait_for(lambda one: one.event.kind == "tool.failed" and one.event.author == RANGE_AGENT, FAILED_SECONDS_MAX)
    evidence = (failed.event.id,) if failed is not None else ()
    return Seen(reached=False, sentence=said, stops=(Stop(control, stopped, evidence, said),))


def _evil(service: ShopOnRange) -> Image:
    return service.image("evil", seed=hashlib.sha256(os.urandom(8)).hexdigest())


def _copy_signature(service: ShopOnRange, name: str, source: str, target: str) -> None:
    copied = service.range.signature(NAME, target)
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(service.range.signature(name, source), copied)


SCENARIOS = (
    *(Scenario(name, f"{(plant.__doc__ or '').rstrip('.')}, in production.", ("T5", "M15"), _pulled(plant)) for name, plant in PLANTS.items()),
    Scenario("base-unpinned", "A release on a base image that a tag names.", ("T5", "M15"), unpinned_base),
    Scenario("image-vulnerable", "A critical vulnerability inside a signed image.", ("T5", "M16", "C3"), vulnerable),
    Scenario("scanner-gone", "No finding, since there is no scanner.", ("T5", "M16"), scanner_gone),
)  # fmt: skip

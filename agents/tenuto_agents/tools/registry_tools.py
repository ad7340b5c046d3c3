"""The server `registry`: two tools of a container site. `image.build` resolves a commit to the digest of its image, on a base
whose publisher's signature counts; `image.scan` says what is known to be wrong with exactly that image, or blocks it.

The keys of the registry and of signing are the site's; neither tool takes or gives any.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from tenuto.action import Action
from tenuto.clock import Clock
from tenuto.documents import Finding
from tenuto.errors import Refused

from ..artifact import Artifact, ArtifactRefused, Service, build_artifact
from ..containers.containerfile import read_base
from ..containers.image import Image, build_image
from ..containers.registry import COPY_SECONDS_MAX, Registry
from ..containers.scan import SCAN_SECONDS_MAX, Scan, scan_image
from ..containers.site import Site
from ..git import Repository
from ..text import as_name
from .contract import Tool
from .deploy_tools import Digest, service_resource
from .git_tools import CommitId, RepositoryPath

BUILD_TOOL, SCAN_TOOL = "image.build", "image.scan"
BUILD_SECONDS_MAX = COPY_SECONDS_MAX + 120.0
NO_SITE = "No container site is set up on this machine (TENUTO_CONTAINERS), so there is no registry."


class BuildArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is built: the repository's folder, the commit, and the SHA-256 of the artifact of that commit."""

    repository: RepositoryPath
    head: CommitId
    artifact: Digest


class ScanArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is scanned: the image that this server built for a service, by its digest."""

    service: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    image: Digest


class ServiceOfImage(Service, frozen=True, forbid_unknown_fields=True):
    """The service in an image."""


class ImageBuilt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A built image: SHA-256 of its manifest, its base by digest, its commit, and the service in it."""

    digest: str
    base: str
    commit: str
    service: ServiceOfImage

    def image(self, layout: Path) -> Image:
        """Return it as the agent's code has images; `layout` is where it lies."""
        return Image(self.digest, layout, self.base, self.commit, Service(**msgspec.structs.asdict(self.service)))


class FindingOfScan(Finding, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding that does not block."""


class Scanned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scan without anything critical; sbom: SHA-256 of the bill of materials; advisories: of when its knowledge is."""

    findings: tuple[FindingOfScan, ...]
    components: int
    sbom: str
    advisories: datetime

    @classmethod
    def of(cls, scan: Scan) -> Scanned:
        """Return what is told of a scan."""
        findings = tuple(FindingOfScan(**msgspec.structs.asdict(one)) for one in scan.findings)
        return cls(findings, scan.components, scan.sbom_digest, scan.updated)

    @property
    def plain(self) -> tuple[Finding, ...]:
        """The findings as documents have them."""
        return tuple(Finding(**msgspec.structs.asdict(one)) for one in self.findings)


BUILD: Tool[BuildArguments, ImageBuilt] = Tool(
    BUILD_TOOL, "Builds the image of a commit on its pinned base, whose signature must count, and gives its digest.",
    BuildArguments, ImageBuilt, seconds=BUILD_SECONDS_MAX,
)  # fmt: skip
SCAN: Tool[ScanArguments, Scanned] = Tool(
    SCAN_TOOL, "Scans an image that this server built; refuses what is critical, and whatever proves nothing.",
    ScanArguments, Scanned, seconds=2 * SCAN_SECONDS_MAX,
)  # fmt: skip


class ImageWorks:
    """Where images are built and scanned. `work` is a folder that is emptied before each build of a service."""

    def __init__(self, site: Site, registry: Registry, work: Path, clock: Clock) -> None:
        """Nothing is built yet."""
        self._site, self._registry, self._work, self._clock = site, registry, work, clock

    def folder(self, service: str) -> Path:
        """Where the image of a service is built; its layout is `image` in it."""
        return self._work / f"build-{service}"

    def build(self, service: str, artifact: Artifact, repository: Repository, commit: str) -> Image:
        """Build an image on its pinned, signed base (M15); raises BaseRefused, ImageRefused, ArtifactRefused."""
        folder = self.folder(service)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        base = read_base(repository, commit, self._site)
        return build_image(artifact, base, self._registry.base_layout(base), folder / "image")

    def scan(self, service: str, image: Image) -> Scan:
        """Scan an image (M16); raises ScanBlocked."""
        return scan_image(image, self._site, self._clock, self.folder(service) / "scan")


class RegistryTools:
    """The toolbox. `works` is None where no container site is set up."""

    tools: Mapping[str, Tool[Any, Any]] = {tool.name: tool for tool in (BUILD, SCAN)}

    def __init__(self, works: Callable[[], ImageWorks] | None) -> None:
        """Nothing is built yet."""
        self._open = works
        self._works: ImageWorks | None = None
        self._artifact: Artifact | None = None
        self._built: dict[str, Image] = {}

    def close(self) -> None:
        """See Toolbox; what was built stays, since the agent rolls it out."""

    def action(self, tool: str, arguments: Any) -> Action:
        """See Toolbox; raises Refused where there is no site, no such artifact or no such image."""
        if self._open is None:
            raise Refused(NO_SITE, reason="containers")
        if isinstance(arguments, ScanArguments):
            self._demand_built(arguments)
            return scan_action(arguments)
        self._artifact = build_artifact(Repository(Path(arguments.repository)), arguments.head)
        if self._artifact.digest != arguments.artifact:
            raise ArtifactRefused(f"The artifact of {arguments.head} is {self._artifact.digest}, not {arguments.artifact}.")
        return build_action(arguments)

    def perform(self, tool: str, arguments: Any) -> msgspec.Struct:
        """See Toolbox; raises what ImageWorks raises."""
        assert self._open is not None
        self._works = self._works or self._open()
        if isinstance(arguments, ScanArguments):
            return Scanned.of(self._works.scan(arguments.service, self._demand_built(arguments)))
        assert self._artifact is not None
        name = as_name(Path(arguments.repository).name)
        self._built.pop(name, None)
        built = self._works.build(name, self._artifact, Repository(Path(arguments.repository)), arguments.head)
        self._built[name] = built
        return ImageBuilt(built.digest, built.base, built.commit, ServiceOfImage(**msgspec.structs.asdict(built.service)))

    def _demand_built(self, arguments: ScanArguments) -> Image:
        built = self._built.get(arguments.service)
        if built is None or built.digest != arguments.image:
            raise Refused(f"This server built no image {arguments.image[:12]} for this service; build it first.", reason="image")
        return built


def build_action(arguments: BuildArguments) -> Action:
    """Return what building is; the digest is that of the artifact that goes into the image."""
    return Action(
        tool=BUILD_TOOL, resource=service_resource(arguments.repository), digest=arguments.artifact,
        arguments=msgspec.to_builtins(arguments), refs=("T5", "M15"),
    )  # fmt: skip


def scan_action(arguments: ScanArguments) -> Action:
    """Return what scanning is; the digest is that of the image."""
    return Action(
        tool=SCAN_TOOL, resource=f"service:{as_name(arguments.service)}", digest=arguments.image,
        arguments=msgspec.to_builtins(arguments), refs=("T5", "M16"),
    )  # fmt: skip

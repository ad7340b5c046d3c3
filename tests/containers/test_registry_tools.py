"""The tools of the registry server on a real site: what they build is what the place builds, and what must not pass does not."""

from __future__ import annotations

import os

import msgspec
import pytest
from tenuto.clock import SystemClock
from tenuto.errors import Refused
from tenuto_agents.artifact import ArtifactRefused
from tenuto_agents.attacks.images import with_package
from tenuto_agents.containers.scan import ScanBlocked, find_scanner
from tenuto_agents.tools.registry_tools import (
    BUILD_TOOL,
    NO_SITE,
    SCAN_TOOL,
    BuildArguments,
    ImageBuilt,
    ImageWorks,
    RegistryTools,
    ScanArguments,
    Scanned,
)

from tests.containers.stand import Stand


def tools_of(stand: Stand) -> RegistryTools:
    try:
        find_scanner("trivy")
    except ScanBlocked as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The scanner is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))
    return RegistryTools(lambda: ImageWorks(stand.site, stand.registry, stand.folder / "tools", SystemClock()))


def release(stand: Stand, **more: str) -> BuildArguments:
    artifact, repository = stand.ground.artifact("1", **more)
    return BuildArguments(str(repository.path), artifact.commit, artifact.digest)


def test_a_commit_is_resolved_to_the_digest_that_anybody_builds_and_scanned_by_that_digest(stand: Stand) -> None:
    tools, arguments = tools_of(stand), release(stand)
    assert tools.action(BUILD_TOOL, arguments).digest == arguments.artifact
    built = tools.perform(BUILD_TOOL, arguments)
    assert isinstance(built, ImageBuilt)
    assert built.digest == stand.image("1").digest
    service = tools.action(BUILD_TOOL, arguments).resource.partition(":")[2]
    scan = ScanArguments(service, built.digest)
    assert tools.action(SCAN_TOOL, scan).digest == built.digest
    scanned = tools.perform(SCAN_TOOL, scan)
    assert isinstance(scanned, Scanned)
    assert scanned.findings == ()
    with pytest.raises(Refused, match="built no image"):
        tools.action(SCAN_TOOL, msgspec.structs.replace(scan, image="0" * 64))
    with pytest.raises(ArtifactRefused):
        tools.action(BUILD_TOOL, msgspec.structs.replace(arguments, artifact="0" * 64))


def test_what_is_critical_is_refused_by_the_tool(stand: Stand) -> None:
    tools, arguments = tools_of(stand), release(stand, **with_package("PyYAML", "5.3"))
    service = tools.action(BUILD_TOOL, arguments).resource.partition(":")[2]
    built = tools.perform(BUILD_TOOL, arguments)
    assert isinstance(built, ImageBuilt)
    with pytest.raises(ScanBlocked, match="CVE-2020-14343"):
        tools.perform(SCAN_TOOL, ScanArguments(service, built.digest))


def test_without_a_site_there_is_no_registry(stand: Stand) -> None:
    with pytest.raises(Refused) as caught:
        RegistryTools(None).action(BUILD_TOOL, release(stand))
    assert str(caught.value) == NO_SITE

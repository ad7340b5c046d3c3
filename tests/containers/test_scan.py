"""The scan blocks what is critical, and everything that looks like a scan and proves nothing (M16)."""

from __future__ import annotations

import json
import os
import stat
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tenuto.clock import SystemClock
from tenuto.errors import NotConfigured
from tenuto_agents.attacks.container_range import ContainerRange
from tenuto_agents.attacks.images import with_package
from tenuto_agents.containers.advisories import KEYS_MAX, Advisory, read_advisories, write_database
from tenuto_agents.containers.image import Image
from tenuto_agents.containers.scan import ScanBlocked, scan_image
from tenuto_agents.containers.site import Site

from tests.containers.stand import LEAK, Stand
from tests.doubles import StoppedClock


@pytest.fixture(autouse=True)
def scanner(ground: ContainerRange) -> None:
    """A wheel holds the scanner; without it a local run skips, and CI fails."""
    from tenuto_agents.containers.scan import find_scanner

    try:
        find_scanner("trivy")
    except ScanBlocked as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The scanner is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))


def scan(stand: Stand, image: Image, site: Site | None = None) -> object:
    return scan_image(image, site or stand.site, SystemClock(), stand.folder / "scan")


def scanner_that(stand: Stand, script: str) -> Site:
    """A site whose scanner is a program that does something else."""
    program = stand.folder / "scanner"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return msgspec.structs.replace(stand.site, scanner=str(program))


def test_a_critical_vulnerability_blocks_and_a_patched_version_does_not(stand: Stand) -> None:
    with pytest.raises(ScanBlocked, match="CVE-2020-14343 in PyYAML"):
        scan(stand, stand.image("1", **with_package("PyYAML", "5.3")))
    clean = scan_image(stand.image("1", **with_package("PyYAML", "5.4")), stand.site, SystemClock(), stand.folder / "scan")
    assert clean.findings == ()
    bill = json.loads(clean.sbom)
    assert (bill["bomFormat"], [one["name"] for one in bill["components"] if one["type"] == "library"]) == ("CycloneDX", ["PyYAML"])


def test_the_database_is_what_blocks(stand: Stand) -> None:
    """The control switched off: a database that does not know the vulnerability lets the same image pass."""
    image = stand.image("1", **with_package("PyYAML", "5.3"))
    with pytest.raises(ScanBlocked):
        scan(stand, image)
    write_database([msgspec.structs.replace(LEAK, package="other")], Path(stand.site.advisories), SystemClock().now())
    scan(stand, image)


def test_what_is_less_than_critical_is_shown_and_does_not_block(stand: Stand) -> None:
    high = msgspec.structs.replace(LEAK, severity="HIGH", title="\u202ehigh")
    write_database([high], Path(stand.site.advisories), SystemClock().now())
    found = scan_image(stand.image("1", **with_package("PyYAML", "5.3")), stand.site, SystemClock(), stand.folder / "scan")
    assert [(one.rule, one.severity) for one in found.findings] == [("CVE-2020-14343", "high")]
    assert "\u202e" not in found.findings[0].message


def test_a_scanner_that_is_missing_blocks(stand: Stand) -> None:
    with pytest.raises(ScanBlocked, match="not on this machine"):
        scan(stand, stand.image("1"), msgspec.structs.replace(stand.site, scanner="no-such-scanner"))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 2", "ended with 2"),
        ("exit 0", "cannot be read"),
        ("echo no json", "cannot be read"),
        ('echo \'{"SchemaVersion": 2, "ArtifactName": "another image", "Results": []}\'', "lists 0 vulnerabilities of 'another image'"),
        ('echo \'{"SchemaVersion": 2, "ArtifactName": "\'$INPUT\'", "Results": []}\'; exit 1', "ended with 1 and lists 0"),
        ('echo \'{"SchemaVersion": 2, "Results": []}\'', "cannot be read"),
        ("kill -9 $$", "ended with -9"),
    ],
    ids=["error", "silence", "noise", "another image", "contradiction", "half an answer", "killed"],
)
def test_an_answer_that_proves_nothing_blocks(stand: Stand, script: str, why: str) -> None:
    image = stand.image("1")
    site = scanner_that(stand, f"INPUT={image.layout}\n{script}")
    with pytest.raises(ScanBlocked, match=why):
        scan(stand, image, site)


@pytest.mark.parametrize(
    ("age", "why"), [(timedelta(days=7, minutes=1), "7 days old"), (timedelta(hours=-2), "not before now")], ids=["old", "of tomorrow"]
)
def test_an_old_database_and_one_of_tomorrow_block(stand: Stand, age: timedelta, why: str) -> None:
    image, now = stand.image("1"), SystemClock().now()
    write_database([LEAK], Path(stand.site.advisories), now - age)
    with pytest.raises(ScanBlocked, match=why):
        scan_image(image, stand.site, StoppedClock(now), stand.folder / "scan")
    write_database([LEAK], Path(stand.site.advisories), now - timedelta(days=7))
    scan_image(image, stand.site, StoppedClock(now), stand.folder / "scan")


def test_a_database_without_its_date_or_its_content_blocks(stand: Stand) -> None:
    image, folder = stand.image("1"), Path(stand.site.advisories) / "db"
    (folder / "metadata.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ScanBlocked, match="no metadata that can be read"):
        scan(stand, image)
    write_database([LEAK], Path(stand.site.advisories), SystemClock().now())
    (folder / "trivy.db").write_bytes(b"not a database")
    with pytest.raises(ScanBlocked):
        scan(stand, image)


def test_many_advisories_fill_many_pages_and_are_all_found(stand: Stand) -> None:
    many = [msgspec.structs.replace(LEAK, id=f"CVE-2026-{number:05}", package=f"package-{number}") for number in range(3000)]
    write_database(many, Path(stand.site.advisories), SystemClock().now())
    for number in (0, 1499, 2999):
        with pytest.raises(ScanBlocked, match=f"CVE-2026-{number:05}"):
            scan(stand, stand.image("1", **with_package(f"package-{number}", "5.0")))


def test_an_empty_list_and_a_bad_one_make_no_database(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="would let everything pass"):
        write_database([], tmp_path, SystemClock().now())
    with pytest.raises(NotConfigured, match="do not fit"):
        write_database([msgspec.structs.replace(LEAK, id=f"CVE-{number:06}") for number in range(KEYS_MAX + 1)], tmp_path, SystemClock().now())
    file = tmp_path / "advisories.json"
    file.write_text('[{"id": "CVE-2020-1"}]', encoding="utf-8")
    with pytest.raises(NotConfigured, match=r"advisories\.json are not valid"):
        read_advisories(file)
    file.write_bytes(msgspec.json.encode([LEAK]))
    assert read_advisories(file) == [LEAK]
    assert isinstance(LEAK, Advisory)

"""The scan of an image before anybody is asked to approve it: a critical finding blocks, and so does a scan that proves nothing (M16).

No scanner, a database that is old or of tomorrow, an unexpected exit code, an answer that cannot be read or contradicts the
exit code: each of these is a block, because each looks like "nothing found" to whoever only counts findings.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
from tenuto.clock import Clock
from tenuto.documents import Finding
from tenuto.errors import UNREADABLE, Refused, TenutoError

from ..processes import Ended, run_tool
from ..text import visible_line
from .image import Image
from .parts import SEARCH_PATH
from .site import Site

SCAN_SECONDS_MAX = 300.0
AHEAD_MAX = timedelta(hours=1)
FINDINGS_MAX = 200
_NO_NETWORK = ("--skip-db-update", "--skip-java-db-update", "--offline-scan", "--skip-version-check", "--quiet")
_SEVERITY = {"CRITICAL": "high", "HIGH": "high", "MEDIUM": "medium"}


class ScanBlocked(Refused):
    """The image has a critical vulnerability, or nobody can say that it has none; it is not deployed."""

    reason = "scan"


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan without anything critical: what else was found, the bill of materials (CycloneDX) and the database's age."""

    findings: tuple[Finding, ...]
    components: int
    sbom: bytes
    updated: datetime

    @property
    def sbom_digest(self) -> str:
        """SHA-256 of the bill of materials, hex."""
        return hashlib.sha256(self.sbom).hexdigest()


class _Vulnerability(msgspec.Struct, rename="pascal"):
    vulnerability_i_d: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="VulnerabilityID")
    pkg_name: str
    severity: str
    installed_version: str = ""
    title: str = ""


class _Target(msgspec.Struct, rename="pascal"):
    target: str
    vulnerabilities: list[_Vulnerability] = []


class _Answer(msgspec.Struct, rename="pascal"):
    schema_version: int
    artifact_name: str
    results: list[_Target] = []


class _Metadata(msgspec.Struct, rename="pascal"):
    version: int
    updated_at: datetime


def scan_image(image: Image, site: Site, clock: Clock, work: Path) -> Scan:
    """Scan a built image and return what was found; raises ScanBlocked. `work` is a folder for the scanner's files."""
    updated = _demand_fresh(site, clock.now())
    work.mkdir(parents=True, exist_ok=True)
    answer, found = _vulnerabilities(image, site, work)
    critical = [one for one in found if one.severity == "CRITICAL"]
    if critical:
        named = ", ".join(f"{visible_line(one.vulnerability_i_d)} in {visible_line(one.pkg_name)}"[:120] for one in critical[:5])
        raise ScanBlocked(f"The image has {len(critical)} critical vulnerabilities: {named}.")
    sbom = _bill(image, site, work)
    findings = tuple(_finding(target, one) for target in answer.results for one in target.vulnerabilities)
    return Scan(findings[:FINDINGS_MAX], len(sbom.get("components", ())), json.dumps(sbom, sort_keys=True).encode(), updated)


def _demand_fresh(site: Site, now: datetime) -> datetime:
    file = Path(site.advisories) / "db" / "metadata.json"
    try:
        metadata = msgspec.json.decode(file.read_bytes(), type=_Metadata)
    except (OSError, *UNREADABLE) as error:
        raise ScanBlocked(f"The vulnerability database has no metadata that can be read ({type(error).__name__}).") from error
    if metadata.updated_at.tzinfo is None or metadata.updated_at > now + AHEAD_MAX:
        raise ScanBlocked(f"The vulnerability database says it is of {metadata.updated_at.isoformat()}; that is not before now.")
    age = now - metadata.updated_at
    if age > timedelta(days=site.advisories_days_max):
        raise ScanBlocked(f"The vulnerability database is {age.days} days old; at most {site.advisories_days_max:g} are allowed. Renew it.")
    return metadata.updated_at


def _vulnerabilities(image: Image, site: Site, work: Path) -> tuple[_Answer, list[_Vulnerability]]:
    ended = _trivy(site, work, "--scanners", "vuln", "--format", "json", "--exit-code", "1", "--severity", "CRITICAL,HIGH,MEDIUM,LOW,UNKNOWN",
                   "--input", str(image.layout))  # fmt: skip
    if ended.code not in (0, 1):
        raise ScanBlocked(f"The scanner ended with {ended.code}: {visible_line(ended.complaint())}")
    try:
        answer = msgspec.json.decode(ended.stdout, type=_Answer)
    except UNREADABLE as error:
        raise ScanBlocked(f"The scanner's answer cannot be read: {error}.") from error
    found = [one for target in answer.results for one in target.vulnerabilities]
    # Two statements of one fact that must agree; where they do not, one of them was not the scanner's.
    if bool(found) != (ended.code == 1) or answer.artifact_name != str(image.layout):
        raise ScanBlocked(f"The scanner ended with {ended.code} and lists {len(found)} vulnerabilities of {answer.artifact_name!r:.200}.")
    return answer, found


def _bill(image: Image, site: Site, work: Path) -> dict[str, Any]:
    ended = _trivy(site, work, "--format", "cyclonedx", "--input", str(image.layout))
    try:
        bill = msgspec.json.decode(ended.stdout, type=dict[str, Any])
    except UNREADABLE as error:
        raise ScanBlocked(f"The bill of materials cannot be read: {error}.") from error
    if ended.code != 0 or bill.get("bomFormat") != "CycloneDX":
        raise ScanBlocked(f"No bill of materials was made; the scanner ended with {ended.code}.")
    return bill


def _trivy(site: Site, work: Path, *arguments: str) -> Ended:
    program = find_scanner(site.scanner)
    argv = [program, "image", "--cache-dir", site.advisories, *_NO_NETWORK, *arguments]
    environment = {"PATH": SEARCH_PATH, "HOME": str(work), "TMPDIR": str(work)}
    try:
        return run_tool(argv, folder=work, seconds=SCAN_SECONDS_MAX, environment=environment)
    except TenutoError as error:
        raise ScanBlocked(f"The image could not be scanned: {error}") from error


def find_scanner(name: str) -> str:
    """Return the scanner's path, from this Python's own folder or the system's; raises ScanBlocked."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{SEARCH_PATH}")
    if found is None:
        raise ScanBlocked(f"The scanner {name} is not on this machine, so nothing was scanned.")
    return found


def _finding(target: _Target, one: _Vulnerability) -> Finding:
    where = visible_line(target.target)[:200]
    message = visible_line(f"{one.pkg_name} {one.installed_version}: {one.title}")[:300]
    return Finding(
        tool="trivy", rule=visible_line(one.vulnerability_i_d)[:60], severity=_SEVERITY.get(one.severity, "low"), file=where,
        line=0, message=message,
    )  # fmt: skip

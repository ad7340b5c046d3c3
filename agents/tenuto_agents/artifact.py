"""The artifact: the files of one commit in one archive whose bytes depend on nothing but those files.

Anybody with the commit builds the same bytes and the same SHA-256, so what was approved, what was deployed and what is in
git can be compared by hash. No build script of the repository runs.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec
from tenuto.errors import UNREADABLE, Refused

from .git import Entry, Repository
from .text import visible_line

ARTIFACT_FILES_MAX = 5_000
ARTIFACT_BYTES_MAX = 100_000_000
SERVICE_FILE = "deploy/service.json"


class ArtifactRefused(Refused):
    """No artifact can be made of this commit, or its bytes are not those that were approved."""

    reason = "artifact"


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`deploy/service.json`: how the service is started and how it is known to be well.

    entry: the Python file that serves on the port in the variable PORT. health: a path that answers with a JSON object
    which holds `version`.
    """

    name: str
    version: str
    entry: str
    health: str = "/health"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An archive, its SHA-256 in hex, and the service in it; without a service the files are the release."""

    commit: str
    content: bytes
    digest: str
    service: Service | None
    files: int


def build_artifact(repository: Repository, commit: str) -> Artifact:
    """Return the artifact of `commit`; the same commit gives the same bytes. Raises ArtifactRefused.

    Over ARTIFACT_FILES_MAX (5,000) files or ARTIFACT_BYTES_MAX (100 MB), and for a symbolic link, there is none.
    """
    entries = repository.tree(commit)
    if len(entries) > ARTIFACT_FILES_MAX:
        raise ArtifactRefused(f"The commit has {len(entries):,} files; at most {ARTIFACT_FILES_MAX:,} are deployed.")
    archive, size, service = io.BytesIO(), 0, None
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
        for entry in sorted(entries, key=lambda one: one.path.encode("utf-8", errors="surrogateescape")):
            _demand_plain(entry)
            content = repository.content(entry.blob)
            size += len(content)
            if size > ARTIFACT_BYTES_MAX:
                raise ArtifactRefused(f"The commit has more than {ARTIFACT_BYTES_MAX:,} bytes.")
            tar.addfile(_member(entry, len(content)), io.BytesIO(content))
            service = _service(content) if entry.path == SERVICE_FILE else service
    _demand_entry(service, entries)
    packed = archive.getvalue()
    return Artifact(commit, packed, hashlib.sha256(packed).hexdigest(), service, len(entries))


def artifact_of(content: bytes, digest: str) -> Artifact:
    """Return the artifact with these bytes; raises ArtifactRefused when they are not those of the digest."""
    files = unpacked(Artifact("", content, digest, None, 0))
    service = _service(files[SERVICE_FILE]) if SERVICE_FILE in files else None
    return Artifact("", content, digest, service, len(files))


def unpacked(artifact: Artifact) -> dict[str, bytes]:
    """Return the artifact's files by path; raises ArtifactRefused when the bytes are not those of the digest."""
    if hashlib.sha256(artifact.content).hexdigest() != artifact.digest:
        raise ArtifactRefused(f"The artifact is not the one with the digest {artifact.digest}.")
    with tarfile.open(fileobj=io.BytesIO(artifact.content), mode="r:", encoding="utf-8") as tar:
        return {member.name: _content(tar, member) for member in tar.getmembers()}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    if stream is None:
        raise ArtifactRefused(f"{visible_line(member.name)} in the artifact is no plain file.")
    return stream.read()


def _demand_plain(entry: Entry) -> None:
    shown = visible_line(entry.path)
    if not entry.regular:
        raise ArtifactRefused(f"{shown} is a symbolic link or a submodule; an artifact holds plain files only.")
    parts = PurePosixPath(entry.path).parts
    if entry.path.startswith("/") or any(part in ("..", ".git") for part in parts):
        raise ArtifactRefused(f"The path {shown} would leave the folder of the release.")


def _member(entry: Entry, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.path)
    member.size, member.mode = size, 0o755 if entry.mode == "100755" else 0o644
    return member


def _service(content: bytes) -> Service:
    try:
        return msgspec.json.decode(content, type=Service)
    except UNREADABLE as error:
        raise ArtifactRefused(f"{SERVICE_FILE} does not describe a service: {error}.") from error


def _demand_entry(service: Service | None, entries: tuple[Entry, ...]) -> None:
    if service is not None and service.entry not in {entry.path for entry in entries}:
        raise ArtifactRefused(f"{SERVICE_FILE} names the entry {visible_line(service.entry)}, which is not in the commit.")

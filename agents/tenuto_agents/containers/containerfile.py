"""The base image, as `deploy/Dockerfile` names it: by digest, from a trusted prefix of the one registry (M15).

A tag is a name that its owner points anywhere, later too; a digest is the image. Nothing of the repository runs while an
image is built, so the file may name its base and nothing else: with `RUN` a pull request would be code at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..artifact import ArtifactRefused
from ..git import Repository
from ..text import visible_line
from .site import Site

CONTAINERFILE = "deploy/Dockerfile"
CONTAINERFILES_MAX = 100
_NAMES = re.compile(r"(?:.*[.])?(?:Dockerfile|Containerfile)(?:[.].*)?", re.IGNORECASE)
_FROM = re.compile(r"FROM(?:\s+--platform=\S+)?\s+(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_PINNED = re.compile(r"([a-z0-9.:-]+)/([a-z0-9._/-]+)@sha256:([0-9a-f]{64})")


class BaseRefused(ArtifactRefused):
    """The base image is not pinned by digest, or comes from where nothing is taken from."""

    reason = "base"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A pinned base image: registry, repository, SHA-256 of its manifest in hex, and the trusted prefix it falls under."""

    registry: str
    repository: str
    digest: str
    prefix: str

    @property
    def reference(self) -> str:
        """How it is pulled."""
        return f"{self.registry}/{self.repository}@sha256:{self.digest}"


def read_base(repository: Repository, commit: str, site: Site) -> BaseImage:
    """Return the base image that `commit` names, after every Dockerfile in it was read; raises BaseRefused."""
    found: BaseImage | None = None
    files = [entry for entry in repository.tree(commit) if _NAMES.fullmatch(PurePosixPath(entry.path).name)]
    if len(files) > CONTAINERFILES_MAX:
        raise BaseRefused(f"The commit has more than {CONTAINERFILES_MAX} Dockerfiles.")
    for entry in files:
        text = repository.content(entry.blob).decode("utf-8", errors="replace")
        bases = pinned_bases(entry.path, text, site)
        if entry.path == CONTAINERFILE:
            _demand_only_from(entry.path, text)
            found = bases[-1] if bases else None
    if found is None:
        raise BaseRefused(f"The commit has no {CONTAINERFILE} with `FROM {site.registry}/...@sha256:...`; name a base image.")
    return found


def pinned_bases(path: str, text: str, site: Site) -> list[BaseImage]:
    """Return every base that a Dockerfile names; raises BaseRefused for one that is not pinned or not trusted.

    `FROM` an earlier stage of the same file and `FROM scratch` name no image.
    """
    bases, stages = [], {"scratch"}
    for line in _instructions(text):
        if not line.upper().startswith("FROM"):
            continue
        found = _FROM.fullmatch(line)
        if found is None:
            raise BaseRefused(f"{visible_line(path)}: {visible_line(line)[:200]!r} cannot be read.")
        if found[1].lower() not in stages:
            bases.append(_pinned(path, found[1], site))
        stages.add((found[2] or "").lower())
    return bases


def _pinned(path: str, name: str, site: Site) -> BaseImage:
    shown = f"{visible_line(path)}: FROM {visible_line(name)[:200]}"
    found = _PINNED.fullmatch(name)
    if found is None:
        raise BaseRefused(f"{shown} is not pinned. Name registry, repository and digest: FROM {site.registry}/...@sha256:...")
    registry, repository, digest = found.groups()
    if registry != site.registry:
        raise BaseRefused(f"{shown} comes from another registry than {site.registry}.")
    for prefix in site.bases:
        if repository == prefix or repository.startswith(prefix + "/"):
            return BaseImage(registry, repository, digest, prefix)
    raise BaseRefused(f"{shown} is under none of the trusted prefixes: {', '.join(sorted(site.bases))}.")


def _demand_only_from(path: str, text: str) -> None:
    for line in _instructions(text):
        if not line.upper().startswith("FROM"):
            raise BaseRefused(f"{path}: {visible_line(line)[:80]!r}: nothing of a repository runs in a build; only FROM may stand here.")


def _instructions(text: str) -> list[str]:
    lines = [line.strip() for line in text.replace("\\\n", " ").split("\n")]
    return [line for line in lines if line and not line.startswith("#")]

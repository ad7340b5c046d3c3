"""The server `deploy`: one tool, `deploy.production`, which puts the release of a commit in force on this machine's target.

It is told a commit and the digest that people approved, builds the artifact from the commit itself, and releases nothing
whose bytes have another digest. The target's folder is this server's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from tenuto.action import Action

from ..artifact import Artifact, ArtifactRefused, build_artifact
from ..change import person_behind
from ..git import Repository, RepositoryRefused
from ..place import Put, put_in_force
from ..target import LocalTarget
from ..text import as_name
from .contract import Tool
from .git_tools import CommitId, RepositoryPath

DEPLOY_TOOL, SUBJECT, RISKS = "deploy.production", "artifact", ("production",)
RELEASE_SECONDS_MAX = 180.0
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class ReleaseArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is released: the repository's folder, the ends of the change, and the SHA-256 of the artifact of `head`."""

    repository: RepositoryPath
    base: CommitId
    head: CommitId
    artifact: Digest


RELEASE: Tool[ReleaseArguments, Put] = Tool(
    DEPLOY_TOOL, "Puts the artifact of a commit in force on this machine's target, or brings back what was there.",
    ReleaseArguments, Put, seconds=RELEASE_SECONDS_MAX,
)  # fmt: skip


class DeployTools:
    """The toolbox. `targets` gives the target of a service by its name."""

    tools: Mapping[str, Tool[Any, Any]] = {RELEASE.name: RELEASE}

    def __init__(self, targets: Callable[[str], LocalTarget]) -> None:
        """Nothing is touched yet."""
        self._targets = targets
        self._built: Artifact | None = None

    def action(self, tool: str, arguments: ReleaseArguments) -> Action:
        """See Toolbox; the digest is that of the artifact as it is built here. Raises ArtifactRefused, RepositoryRefused."""
        repository = Repository(Path(arguments.repository))
        self._built = build_artifact(repository, arguments.head)
        if self._built.digest != arguments.artifact:
            raise ArtifactRefused(f"The artifact of {arguments.head} is {self._built.digest}, not {arguments.artifact}.")
        newest = repository.commits(arguments.base, arguments.head, 1)
        if not newest:
            raise RepositoryRefused(f"{arguments.head} holds nothing that {arguments.base} does not, so nobody is behind it.")
        return Action(
            tool=DEPLOY_TOOL, resource=service_resource(arguments.repository), digest=self._built.digest, subject=SUBJECT, risks=RISKS,
            initiator=person_behind(newest[0]), arguments=msgspec.to_builtins(arguments),
        )  # fmt: skip

    def close(self) -> None:
        """See Toolbox; nothing is held."""

    def perform(self, tool: str, arguments: ReleaseArguments) -> Put:
        """See Toolbox; what `action` built is what is released."""
        assert self._built is not None
        return put_in_force(self._targets(as_name(Path(arguments.repository).name)), self._built)


def service_resource(repository: str) -> str:
    """How policy names the service of a repository, such as `service:shop`."""
    return f"service:{as_name(Path(repository).name)}"

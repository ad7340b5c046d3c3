"""The local copies of the repositories that webhooks speak of: `OWNER/NAME.git` in one folder, made by the operator.

A repository without a mirror is refused: a webhook cannot make this machine fetch from anywhere. The head of a pull request
is fetched from the mirror's own `origin`, without hooks, submodules or tags, and only https is spoken by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenuto.errors import Busy

from ..git import Repository, RepositoryRefused, find_git, git_environment, inert_settings
from ..processes import ToolTimedOut, run_tool
from .payload import Asked
from .signature import WebhookRefused

FETCH_SECONDS_MAX = 120.0


class Mirrors:
    """The folder of mirrors. protocols: the transports that a fetch may use."""

    def __init__(self, folder: Path, *, protocols: Sequence[str] = ("https",)) -> None:
        """Nothing is read yet."""
        self._folder, self._protocols = folder, tuple(protocols)

    def bring(self, asked: Asked) -> Path:
        """Return the mirror, holding both commits. Raises WebhookRefused (404, 409), or Busy when the fetch did not end well."""
        path = self._folder / f"{asked.repository}.git"
        if not (path / "HEAD").is_file():
            raise WebhookRefused("There is no mirror of this repository here; the operator makes one with git clone --mirror.", 404)
        if self._lacks(path, asked):
            self._fetch(path, asked)
        if self._lacks(path, asked):
            raise WebhookRefused("The pull request has moved on: its head is not the commit that the webhook names.", 409)
        return path

    @staticmethod
    def _lacks(path: Path, asked: Asked) -> bool:
        git = Repository(path)
        try:
            return [git.resolve(asked.base), git.resolve(asked.head)] != [asked.base, asked.head]
        except RepositoryRefused:
            return True

    def _fetch(self, path: Path, asked: Asked) -> None:
        environment = git_environment() | {"GIT_ALLOW_PROTOCOL": ":".join(self._protocols)}
        command = [
            find_git(), "--no-pager", f"--git-dir={path.resolve()}", *inert_settings(), "fetch", "--quiet", "--no-tags",
            "--no-recurse-submodules", "--no-auto-maintenance", "origin",
            f"+refs/pull/{asked.number}/head:refs/pull/{asked.number}/head", asked.base,
        ]  # fmt: skip
        try:
            ended = run_tool(command, folder=path, seconds=FETCH_SECONDS_MAX, environment=environment)
        except ToolTimedOut as late:
            raise Busy(f"The mirror of {asked.repository} could not be brought up to date: {late}") from late
        if ended.code != 0:
            raise Busy(f"The mirror of {asked.repository} could not be brought up to date: {ended.complaint()}")

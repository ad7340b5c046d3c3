"""A diff becomes a commit: applied to the commit it was made from, in the operator's mirror of its repository.

Nothing is checked out and nothing of the diff is run: it is applied to an index in a folder of its own. The commit carries no
time and no text of anybody's, so that the same diff of the same request leads to the same commit, and its id says whether what
lies on the platform now is what was reviewed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenuto.errors import Busy

from ..git import Repository, RepositoryRefused, find_git, git_environment
from ..processes import Ended, ToolTimedOut, run_tool
from ..webhooks.calling import PlatformRefused
from .board import Request, Revision

GIT_SECONDS_MAX = 120.0
REFS = "refs/tenuto/review-board"
_MOMENT = "1970-01-01T00:00:00+0000"


class Mirrored:
    """The folder of mirrors, `NAME.git`, made by the operator with `git clone --mirror`."""

    def __init__(self, folder: Path, *, protocols: Sequence[str] = ("https",)) -> None:
        """protocols: the transports by which a mirror may be brought up to date. Nothing is read yet."""
        self._folder, self._protocols = folder, tuple(protocols)

    def bring(self, request: Request, revision: Revision) -> tuple[Path, str]:
        """Return the mirror and the full id of the commit that this diff is, made now unless it is there.

        Raises PlatformRefused for a repository without mirror, a base it does not have and a diff that does not fit there, Busy
        when git does not do its work now.
        """
        path = self._folder / f"{request.repository}.git"
        if not (path / "HEAD").is_file():
            raise PlatformRefused("There is no mirror of this repository here; the operator makes one with git clone --mirror.")
        if not _has(path, revision.base):
            self._fetch(path)
        if not _has(path, revision.base):
            raise PlatformRefused(f"The repository has no commit {revision.base}; push what the diff was made from.")
        with tempfile.TemporaryDirectory(prefix="tenuto-diff-") as scratch:
            return path, self._commit(path, request, revision, Path(scratch))

    def _commit(self, path: Path, request: Request, revision: Revision, scratch: Path) -> str:
        (scratch / "diff").write_bytes(revision.diff)
        who = {"NAME": request.submitter, "EMAIL": request.submitter, "DATE": _MOMENT}
        environment = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()}
        environment["GIT_INDEX_FILE"] = str(scratch / "index")
        _demand(_git(path, environment, "read-tree", revision.base), "the base cannot be read")
        applied = _git(path, environment, "apply", "--cached", "--whitespace=nowarn", "--", str(scratch / "diff"))
        if applied.code != 0:
            raise PlatformRefused("The diff does not fit the commit it says it was made from.")
        tree = _told(_git(path, environment, "write-tree"), "the tree cannot be written")
        message = f"Review request {request.number}"
        commit = _told(
            _git(path, environment, "commit-tree", "--no-gpg-sign", "-p", revision.base, "-m", message, tree),
            "the commit cannot be written",
        )  # fmt: skip
        _demand(_git(path, environment, "update-ref", f"{REFS}/{request.number}/{revision.number}", commit), "the ref cannot be written")
        return commit

    def _fetch(self, path: Path) -> None:
        environment = {"GIT_ALLOW_PROTOCOL": ":".join(self._protocols)}
        ended = _git(
            path, environment, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "origin",
            "+refs/heads/*:refs/heads/*",
        )  # fmt: skip
        if ended.code != 0:
            raise Busy(f"The mirror {path.name} could not be brought up to date: {ended.complaint()}")


def _has(path: Path, commit: str) -> bool:
    try:
        return Repository(path).resolve(commit) == commit
    except RepositoryRefused:
        return False


def _git(path: Path, environment: Mapping[str, str], *arguments: str) -> Ended:
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", "-c", "core.fsmonitor=false")
    command = [find_git(), f"--git-dir={path.resolve()}", *settings, *arguments]
    try:
        return run_tool(command, folder=path, seconds=GIT_SECONDS_MAX, environment={**git_environment(), **environment})
    except ToolTimedOut as late:
        raise Busy(f"The mirror {path.name} is slow: {late}") from late


def _demand(ended: Ended, trouble: str) -> None:
    if ended.code != 0:
        raise Busy(f"In the mirror {trouble}: {ended.complaint()}")


def _told(ended: Ended, trouble: str) -> str:
    _demand(ended, trouble)
    return ended.stdout.decode("ascii").strip()

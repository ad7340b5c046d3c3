"""The server `git`: one tool, `git.diff`, which reads a whole change out of a repository by its commit ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from tenuto.action import Action
from tenuto.toolcall import call_digest

from ..change import Change, ChangedFile, change_of, changed_lines, read_change
from ..git import GIT_SECONDS_MAX, Commit, RepositoryRefused
from ..sandbox import Box
from ..text import as_name, visible_line
from .contract import Tool

READ_TOOL = "git.diff"
CHANGE_BYTES_MAX = 16_000_000
_GIT_CALLS_MAX = 5
"""So many calls of git may each take their whole time before the reading of one change is given up on."""

RepositoryPath = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
CommitId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
TITLE_CHARACTERS_MAX = 200
Title = Annotated[str, msgspec.Meta(max_length=TITLE_CHARACTERS_MAX)]


class DiffArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which change: the repository's folder, the full ids of both commits, and the title that the request has."""

    repository: RepositoryPath
    base: CommitId
    head: CommitId
    title: Title = ""


class FileOfChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file; `path` is raw bytes, since a repository may hold any. Lines and text to show follow from the hunks."""

    path: bytes
    status: str
    regular: bool
    binary: bool
    hunks: str
    before: bytes | None
    after: bytes | None


class CommitOfChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One commit, as it describes itself."""

    id: str
    author: str
    email: str
    subject: str


class ChangeRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole change. All of it is a stranger's text."""

    repository: str
    title: str
    base: str
    head: str
    commits: tuple[CommitOfChange, ...]
    files: tuple[FileOfChange, ...]


DIFF: Tool[DiffArguments, ChangeRead] = Tool(
    READ_TOOL, "Reads the change between two commits of a git repository on this machine: commits, files, hunks, contents.",
    DiffArguments, ChangeRead, seconds=_GIT_CALLS_MAX * GIT_SECONDS_MAX, answer_bytes=CHANGE_BYTES_MAX,
)  # fmt: skip


class GitTools:
    """The toolbox. `box` is where git reads, if in any."""

    tools: Mapping[str, Tool[Any, Any]] = {DIFF.name: DIFF}

    def __init__(self, box: Box | None) -> None:
        """Nothing is read yet."""
        self._box = box

    def action(self, tool: str, arguments: DiffArguments) -> Action:
        """See Toolbox."""
        return diff_action(arguments)

    def close(self) -> None:
        """See Toolbox; nothing is held."""

    def perform(self, tool: str, arguments: DiffArguments) -> ChangeRead:
        """See Toolbox; raises RepositoryRefused, Breach."""
        change = read_whole(arguments, self._box)
        commits = tuple(CommitOfChange(one.id, one.author, one.email, one.subject) for one in change.commits)
        files = tuple(
            FileOfChange(os.fsencode(one.path), one.status, one.regular, one.binary, one.hunks, one.before, one.after)
            for one in change.files
        )
        return ChangeRead(change.repository, change.title, change.base, change.head, commits, files)


def diff_action(arguments: DiffArguments) -> Action:
    """Return what reading this change is; its digest binds every argument."""
    values = msgspec.to_builtins(arguments)
    resource = repository_resource(arguments.repository)
    return Action(tool=READ_TOOL, resource=resource, digest=call_digest(READ_TOOL, resource, values), arguments=values)


def read_whole(arguments: DiffArguments, box: Box | None) -> Change:
    """Read the change here; raises RepositoryRefused, also where the base is not where the head began."""
    change = read_change(Path(arguments.repository), arguments.base, arguments.head, title=arguments.title, box=box)
    return demand_whole(change, arguments)


def demand_whole(change: Change, arguments: DiffArguments) -> Change:
    """Return the change; raises RepositoryRefused unless it is the one that was asked for, from its very beginning."""
    if (change.base, change.head) != (arguments.base, arguments.head):
        raise RepositoryRefused(f"The request is not for a whole change: {arguments.base} is not where {arguments.head} began.")
    return change


def change_from(read: ChangeRead) -> Change:
    """Return the change that a server read; what is for showing is made anew here, from the rest."""
    commits = tuple(Commit(one.id, one.author, one.email, one.subject) for one in read.commits)
    files = tuple(_file(one) for one in read.files)
    return change_of(read.repository, visible_line(read.title), (read.base, read.head), commits, files)


def _file(one: FileOfChange) -> ChangedFile:
    path = os.fsdecode(one.path)
    return ChangedFile(
        path=path, shown=visible_line(path), status=one.status, regular=one.regular, binary=one.binary, hunks=one.hunks,
        lines=changed_lines(one.hunks), before=one.before, after=one.after,
    )  # fmt: skip


def repository_resource(repository: str) -> str:
    """How policy names a repository, such as `repo:shop`."""
    return f"repo:{as_name(Path(repository).name)}"

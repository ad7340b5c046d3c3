"""A pull request, read from git: two full commit ids, and everything that lies between them.

The ids are resolved once, when the pull request is submitted. Every later station reads by these ids, so a branch that
moves after the review changes nothing. The limits are refusals and not cuts: a reviewer who is shown a part of a diff
approves what he has not seen.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tenuto.documents import PullRequest

from .git import Commit, Repository, RepositoryRefused, Touched
from .sandbox import Box
from .text import as_name, visible, visible_line

FILES_MAX = 200
COMMITS_MAX = 200
DIFF_BYTES_MAX = 150_000  # the diff travels in a payload beside the prompt made from it; together they stay under 1 MiB
SOURCE_BYTES_MAX = 2_000_000
_SNIFF_BYTES = 8_000
_ADDRESS = re.compile(r"[a-z0-9][a-z0-9._+-]{0,60}@[a-z0-9.-]{1,60}")
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of the change. `hunks` is its unified diff without header; `path` may hold any byte, `shown` may not.

    lines: numbers (from 1) of the lines at head that are new or changed. before, after: contents, None where the side is
    missing or is no plain file. binary: one side holds a NUL byte early; then there are no hunks.
    """

    path: str
    shown: str
    status: str
    regular: bool
    binary: bool
    hunks: str
    lines: frozenset[int]
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Change:
    """A whole pull request. `diff` is for showing: every hidden character in it is visible."""

    repository: str
    title: str
    base: str
    head: str
    commits: tuple[Commit, ...]
    files: tuple[ChangedFile, ...]
    diff: str

    @property
    def digest(self) -> str:
        """What a review judges, as 64 hex digits; see `change_digest`."""
        return change_digest(self.base, self.head)

    def touches(self, folder: str) -> bool:
        """Whether any file under `folder` differs."""
        return any(file.path.startswith(folder + "/") for file in self.files)

    def document(self) -> PullRequest:
        """Return the change as a payload; author and messages in it are what the commits claim."""
        newest = self.commits[0]
        return PullRequest(
            repository=self.repository, title=self.title, author=visible_line(f"{newest.author} <{newest.email}>"),
            base=self.base, head=self.head, files=tuple(file.shown for file in self.files),
            commits=tuple(f"{commit.id[:12]} {visible_line(commit.subject)}" for commit in self.commits),
        )  # fmt: skip


def change_digest(base: str, head: str) -> str:
    """Name a change: SHA-256 over both full commit ids, so an approval of a part of a history is not one of the whole."""
    return hashlib.sha256(f"tenuto change v1\n{base}\n{head}\n".encode()).hexdigest()


def initiator(change: Change) -> str:
    """Name the person behind the change by the address in the newest commit; who starts a change may not approve it.

    What a commit says about its author is a claim; it can add an exclusion but never lift one.
    """
    return person_behind(change.commits[0])


def person_behind(commit: Commit) -> str:
    """Name the person whom a commit claims as its author."""
    address = commit.email.lower()
    return address if _ADDRESS.fullmatch(address) else as_name(commit.email or commit.author)


def read_change(repository: Path, base: str, head: str, *, title: str = "", box: Box | None = None) -> Change:
    """Read the change from `base` to `head` (any revisions; what counts is where their histories parted), in `box` if given.

    Raises RepositoryRefused, naming the input and the remedy: no repository, unknown revision, nothing changed, over
    FILES_MAX (200) files, COMMITS_MAX (200) commits or DIFF_BYTES_MAX (150 kB) of diff.
    """
    git = Repository(repository, box=box)
    head_id = git.resolve(head)
    base_id = git.merge_base(git.resolve(base), head_id)
    if base_id == head_id:
        raise RepositoryRefused(f"There is no change: {head} holds nothing that {base} does not. Is the order right?")
    touched = git.touched(base_id, head_id)
    commits = git.commits(base_id, head_id, COMMITS_MAX + 1)
    _demand_in_limits(touched, commits)
    files = tuple(_read_file(git, base_id, head_id, one) for one in touched)
    shown_title = visible_line(title or commits[0].subject)[:200]
    return change_of(str(repository.resolve()), shown_title, (base_id, head_id), commits, files)


def change_of(
    repository: str, title: str, ends: tuple[str, str], commits: tuple[Commit, ...], files: tuple[ChangedFile, ...]
) -> Change:
    """Return the change between `ends`, base and head, with the diff to show made of its files; raises RepositoryRefused."""
    diff = _demand_showable("".join(_section(file) for file in files))
    return Change(repository, title, *ends, commits, files, diff)


def _demand_in_limits(touched: tuple[Touched, ...], commits: tuple[Commit, ...]) -> None:
    if not touched:
        raise RepositoryRefused("There is no change: the commits differ, their files do not.")
    for what, count, limit in (("files", len(touched), FILES_MAX), ("commits", len(commits), COMMITS_MAX)):
        if count > limit:
            raise RepositoryRefused(f"The change has more than {limit} {what}. Nobody reviews that; split it.")


def _demand_showable(diff: str) -> str:
    size = len(diff.encode())
    if size > DIFF_BYTES_MAX:
        raise RepositoryRefused(f"The diff has {size:,} bytes; at most {DIFF_BYTES_MAX:,} are reviewed at once. Split it.")
    return diff


def _read_file(git: Repository, base: str, head: str, touched: Touched) -> ChangedFile:
    regular = all(side is None or side.regular for side in (touched.before, touched.after))
    before = git.content(touched.before.blob) if touched.before and touched.before.regular else None
    after = git.content(touched.after.blob) if touched.after and touched.after.regular else None
    for content in (before, after):
        if content is not None and len(content) > SOURCE_BYTES_MAX:
            shown = visible_line(touched.path)
            raise RepositoryRefused(f"{shown} has {len(content):,} bytes; at most {SOURCE_BYTES_MAX:,} are reviewed.")
    binary = any(content is not None and b"\0" in content[:_SNIFF_BYTES] for content in (before, after))
    hunks = "" if binary else git.diff(base, head, touched.path)
    return ChangedFile(
        path=touched.path, shown=visible_line(touched.path), status=touched.status, regular=regular, binary=binary,
        hunks=hunks, lines=changed_lines(hunks), before=before, after=after,
    )  # fmt: skip


def changed_lines(hunks: str) -> frozenset[int]:
    """Return the line numbers at head that a unified diff adds or changes."""
    found, at = set(), 0
    for line in hunks.split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            at = int(hunk[3])
        elif line.startswith("+"):
            found.add(at)
            at += 1
        elif line.startswith(" "):
            at += 1
    return frozenset(found)


def _section(file: ChangedFile) -> str:
    old = "/dev/null" if file.status == "A" else f"a/{file.shown}"
    new = "/dev/null" if file.status == "D" else f"b/{file.shown}"
    head = f"--- {old}\n+++ {new}\n"
    if file.binary:
        digest = hashlib.sha256(file.after or b"").hexdigest()
        return f"{head}Binary file, {len(file.after or b''):,} bytes at head, SHA-256 {digest}\n"
    if not file.regular:
        head += "Not a plain file: a symbolic link or a submodule; it is not followed\n"
    return head + visible(file.hunks) + ("" if file.hunks.endswith("\n") or not file.hunks else "\n")

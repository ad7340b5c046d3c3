"""A unified diff, parsed strictly: files, hunks, lines. What does not fit the format is refused, never guessed.

A reviewer's coverage is counted by what is parsed here, so a line may not be attributed to a place where it would not be
read. Only two forms are known: a file begins with `diff --git`, or with `--- ` and `+++ ` lines; a hunk has exactly as
many lines as its head says. Between two hunks only notes of the tool may stand, and they belong to the file before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import Refused

_HUNK = re.compile(r"^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_GIT = re.compile(r"^diff --git a/(.+) b/(.+)$")
_NOTE = re.compile(
    r"^(index [0-9a-f]+\.\.[0-9a-f]+( [0-7]{6})?|(old|new) mode [0-7]{6}|(new|deleted) file mode [0-7]{6}"
    r"|(dis)?similarity index \d+%|(rename|copy) (from|to) .+|Binary files?[ ,].+|Not a plain file: .+)$"
)
_NO_NEWLINE = "\\ No newline at end of file"
_ODD = re.compile(r"^(Binary|Not a plain file|old mode|new mode|new file mode (100755|120000|160000))")


class DiffRefused(Refused):
    """The text is not a unified diff; the sentence names the line."""

    reason = "not_reviewable"


@dataclass
class DiffFile:
    """One file. heading: its lines before the first hunk. hunks: each with its head, as they stand in the text."""

    path: str
    heading: list[str] = field(default_factory=list)
    hunks: list[list[str]] = field(default_factory=list)

    @property
    def odd(self) -> bool:
        """Whether it is more than text that changes: binary, a link, executable, another mode."""
        return any(_ODD.match(line) for line in self.heading)

    def parts(self, lines: int) -> Iterator[tuple[str, ...]]:
        """Yield the file's lines in parts of whole hunks; a part ends where the next hunk would exceed `lines`."""
        part = list(self.heading)
        filled = False
        for hunk in self.hunks:
            if filled and len(part) + len(hunk) > lines:
                yield tuple(part)
                part = []
            part += hunk
            filled = True
        yield tuple(part)


def parse_diff(text: str) -> list[DiffFile]:
    """Return the files of a unified diff; raises DiffRefused naming the first line that has no place in one."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    files: list[DiffFile] = []
    at = 0
    while at < len(lines):
        at = _take(lines, at, files)
    return files


def _take(lines: list[str], at: int, files: list[DiffFile]) -> int:
    """Take what begins at `at` and return where the next thing begins."""
    line = lines[at]
    git = _GIT.match(line)
    if git is not None:
        files.append(DiffFile(git[2], [line]))
        return at + 1
    if line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
        return _take_names(lines, at, files)
    if not files:
        raise DiffRefused(f"Line {at + 1} of the diff belongs to no file.")
    hunk = _HUNK.match(line)
    if hunk is not None:
        end = _end_of_hunk(lines, at, int(hunk[2] or 1), int(hunk[4] or 1))
        files[-1].hunks.append(lines[at:end])
        return end
    if _NOTE.match(line) and not files[-1].hunks:
        files[-1].heading.append(line)
        return at + 1
    raise DiffRefused(f"Line {at + 1} of the diff has no place in a unified diff.")


def _take_names(lines: list[str], at: int, files: list[DiffFile]) -> int:
    old, new = (line[4:].split("\t", 1)[0] for line in lines[at : at + 2])
    path = _stripped(old if new == "/dev/null" else new)
    begun = files and not files[-1].hunks and files[-1].heading and files[-1].heading[0].startswith("diff --git ")
    if begun and not any(line.startswith("--- ") for line in files[-1].heading):
        files[-1].heading += lines[at : at + 2]
        files[-1].path = path
    else:
        files.append(DiffFile(path, lines[at : at + 2]))
    return at + 2


def _end_of_hunk(lines: list[str], start: int, old: int, new: int) -> int:
    at = start + 1
    while old > 0 or new > 0:
        sign = lines[at][:1] if at < len(lines) else ""
        if sign == "\\":
            _demand_no_newline(lines, at)
        elif sign == "+" and new > 0:
            new -= 1
        elif sign == "-" and old > 0:
            old -= 1
        elif at < len(lines) and sign in (" ", "") and old > 0 and new > 0:
            old, new = old - 1, new - 1
        else:
            raise DiffRefused(f"The hunk at line {start + 1} of the diff has other lines than its head says.")
        at += 1
    if at < len(lines) and lines[at].startswith("\\"):
        _demand_no_newline(lines, at)
        at += 1
    return at


def _demand_no_newline(lines: list[str], at: int) -> None:
    if lines[at] != _NO_NEWLINE:
        raise DiffRefused(f"Line {at + 1} of the diff is a note that no diff has.")


def _stripped(path: str) -> str:
    return path[2:] if path[:2] in ("a/", "b/") else path

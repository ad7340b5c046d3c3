"""A unified diff, cut into files and numbered lines. The text is a stranger's: it is cut, counted and shown, never parsed.

A line that fits no place in the format is still shown, as it stands. So a diff that was made to confuse a parser costs the
reviewer some line numbers, but hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import streamlit as st

from .sheet import ASSETS, visible

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_INDEX = re.compile(r"^index [0-9a-f]+\.\.[0-9a-f]+( [0-7]{6})?$")
_START = "diff --git "
UNNAMED = "(no file named)"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: sign `+`, `-`, space, `@` (hunk) or backslash (note), its numbers on both sides, and its text."""

    sign: str
    before: int | None
    after: int | None
    text: str


@dataclass(slots=True)
class FileDiff:
    """The changes of one file."""

    path: str
    lines: list[Line] = field(default_factory=list)

    @property
    def added(self) -> int:
        """How many lines are new."""
        return sum(line.sign == "+" for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines go."""
        return sum(line.sign == "-" for line in self.lines)


@dataclass(slots=True)
class _Place:
    """Where the cutter stands: the next numbers, and how many lines of the present hunk are still to come."""

    before: int = 0
    after: int = 0
    left_before: int = 0
    left_after: int = 0

    @property
    def inside(self) -> bool:
        return self.left_before > 0 or self.left_after > 0

    def enter(self, before: int, before_count: int, after: int, after_count: int) -> None:
        self.before, self.left_before, self.after, self.left_after = before, before_count, after, after_count

    def take(self, sign: str, text: str) -> Line:
        old = self.before if sign != "+" else None
        new = self.after if sign != "-" else None
        if old is not None:
            self.before, self.left_before = self.before + 1, self.left_before - 1
        if new is not None:
            self.after, self.left_after = self.after + 1, self.left_after - 1
        return Line(sign, old, new, text)


def cut(diff: str) -> list[FileDiff]:
    """Cut a unified diff into its files. Every line of the input is in the result or in a path of it."""
    files: list[FileDiff] = []
    place = _Place()
    for text in diff.split("\n") if diff else ():
        if not place.inside and _begins_file(text, files):
            files.append(FileDiff(_git_path(text) if text.startswith(_START) else UNNAMED))
        if not files:
            files.append(FileDiff(UNNAMED))
        files[-1].lines.extend(_line(text, place, files[-1]))
    return [file for file in files if file.lines or file.path != UNNAMED]


def show_diff(diff: str, *, key: str) -> None:
    """Draw the diff, file by file."""
    files = [
        {
            "path": visible(file.path), "added": file.added, "removed": file.removed,
            "odd": any(visible(line.text) != line.text for line in file.lines) or visible(file.path) != file.path,
            "lines": [(line.sign, line.before, line.after, visible(line.text)) for line in file.lines],
        }
        for file in cut(diff)
    ]  # fmt: skip
    _DIFF(key=key, data={"files": files})


def _begins_file(text: str, files: list[FileDiff]) -> bool:
    if text.startswith(_START):
        return True
    return text.startswith("--- ") and (not files or any(line.sign == "@" for line in files[-1].lines))


def _line(text: str, place: _Place, file: FileDiff) -> Iterator[Line]:
    if place.inside:
        sign = text[:1] or " "
        if sign in "+- ":
            yield place.take(sign, text[1:])
            return
        if sign != "\\":
            place.enter(place.before, 0, place.after, 0)  # the hunk ends before its count says so
    hunk = _HUNK.match(text)
    if hunk is not None:
        before, before_count, after, after_count = hunk.groups()
        place.enter(int(before), int(before_count or 1), int(after), int(after_count or 1))
        yield Line("@", None, None, text)
    elif text.startswith(("--- ", "+++ ")):
        path = text[4:].split("\t", 1)[0]
        if path != "/dev/null" and file.path in (UNNAMED, path[2:]):
            file.path = path[2:] if path[:2] in ("a/", "b/") else path
        else:
            yield Line("\\", None, None, text)
    elif text and not text.startswith(_START) and not _INDEX.match(text):
        yield Line("\\", None, None, text)


def _git_path(text: str) -> str:
    """`diff --git a/x b/x`; a rename, whose sides differ, is shown as it stands."""
    sides = text.removeprefix(_START)
    half = len(sides) // 2
    before, after = sides[:half], sides[half + 1 :]
    return after[2:] if before[2:] == after[2:] and before[:2] == "a/" else sides


_DIFF = st.components.v2.component(
    "tenuto.diff",
    css=(ASSETS / "base.css").read_text("utf-8") + (ASSETS / "diff.css").read_text("utf-8"),
    js=(ASSETS / "diff.js").read_text("utf-8"),
)

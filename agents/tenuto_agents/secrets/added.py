"""Secrets that a pull request brings in, as findings of its review (M10): by kind and fingerprint, never by themselves.

Only what is added counts: whoever takes a secret out of a file is doing the right thing. What an earlier commit of the same
change brought in and a later one took out again is found by the hook of the git server, which reads every commit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from tenuto.documents import Finding

from ..change import Change, ChangedFile
from ..text import visible_line
from .scanning import Hit

TOOL = "secrets"
MESSAGES = "(commit messages)"
Find = Callable[[bytes], Sequence[Hit]]
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def secrets_added(change: Change, find: Find) -> tuple[Finding, ...]:
    """Return a finding of high severity for each secret that the change adds, in a file or in a commit's message, by place."""
    found = [finding for file in change.files for finding in _in_file(file, find)]
    messages = "\n".join((change.title, *(commit.subject for commit in change.commits)))
    found += [_finding(MESSAGES, 0, hit) for hit in find(messages.encode("utf-8", errors="replace"))]
    return tuple(dict.fromkeys(found))


def _in_file(file: ChangedFile, find: Find) -> Iterator[Finding]:
    if file.binary:
        before = {hit.fingerprint for hit in find(file.before or b"")}
        yield from (_finding(file.shown, 0, hit) for hit in find(file.after or b"") if hit.fingerprint not in before)
        return
    text, starts, numbers = _added(file.hunks)
    for hit in find(text):
        yield _finding(file.shown, numbers[bisect_right(starts, hit.start) - 1], hit)


def _added(hunks: str) -> tuple[bytes, list[int], list[int]]:
    """The lines that a diff adds, one after the other: the whole text, where each begins in it, and its number in the file."""
    text, starts, numbers, at = bytearray(), list[int](), list[int](), 0
    for line in hunks.split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            at = int(hunk[1])
        elif line.startswith("+"):
            starts.append(len(text))
            numbers.append(at)
            text += line[1:].encode("utf-8", errors="replace") + b"\n"
            at += 1
        elif line.startswith(" "):
            at += 1
    return bytes(text), starts, numbers


def _finding(file: str, line: int, hit: Hit) -> Finding:
    kind = visible_line(hit.kind)
    message = f"A secret ({kind}, fingerprint {hit.fingerprint[:16]}) is added. Take it out of every commit, and rotate it: it is known now."
    return Finding(tool=TOOL, rule=f"secret.{kind}", severity="high", file=file, line=line, message=message)

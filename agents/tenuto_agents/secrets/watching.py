"""Reading what has been written already: log streams, commits and the ledger's own payloads (M10).

A log file is read from where the last look ended, whole lines only, so a secret is not cut in two. A commit is judged by the
lines it adds, before the server takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenuto.events import RecordPurged, SecretLeaked
from tenuto.verified import Verified

from ..git import FULL_ID, Repository
from ..text import as_name, visible_line
from .outgoing import Leak
from .response import LeakResponse
from .scanning import Hit, SecretScanner

LINE_BYTES_MAX = 1024 * 1024
PLACE_CHARACTERS_MAX = 64


@dataclass
class LogStreams:
    """The log files of a folder, followed; files that come later are read from their beginning."""

    folder: Path
    pattern: str = "*.log"
    _read_to: dict[Path, int] = field(default_factory=dict)

    def new_lines(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name of the file and what was added to it since the last call, in whole lines."""
        for file in sorted(self.folder.glob(self.pattern)):
            start = self._read_to.get(file, 0)
            if file.stat().st_size < start:
                start = 0  # it was begun anew
            with file.open("rb") as stream:
                stream.seek(start)
                while lines := stream.read(LINE_BYTES_MAX):
                    end = lines.rfind(b"\n") + 1 or (len(lines) if len(lines) == LINE_BYTES_MAX else 0)
                    if end == 0:
                        break
                    start += end
                    stream.seek(start)
                    yield file.name, lines[:end]
            self._read_to[file] = start


class SecretWatch:
    """Looks into streams and into the ledger, and answers each secret once for each place."""

    def __init__(self, scanner: SecretScanner, response: LeakResponse, author: str) -> None:
        """`author` is whose own events are not looked into."""
        self._scanner, self._response, self._author = scanner, response, author
        self._answered: set[tuple[str, str]] = set()
        self._held: dict[int, tuple[str, Verified]] = {}

    def look_at_lines(self, name: str, lines: bytes) -> None:
        """Answer what is found in lines of the log file `name`."""
        for hit in self._scanner.find(lines):
            self._answer(hit, f"log:{as_name(name)}"[:PLACE_CHARACTERS_MAX], None)

    def look_at_event(self, verified: Verified) -> None:
        """Answer what is found in an event's payload, and note which such payloads are gone by now."""
        event = verified.event
        if isinstance(event, RecordPurged):
            for position in event.positions:
                if position in self._held:
                    fingerprint, target = self._held.pop(position)
                    self._response.purged(fingerprint, target.event.id, event)
        if isinstance(event, SecretLeaked) and event.author == self._author:
            self._answered.add((event.fingerprint, event.place))
        if verified.payload is None or event.author == self._author:
            return
        for hit in self._scanner.find(verified.payload):
            self._held[verified.position] = (hit.fingerprint, verified)
            self._answer(hit, f"ledger:{verified.position}", verified)

    def _answer(self, hit: Hit, place: str, verified: Verified | None) -> None:
        if (hit.fingerprint, place) not in self._answered:
            self._answered.add((hit.fingerprint, place))
            run, position = (None, None) if verified is None else (verified.event.run, verified.position)
            self._response.leaked(Leak(hit.kind, hit.fingerprint, place, run), position=position)


def secrets_of_push(git: Repository, updates: Sequence[str], scanner: SecretScanner) -> Iterator[tuple[str, Hit]]:
    """Yield ref and hit for every secret that a push would bring in, in any commit of it and in any message.

    `updates` are the lines that git gives a pre-receive hook: old id, new id, name of the ref. Raises RepositoryRefused, and
    ToolOutputTooLarge for a push that is too large to be read.
    """
    for line in updates:
        _, new, ref = line.rstrip("\n").split(" ", 2)
        if FULL_ID.fullmatch(new) and set(new) != {"0"}:
            for hit in scanner.find(git.brought_in(new)):
                yield visible_line(ref), hit

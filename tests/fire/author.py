"""An author under fire: a process that records as fast as it is told, and notes durably what it was told about it.

    python -m tests.fire.author NAME PEER JOURNAL PAUSE_SECONDS

Its journal is the test's own memory, apart from everything that is under fire, one JSON object a line:

    {"took": ID, "session": ID, "seq": N, "state": SHA-256}    the recorder returned: this event is on record, it said
    {"receipt": ID, "position": N}                             the recorder said: the ledger has it, there
    {"message": ID}                                            a message of the peer arrived, whole

While the file `quiet` lies in the home, it takes receipts and messages and says nothing new; SIGTERM ends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from tenuto import header as headers
from tenuto.adapters import keyfiles
from tenuto.documents import PullRequest, Reason
from tenuto.errors import Busy
from tenuto.events import DecisionMade, Event, RunFinished, RunStarted
from tenuto.mailbox import Receipt
from tenuto.recorder import Recorder
from tenuto.settings import load_settings
from tenuto.signing import sign_header
from tenuto.wiring import open_recorder

BURST = 6
QUIET = "quiet"


class Journal:
    """Lines that are on the disk when `note` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *said: dict[str, Any]) -> None:
        if said:
            os.write(self._file, "".join(json.dumps(one) + "\n" for one in said).encode())
            os.fsync(self._file)


class Noted:
    """What stands in a journal, read on from where it was read to before."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_to = path, 0
        self._lines: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        """Everything that was noted; a line that a kill cut short was never told to anybody, so it says nothing."""
        if self._path.exists():
            with self._path.open("rb") as stream:
                stream.seek(self._read_to)
                whole, newline, _ = stream.read().rpartition(b"\n")
            self._read_to += len(whole) + len(newline)
            for line in whole.splitlines():
                with suppress(json.JSONDecodeError):
                    self._lines.append(json.loads(line))
        return self._lines


class Author:
    """The recorder of one life, and what it does over and over."""

    def __init__(self, name: str, peer: str, journal: Path) -> None:
        self.settings = load_settings()
        self.signer = keyfiles.load_signer(self.settings.keys, name)
        self.recorder: Recorder = open_recorder(self.settings, name, software="fire/1")
        self.peer = peer
        before = Noted(journal).lines()
        told = {one["receipt"] for one in before if "receipt" in one}
        self.owed = {UUID(one["took"]) for one in before if "took" in one and one["took"] not in told}
        self.journal = Journal(journal)
        self.script = self.events()

    def events(self) -> Iterator[Event]:
        """An endless piece of work: runs with a description, verdicts, and now and then a message to the peer."""
        for number in count():
            run = f"run-{self.recorder.author}-{os.getpid()}-{number}"
            if self.recorder.author == "pipeline":
                about = PullRequest(repository="r", title="t", author="a", base="main", head="fix", description="d" * 200)
                yield self.recorder.record(RunStarted, document=about, run=run, workflow="code-review")
                yield self.recorder.send(self.peer, "fire.note", Reason(text="look at it"), run=run)
                yield self.recorder.record(RunFinished, run=run, outcome="succeeded")
            else:
                about = {"subject": "commit", "subject_digest": "0" * 64, "verdict": "comment", "model": "m"}
                yield self.recorder.record(DecisionMade, document=Reason(text="r" * 100), run=run, findings=number, **about)
                if number % 3 == 0:
                    yield self.recorder.send(self.peer, "fire.note", Reason(text="done"), run=run)

    def work(self) -> None:
        """Record a burst and note it."""
        took = []
        for _ in range(BURST):
            event = next(self.script)
            header = headers.encode(event)
            state = hashlib.sha256(header + sign_header(self.signer, header)).hexdigest()
            took.append({"took": str(event.id), "session": str(event.session), "seq": event.seq, "state": state})
            self.owed.add(event.id)
        self.journal.note(*took)

    def hear(self) -> None:
        """Note the receipts and messages that came."""
        assert self.recorder.mailbox is not None
        verdicts = {event: self.recorder.mailbox.verdict(event) for event in self.owed}
        heard = {event: verdict for event, verdict in verdicts.items() if isinstance(verdict, Receipt)}
        self.journal.note(*({"receipt": str(event), "position": one.position} for event, one in heard.items()))
        self.owed -= heard.keys()
        with suppress(Busy):
            while (delivered := self.recorder.mailbox.next_message(0)) is not None:
                assert delivered.payload is not None
                self.journal.note({"message": str(delivered.event.id)})
                self.recorder.mailbox.done(delivered)


def main() -> None:
    name, peer, journal, pause = sys.argv[1:5]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    author = Author(name, peer, Path(journal))
    quiet = author.settings.home / QUIET
    print("it records", flush=True)
    with author.recorder:
        while not stop.is_set():
            if not quiet.exists():
                author.work()
            author.hear()
            stop.wait(float(pause))


if __name__ == "__main__":
    main()

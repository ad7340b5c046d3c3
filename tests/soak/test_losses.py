"""Spools that are deleted and processes that are killed, on real parts: what the ledger knows of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles
from tenuto.events import DecisionMade, RecordSpooled, RecordUnaccounted, SessionOpened
from tenuto.registering import Enrolment

from tests.conftest import Database
from tests.road import Road, until

AUTHOR = "code-review"
VICTIM = """
import sys
from tenuto.settings import load_settings
from tenuto.wiring import open_recorder

recorder = open_recorder(load_settings(), "code-review", software="victim/1")
print("open", flush=True)
for line in sys.stdin:
    for _ in range(3):
        recorder.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
    if line.strip() == "settle":
        recorder.flush(60)
    print("done", flush=True)
"""


@pytest.fixture
def road(tmp_path: Path, database: Database) -> Iterator[Road]:
    with Road(tmp_path, database) as road:
        with road.working():
            road.register(Enrolment(AUTHOR, "agent", "ada"))
        yield road


class Victim:
    """The author's process."""

    def __init__(self, road: Road) -> None:
        settings = road.settings
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TENUTO_", "KAFKA_"))}
        own |= {"TENUTO_HOME": str(settings.home), "TENUTO_DATABASE_URL": settings.database_url or ""}
        own |= {"KAFKA_BOOTSTRAP_SERVERS": settings.kafka or ""}
        self.process = subprocess.Popen(
            [sys.executable, "-c", VICTIM], env=own, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.heard("open")

    def heard(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def told(self, word: str) -> None:
        """Have it record three decisions; with `settle` it waits for their receipts."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self.heard("done")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def victim(road: Road) -> Iterator[Victim]:
    process = Victim(road)
    try:
        yield process
    finally:
        process.kill()


def spool_files(road: Road) -> list[Path]:
    return sorted(road.settings.spool.glob(f"{keyfiles.spool_file(AUTHOR)}*"))


def decisions(road: Road) -> int:
    return len(road.events(AUTHOR, DecisionMade))


def test_a_spool_deleted_after_its_owner_was_killed_is_told_by_the_next_life(road: Road) -> None:
    with road.working():
        with victim(road) as process:
            process.told("settle")
        (opened,) = road.events(AUTHOR, SessionOpened)
        for file in spool_files(road):
            file.unlink()
        with road.recorder(AUTHOR):
            (told, *others) = until(lambda: road.events(AUTHOR, RecordUnaccounted) or None)
    assert isinstance(told, RecordUnaccounted)
    assert (told.lost_session, told.last_seq, others) == (opened.session, 3, [])


def test_a_spool_deleted_under_a_running_process_that_is_killed_then_loses_nothing(road: Road) -> None:
    with road.standing_still(), victim(road) as process:
        process.told("go on")
        for file in spool_files(road):
            file.unlink()
        road.lose_the_broker()
        process.told("go on")
        assert spool_files(road), "it is put back by the next event"
    road.bring_the_broker_back()
    with road.working(), road.recorder(AUTHOR):
        until(lambda: decisions(road) == 6 or None)
    assert decisions(road) == 6
    assert road.events(AUTHOR, RecordUnaccounted) == []


def test_a_broker_that_was_away_is_told_by_who_had_to_wait_for_it(road: Road) -> None:
    with road.working(), road.recorder(AUTHOR) as recorder:
        recorder.accounts.overdue_seconds = 2.0
        recorder.flush(60)
        with road.standing_still():
            road.lose_the_broker()
            for _ in range(5):
                recorder.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
            until(lambda: recorder.lag().oldest_seconds > 4 or None)
            road.bring_the_broker_back()
        (told, *_) = until(lambda: road.events(AUTHOR, RecordSpooled) or None)
    assert isinstance(told, RecordSpooled)
    assert told.events >= 5
    assert (told.until - told.since).total_seconds() >= 4
    assert told.why == "bus_away"

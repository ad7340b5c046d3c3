"""What an author's door says about itself: times of spooling, and sessions whose end went with a spool."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from tenuto import accounting
from tenuto import drain as drain_module
from tenuto import recorder as recorder_module
from tenuto.accounting import Accounts
from tenuto.drain import Drain
from tenuto.errors import NotConfigured
from tenuto.events import MessageSent, RecordSpooled, RecordUnaccounted, SessionClosed, SessionOpened
from tenuto.recorder import Recorder
from tenuto.salvage import losses_told, open_spool
from tenuto.spool import Spool
from tenuto.spoolfile import write_again

from tests.unit.door.mini_ledger import Road
from tests.unit.door.test_salvage import outgoing, tear


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "LOOK_SECONDS", 0.0)
    for module in (recorder_module, drain_module):  # a life ends when its threads have come round
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)


def kill(recorder: Recorder) -> None:
    """End a life as `kill -9` does: nothing is closed, said or flushed; only what the system does is done."""
    recorder._closed = True
    recorder._drain.stop()
    for thread in recorder._threads:
        thread.join()
    assert recorder.mailbox is not None
    recorder.mailbox.close()
    recorder._spool.close()


def session_of(road: Road, author: str = "alice") -> UUID:
    return UUID(str(road.events(author)[-1].session))


def unaccounted(road: Road, author: str = "alice") -> list[tuple[UUID, int]]:
    found = [event for event in road.events(author) if isinstance(event, RecordUnaccounted)]
    return [(event.lost_session, event.last_seq) for event in found]


def killed_life(road: Road, folder: Path, messages: int = 2) -> UUID:
    """A life that sent something, has every receipt, and was killed. Returns its session."""
    with road.carrying():
        recorder = road.recorder("alice", Spool(folder / "alice.db"))
        recorder.open("test/1")
        for number in range(messages):
            recorder.record(MessageSent, to="bob", topic=f"m{number}")
        recorder.flush(60)
        kill(recorder)
    return session_of(road)


def next_life(road: Road, folder: Path) -> None:
    with road.at_work(folder) as recorder:
        recorder.flush(60)
        seen = recorder.wait(recorder.record(MessageSent, to="bob", topic="after"), 20)
        assert seen.position > 0
        recorder.flush(60)


def test_a_spool_deleted_between_two_lives_puts_the_session_without_an_end_on_record(road: Road, tmp_path: Path) -> None:
    session = killed_life(road, tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    next_life(road, tmp_path)
    assert unaccounted(road) == [(session, 2)]
    (told,) = [event for event in road.events("alice") if isinstance(event, RecordUnaccounted)]
    (opened,) = [event for event in road.events("alice") if event.id == told.cause[0]]
    assert isinstance(opened, SessionOpened)
    assert opened.session == told.session != session


def test_it_is_told_once_and_not_by_every_life_that_follows(road: Road, tmp_path: Path) -> None:
    session = killed_life(road, tmp_path)
    shutil.rmtree(tmp_path)
    next_life(road, tmp_path)
    next_life(road, tmp_path)
    shutil.rmtree(tmp_path)
    next_life(road, tmp_path)
    assert unaccounted(road) == [(session, 2)]


def test_a_life_that_is_killed_before_it_told_leaves_it_to_the_next(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = killed_life(road, tmp_path)
    shutil.rmtree(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Accounts, "look", lambda accounts: None)
        killed_life(road, tmp_path, messages=0)
    next_life(road, tmp_path)
    assert unaccounted(road) == [(session, 2)]


def test_a_life_that_was_killed_and_kept_its_spool_is_accounted_for(road: Road, tmp_path: Path) -> None:
    killed_life(road, tmp_path)
    next_life(road, tmp_path)
    assert unaccounted(road) == []


def test_a_session_that_was_closed_is_accounted_for_without_its_spool(road: Road, tmp_path: Path) -> None:
    next_life(road, tmp_path)
    shutil.rmtree(tmp_path)
    next_life(road, tmp_path)
    assert unaccounted(road) == []


def test_a_damaged_spool_tells_its_loss_exactly_and_not_a_second_time(road: Road, tmp_path: Path) -> None:
    session, path = killed_life(road, tmp_path), tmp_path / "alice.db"
    spool = Spool(path)
    spool.append(outgoing(3, session))
    spool.close()
    tear(path, "outbox_sha256")
    spool, losses = open_spool(path)
    with road.carrying():
        recorder = road.recorder("alice", spool)
        recorder.open("test/1", losses)
        losses_told(path)
        recorder.flush(60)
        recorder.wait(recorder.record(MessageSent, to="bob", topic="after"), 20)
        recorder.close()
    assert road.kinds("alice").count("record.lost") == 1
    assert unaccounted(road) == []


def test_of_many_sessions_without_an_end_the_newest_are_told(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accounting, "UNACCOUNTED_MAX", 2)
    sessions = []
    with monkeypatch.context() as patched:  # else each life would tell of the one before
        patched.setattr(Accounts, "look", lambda accounts: None)
        for _ in range(4):
            sessions.append(killed_life(road, tmp_path, messages=0))
            shutil.rmtree(tmp_path)
    next_life(road, tmp_path)
    assert unaccounted(road) == [(sessions[3], 0), (sessions[2], 0)]
    assert caplog.text.count("no more of them are told") == 2


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_spool_deleted_under_its_owner_is_put_back_with_everything_that_waits(
    road: Road, tmp_path: Path, caplog: pytest.LogCaptureFixture, whole_folder: bool
) -> None:
    home = tmp_path / "spools"
    path = home / "alice.db"
    recorder = road.recorder("alice", Spool(path))
    recorder.open("test/1")  # nobody carries: all of it waits
    recorder.record(MessageSent, to="bob", topic="before")
    if whole_folder:
        shutil.rmtree(home)
    else:
        path.unlink()
    recorder.record(MessageSent, to="bob", topic="after")
    assert "was deleted under its owner" in caplog.text
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotConfigured, match="in use"):
        Spool(path)
    kill(recorder)
    with road.carrying():
        again = road.recorder("alice", Spool(path))
        again.open("test/2")
        again.flush(60)
        again.close()
    topics = [event.topic for event in road.events("alice") if isinstance(event, MessageSent)]
    assert topics == ["before", "after"]
    assert unaccounted(road) == []


def test_what_was_left_of_a_deleted_files_log_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    spool = Spool(path)
    spool.append(outgoing(0, UUID(int=7)))
    path.unlink()
    assert (tmp_path / "a.db-wal").stat().st_size > 0
    write_again(spool._connection, path)
    assert not list(tmp_path.glob("a.db-*"))
    spool.close()
    again = Spool(path)
    assert (again.waiting()[0], again.chain(UUID(int=7)).seq) == (1, 0)
    again.close()


def test_a_foreign_file_in_the_place_of_a_spool_in_use_is_refused(road: Road, tmp_path: Path) -> None:
    path = tmp_path / "alice.db"
    recorder = road.recorder("alice", Spool(path))
    recorder.open("test/1")
    path.unlink()
    path.write_bytes(b"something else")
    with pytest.raises(NotConfigured, match="took the place"):
        recorder.record(MessageSent, to="bob", topic="x")
    assert path.read_bytes() == b"something else"
    kill(recorder)


def test_a_spool_of_the_layout_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    spool = Spool(path)
    spool.append(outgoing(3, UUID(int=7)))
    spool.close()
    with closing(sqlite3.connect(path)) as older:
        older.executescript("DROP TABLE written; DROP TABLE elsewhere; PRAGMA user_version = 1;")
    spool = Spool(path)
    assert (spool.waiting()[0], spool.wrote(UUID(int=7)), spool.wrote(UUID(int=8))) == (1, True, False)
    spool.close()


class Book:
    """An account over a real spool, with what it put on record, and a bus that can be away."""

    def __init__(self, road: Road, path: Path) -> None:
        self.clock, self.spool = road.clock, Spool(path)
        self.drain = Drain(road.bus.publisher(), self.spool)
        self.said: list[dict[str, object]] = []
        self.accounts = Accounts(self.spool, self.drain, self.clock, self._keep)
        self.opened = road.sign("alice", "session.opened", software="book/1")
        self.accounts.begin(self.opened)
        self.waiting: list[UUID] = []

    def _keep(self, kind: type[object], fields: object) -> SessionOpened:
        assert kind is RecordSpooled
        assert isinstance(fields, dict)
        self.said.append(fields)
        assert isinstance(self.opened, SessionOpened)
        return self.opened

    def write(self, count: int, session: UUID | None = None) -> None:
        for _ in range(count):
            one = outgoing(self.spool.last_number() + 1, session or self.opened.session)
            at = int(self.clock.now().timestamp() * 1_000_000)
            self.spool.append(type(one)(one.session, one.seq, one.event, one.sha256, at, one.record, one.header_hash))
            self.waiting.append(one.event)

    def settle(self) -> None:
        for event in self.waiting:
            self.spool.remove(event)
        self.waiting.clear()

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.accounts.look()


@pytest.fixture
def book(road: Road, tmp_path: Path) -> Iterator[Book]:
    book = Book(road, tmp_path / "book.db")
    yield book
    book.spool.close()


def test_a_time_of_spooling_is_told_when_it_is_over_with_its_measure(book: Book) -> None:
    since = book.clock.now()
    book.write(3)
    book.wait(30)
    book.write(2)
    book.wait(60)
    assert book.said == []
    book.settle()
    book.wait(1)
    assert book.said == [{
        "events": 5, "bytes_max": 15_000, "since": since, "until": since + timedelta(seconds=91), "why": "no_receipt",
        "periods": 1,
    }]  # fmt: skip
    book.wait(1000)
    assert len(book.said) == 1


def test_an_event_that_waits_less_than_the_bound_is_nothing_to_tell(book: Book) -> None:
    for _ in range(5):
        book.write(1)
        book.wait(29.9)
        book.settle()
        book.wait(300)
    assert book.said == []


@pytest.mark.parametrize("who", ["drain", "inbox"])
def test_why_names_the_bus_or_the_life_before_where_they_are_known(book: Book, who: str) -> None:
    book.write(1)
    book.wait(31)
    if who == "drain":
        book.drain.away = True
    else:
        book.accounts.inbox_away = True
    book.wait(1)
    book.drain.away = book.accounts.inbox_away = False
    book.settle()
    book.wait(1)
    book.write(1, UUID(int=9))
    book.wait(400)
    book.settle()
    book.wait(1)
    assert [said["why"] for said in book.said] == ["bus_away", "earlier_life"]


def test_a_bus_that_comes_and_goes_is_told_once_in_five_minutes(book: Book) -> None:
    for _ in range(10):
        book.write(2)
        book.wait(35)
        book.settle()
        book.wait(1)
    assert [said["periods"] for said in book.said] == [1, 8]
    book.accounts.finish()
    assert [said["periods"] for said in book.said] == [1, 8, 1]
    assert sum(int(str(said["events"])) for said in book.said) == 20


def test_a_broker_that_was_away_is_on_record_when_it_is_back(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path) as recorder:
        recorder.flush(60)
        with road.turn:  # nothing is carried meanwhile
            recorder.record(MessageSent, to="bob", topic="one")
            recorder.record(MessageSent, to="bob", topic="two")
            road.clock.advance(90)
            assert_soon(lambda: recorder.accounts._now is not None)
        recorder.flush(60)
        assert_soon(lambda: "record.spooled" in road.kinds("alice"))
    (told,) = [event for event in road.events("alice") if isinstance(event, RecordSpooled)]
    assert told.events >= 2
    assert told.until - told.since >= timedelta(seconds=90)
    assert road.kinds("alice")[-1] == SessionClosed.__struct_config__.tag


def assert_soon(true: Callable[[], bool]) -> None:
    """Wait for a condition; the bound is far above what it takes."""
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)

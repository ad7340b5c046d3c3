"""A damaged spool is put aside and never deleted; what can no longer be sent goes on record in the next life."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tenuto.errors import NotConfigured
from tenuto.events import RecordLost
from tenuto.salvage import Loss, losses_in, losses_told, open_spool
from tenuto.spool import Outgoing, Spool
from tenuto.spoolfile import SpoolDamaged

from tests.unit.door.mini_ledger import Road

SESSION, EARLIER = UUID(int=7), UUID(int=6)
PAGE_BYTES = 4096


def outgoing(seq: int, session: UUID = SESSION) -> Outgoing:
    record = bytes([seq % 256]) * 3000
    return Outgoing(session, seq, uuid4(), hashlib.sha256(record).digest(), seq * 1000, record, f"{seq:064x}")


def written(path: Path, sequence: range = range(5)) -> None:
    """A spool as it lies there after its owner ended, with events without receipt."""
    spool = Spool(path)
    for seq in sequence:
        spool.append(outgoing(seq))
    spool.close()


def root_page(path: Path, name: str) -> int:
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    return int(page)


def tear(path: Path, *names: str) -> None:
    """Overwrite the first page of these tables or indices, as a failing disk does."""
    for page in [root_page(path, name) for name in names]:
        data = bytearray(path.read_bytes())
        data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = b"\xff" * PAGE_BYTES
        path.write_bytes(data)


def test_a_whole_spool_is_opened_as_it_is(tmp_path: Path) -> None:
    written(tmp_path / "a.db")
    spool, losses = open_spool(tmp_path / "a.db")
    assert (spool.waiting()[0], losses) == (5, ())
    spool.close()
    assert not list(tmp_path.glob("*damaged*"))


def test_a_damaged_spool_is_put_aside_byte_for_byte(tmp_path: Path) -> None:
    written(tmp_path / "a.db")
    tear(tmp_path / "a.db", "outbox_sha256")
    damaged = (tmp_path / "a.db").read_bytes()
    with pytest.raises(SpoolDamaged, match="tell its owner"):
        Spool(tmp_path / "a.db")
    spool, losses = open_spool(tmp_path / "a.db")
    assert spool.waiting() == (0, 0)
    spool.close()
    assert (tmp_path / "a.db.damaged-1").read_bytes() == damaged
    assert losses == (Loss(SESSION, 0, 4),)


def test_the_events_of_several_sessions_are_told_apart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    for seq in (3, 4):
        spool.append(outgoing(seq, EARLIER))
    for seq in (0, 1, 2):
        spool.append(outgoing(seq))
    spool.close()
    tear(tmp_path / "a.db", "outbox_sha256")
    spool, losses = open_spool(tmp_path / "a.db")
    spool.close()
    assert set(losses) == {Loss(EARLIER, 3, 4), Loss(SESSION, 0, 2)}


def test_when_the_events_are_unreadable_their_number_and_the_chain_tell_which_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    spool = Spool(path)
    events = [outgoing(seq) for seq in range(7)]
    for event in events:
        spool.append(event)
    for event in events[:3]:
        spool.remove(event.event)
    spool.close()
    tear(path, "outbox")
    spool, losses = open_spool(path)
    spool.close()
    assert losses == (Loss(SESSION, 3, 6),)


def test_a_spool_of_which_nothing_is_left_is_said_and_no_event_is_made_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database at all" * 100)
    with caplog.at_level(logging.ERROR):
        spool, losses = open_spool(tmp_path / "a.db")
    spool.close()
    assert losses == ()
    assert "cannot be told from what is left" in caplog.text
    assert (tmp_path / "a.db.damaged-1").read_bytes().startswith(b"not a database")


def test_a_spool_without_waiting_events_lost_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    event = outgoing(0)
    spool.append(event)
    spool.remove(event.event)
    spool.close()
    for name in ("outbox_sha256", "outbox"):
        tear(tmp_path / "a.db", name)
        assert losses_in(tmp_path / "a.db") == []


def test_a_loss_is_told_again_until_it_is_on_record(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    written(path)
    tear(path, "outbox_sha256")
    for _ in range(2):  # the first life crashed before its event was on disk
        spool, losses = open_spool(path)
        spool.close()
        assert losses == (Loss(SESSION, 0, 4),)
    losses_told(path)
    spool, losses = open_spool(path)
    spool.close()
    assert losses == ()
    assert (tmp_path / "a.db.told-1").is_file()
    written(path)
    tear(path, "outbox_sha256")
    open_spool(path)[0].close()
    assert (tmp_path / "a.db.damaged-2").is_file()


def test_a_spool_in_use_or_of_another_release_is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    owner = Spool(path)
    with pytest.raises(NotConfigured, match="in use"):
        open_spool(path)
    owner.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NotConfigured, match="layout 99"):
        open_spool(path)
    assert not list(tmp_path.glob("*damaged*"))


def test_the_loss_is_the_first_event_of_the_next_life(tmp_path: Path) -> None:
    road = Road()
    path = tmp_path / "alice.db"
    written(path, range(2, 5))
    tear(path, "outbox_sha256")
    spool, losses = open_spool(path)
    alice = road.recorder("alice", spool)
    with road.carrying():
        alice.open("test/1", losses)
        alice.flush(60)
        alice.close()
    assert road.kinds("alice") == ["session.opened", "record.lost", "session.closed"]
    (lost,) = [event for event in road.events("alice") if isinstance(event, RecordLost)]
    assert (lost.lost_session, lost.first_seq, lost.last_seq) == (SESSION, 2, 4)

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tenuto.errors import NotConfigured
from tenuto.ledger import SessionHead
from tenuto.spool import InboxState, Outgoing, Spool, SpoolFull

SESSION = UUID(int=7)


def outgoing(seq: int, size: int = 100) -> Outgoing:
    record = bytes([seq % 256]) * size
    return Outgoing(SESSION, seq, uuid4(), hashlib.sha256(record).digest(), seq * 1000, record, f"{seq:064x}")


def test_what_was_appended_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from tenuto.spool import Spool; "
        "from tests.unit.door.test_spool import outgoing; spool = Spool(Path(sys.argv[1])); "
        "[spool.append(outgoing(seq)) for seq in range(5)]; os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], cwd=Path.cwd(), check=False)  # noqa: S603
    assert ended.returncode == -signal.SIGKILL
    spool = Spool(tmp_path / "a.db")
    assert [row.seq for row in spool.pending(0, 10)] == [0, 1, 2, 3, 4]
    assert spool.chain(SESSION) == SessionHead(4, f"{4:064x}")
    spool.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "a.db")
    spool.append(outgoing(0))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()}
    assert set(modes) >= {"a.db", "a.db-wal", "a.db.lock"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    spool.close()


def test_a_second_spool_on_the_same_file_is_turned_away_until_the_first_closes(tmp_path: Path) -> None:
    first = Spool(tmp_path / "a.db")
    with pytest.raises(NotConfigured, match="in use by another recorder"):
        Spool(tmp_path / "a.db")
    first.close()
    first.close()
    Spool(tmp_path / "a.db").close()


def test_the_spool_of_another_author_or_log_is_turned_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    spool.claim("alice", "one.example/log", "aa")
    spool.claim("alice", "one.example/log", "aa")
    spool.append(outgoing(0))
    for other in (
        ("bob", "one.example/log", "aa"),
        ("alice", "two.example/log", "aa"),
        ("alice", "one.example/log", "bb"),
    ):
        with pytest.raises(NotConfigured, match=r"that of alice for the log one\.example/log.* 1 events"):
            spool.claim(*other)
    spool.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
def test_a_file_of_another_kind_or_layout_is_turned_away_and_let_go_of(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.db"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        path.write_bytes(content)
    with pytest.raises(NotConfigured, match="cannot be read|layout 99"):
        Spool(path)
    os.remove(path)
    Spool(path).close()


def test_it_takes_records_up_to_its_limit_and_not_one_byte_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db", bytes_max=300)
    spool.append(outgoing(0, 100))
    with pytest.raises(SpoolFull, match="1 events of 100 bytes"):
        spool.append(outgoing(1, 201))
    assert spool.chain(SESSION).seq == 0
    spool.append(outgoing(1, 200))
    assert spool.waiting() == (2, 300)
    assert not spool.wait_for_room(1, 0)
    spool.close()


def test_an_empty_spool_takes_any_single_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db", bytes_max=10)
    spool.append(outgoing(0, 500))
    assert spool.waiting() == (1, 500)
    spool.close()


def test_a_receipt_makes_room_and_wakes_who_waits_for_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db", bytes_max=100)
    first = outgoing(0)
    spool.append(first)
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(spool.wait_for_room(100, 30)))
    waiter.start()
    spool.remove(first.event)
    waiter.join(60)
    assert woken == [True]
    assert spool.waiting() == (0, 0)
    spool.close()


def test_numbers_go_on_after_everything_was_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    first = outgoing(0)
    spool.append(first)
    (number,) = [row.number for row in spool.pending(0, 9)]
    spool.remove(first.event)
    spool.append(outgoing(1))
    assert spool.pending(number, 9)[0].number == number + 1
    spool.close()


def test_a_refused_record_leaves_the_outbox_and_its_reason_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    first, second = outgoing(0), outgoing(1)
    spool.append(first)
    spool.append(second)
    assert spool.refuse(first.sha256, "signature", 12) == first.event
    assert spool.refuse(first.sha256, "signature", 12) is None
    assert [row.event for row in spool.pending(0, 9)] == [second.event]
    assert spool.refusal_of(first.event) == ("signature", 12)
    assert spool.refusal_of(second.event) is None
    spool.close()


def test_a_transaction_that_raises_changes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    with pytest.raises(KeyboardInterrupt), spool.transaction():
        spool.append(outgoing(0))
        spool.save_inbox(InboxState("kafka:x", 5, 6, 7, b"r"))
        spool.add_message(1, b"message")
        raise KeyboardInterrupt
    assert (spool.waiting(), spool.messages(), spool.inbox()) == ((0, 0), (0, 0), InboxState())
    spool.append(outgoing(0))
    assert spool.waiting() == (1, 100)
    spool.close()


def test_the_inbox_and_its_messages_survive_a_restart(tmp_path: Path) -> None:
    state = InboxState("kafka:x", 5, 6, 7, b"r")
    spool = Spool(tmp_path / "a.db")
    with spool.transaction():
        spool.save_inbox(state)
        spool.add_message(4, b"later")
        spool.add_message(2, b"earlier")
        spool.add_key_news(1, b"news")
    spool.close()
    spool = Spool(tmp_path / "a.db")
    assert (spool.inbox(), spool.key_news(), spool.oldest_message()) == (state, [(1, b"news")], b"earlier")
    spool.remove_message(2)
    assert spool.oldest_message() == b"later"
    spool.close()


def test_on_a_full_disk_it_says_which_folder_keeps_what_it_had_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.db")
    spool.append(outgoing(0))
    limit = "PRAGMA max_page_count = {}"  # to SQLite the same as a disk with so many pages
    (pages,) = spool._connection.execute("PRAGMA page_count").fetchone()
    spool._connection.execute(limit.format(pages))
    with pytest.raises(SpoolFull, match=f"disk of {tmp_path} is full"):
        spool.append(outgoing(1, 50_000))
    assert (spool.chain(SESSION).seq, spool.waiting()) == (0, (1, 100))
    assert spool.wait_for_room(50_000, 0), "nobody tells when there is room: it is tried"
    spool._connection.execute(limit.format(1_000_000))
    spool.append(outgoing(1, 50_000))
    assert (spool.chain(SESSION).seq, spool.waiting()) == (1, (2, 50_100))
    spool.close()

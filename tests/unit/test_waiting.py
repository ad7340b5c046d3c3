"""A spool is looked at from outside, while its owner runs and after it was killed, and nothing changes by looking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from tenuto.clock import micros
from tenuto.spool import Outgoing, Spool
from tenuto.waiting import Waiting, look_at_spool, look_at_spools

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = UUID(int=1)


def outgoing(number: int, seconds_ago: float = 0.0) -> Outgoing:
    at = micros(NOW - timedelta(seconds=seconds_ago))
    record = bytes(100)
    return Outgoing(SESSION, number, UUID(int=100 + number), number.to_bytes(32), at, record, f"{number:064x}")


def claimed(path: Path, author: str = "code-review") -> Spool:
    spool = Spool(path)
    spool.claim(author, "log.example/a", "00" * 32)
    return spool


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_waits_is_seen_while_the_owner_has_it_open(tmp_path: Path) -> None:
    spool = claimed(tmp_path / "code-review.db")
    spool.append(outgoing(1, seconds_ago=90))
    spool.append(outgoing(2, seconds_ago=5))
    spool.add_message(7, b"a message")
    assert look_at_spool(spool.path, NOW) == Waiting("code-review", 2, 200, 90.0, 1, 0)
    spool.remove(UUID(int=101))
    spool.refuse((2).to_bytes(32), "signature", 9)
    assert look_at_spool(spool.path, NOW) == Waiting("code-review", 0, 0, None, 1, 1)
    spool.append(outgoing(3))  # the owner can go on
    spool.close()


def test_nothing_is_created_or_changed_by_looking(tmp_path: Path) -> None:
    spool = claimed(tmp_path / "code-review.db")
    spool.append(outgoing(1))
    spool.close()
    before = files(tmp_path)
    assert look_at_spool(spool.path, NOW).events == 1
    assert files(tmp_path) == before


def test_what_a_killed_owner_left_in_the_log_beside_the_file_is_seen(tmp_path: Path) -> None:
    owner, left = tmp_path / "owner", tmp_path / "left"
    spool = claimed(owner / "code-review.db")
    spool.append(outgoing(1, seconds_ago=60))
    left.mkdir()
    for name in ("code-review.db", "code-review.db-wal"):  # as they lie on the disk at this moment
        (left / name).write_bytes((owner / name).read_bytes())
    spool.close()
    assert look_at_spool(left / "code-review.db", NOW) == Waiting("code-review", 1, 100, 60.0)


def test_a_clock_that_was_set_back_makes_no_negative_age(tmp_path: Path) -> None:
    spool = claimed(tmp_path / "code-review.db")
    spool.append(outgoing(1, seconds_ago=-30))
    assert look_at_spool(spool.path, NOW).oldest_seconds == 0.0
    spool.close()


def test_a_spool_that_cannot_be_read_is_told_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "code-review.db"
    path.write_bytes(b"this is no database at all, and it is long enough to be one" * 20)
    told = look_at_spool(path, NOW)
    assert told.author == "code-review"
    assert str(path) in (told.error or "")


def test_every_spool_of_the_folder_is_looked_at(tmp_path: Path) -> None:
    claimed(tmp_path / "team__agent.db", author="team/agent").close()
    claimed(tmp_path / "ingest.db", author="ingest").close()
    assert [one.author for one in look_at_spools(tmp_path, NOW)] == ["ingest", "team/agent"]
    assert list(look_at_spools(tmp_path / "nowhere", NOW)) == []

"""There is always a next partition; without one ingest stops with a sentence, and what came is not lost."""

from __future__ import annotations

import psycopg
import pytest
from tenuto.adapters.partitions import EMPTY_AHEAD, PARTITION_LEAVES, Partitions, empty_partitions, prepare
from tenuto.cli.status import room_line
from tenuto.errors import Busy, NotConfigured
from tenuto.ledger import LedgerFull
from tenuto.migrating import migrate
from tenuto.wiring import ROLES

from tests.conftest import Database
from tests.retention.site import LEAVES, Site


def test_the_next_partitions_are_made_behind_the_last_with_its_indexes_and_rights(site: Site) -> None:
    with Partitions(site.database.url()) as tables:
        before = tables.attached()
        made = tables.prepare(leaves=2 * LEAVES, ahead=12)
        assert tables.prepare(leaves=2 * LEAVES, ahead=12) == []
        after = tables.attached()
    assert [(one.first, one.last) for one in after] == [(one.first, one.last) for one in [*before, *made]]
    assert made[0].first == before[-1].last + 1
    assert made[-1].last - made[-1].first == 2 * LEAVES - 1
    for table, columns in (("entry", 3), ("payload", 1)):
        indexes = site.sql("SELECT indexdef FROM pg_indexes WHERE tablename = %s", f"{table}_{made[0].number}")
        assert len(indexes) == columns
    assert site.sql("SELECT attstorage FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'body'",
                    f"ledger.payload_{made[0].number}") == [("e",)]  # fmt: skip


def test_at_the_end_of_the_last_partition_ingest_stops_and_nothing_is_lost(site: Site) -> None:
    with Partitions(site.database.url()) as tables:
        for one in tables.attached():
            if one.first > site.size():
                site.sql(f"DROP TABLE ledger.entry_{one.number}, ledger.payload_{one.number}")
        last = tables.attached()[-1].last
    site.grow(last - 3)
    agent, size = site.authors["deployment"], site.size()
    kept = [agent.write() for _ in range(9)]
    with pytest.raises(LedgerFull, match="nothing was written.*tenuto retention prepare"):
        site.append(kept)
    assert site.size() == size
    assert empty_partitions(site.database.url("tenuto_reader")) == 0
    with Partitions(site.database.url()) as tables:
        tables.prepare(leaves=LEAVES, ahead=2)
    assert site.append(kept) == range(size, size + 9)
    site.seal()
    assert len(site.read()) == size + 9


def test_migrating_again_makes_room_in_time(database: Database) -> None:
    def move(size: int) -> None:
        with psycopg.connect(database.url(), autocommit=True) as owner:
            owner.execute("UPDATE ledger.log_head SET tree_size = %s", (size,))

    assert prepare(database.url()) == []
    move(12 * PARTITION_LEAVES)
    migrate(database.url())
    with Partitions(database.url()) as tables:
        there = tables.attached()
    assert sum(one.first > 12 * PARTITION_LEAVES for one in there) == EMPTY_AHEAD
    assert there[-1].last == (13 + EMPTY_AHEAD) * PARTITION_LEAVES - 1


def test_a_partition_holds_whole_bundles_and_two_owners_take_turns(database: Database) -> None:
    with Partitions(database.url()) as tables:
        for leaves in (0, -256, 255, 257):
            with pytest.raises(NotConfigured, match="multiple of 256"):
                tables.prepare(leaves=leaves)
        with pytest.raises(Busy, match="Another process"):
            prepare(database.url())


def test_only_the_owner_makes_and_drops_partitions(database: Database) -> None:
    for role in ROLES:
        with Partitions(database.url(role)) as tables:
            for forbidden in (lambda one: one.prepare(leaves=256, ahead=20), lambda one: one.drop("00000", lambda: None)):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    forbidden(tables)
        assert empty_partitions(database.url()) == 15


def test_status_warns_when_little_room_is_left() -> None:
    assert [room_line(empty) for empty in (None, 2, 15)] == ["", "", ""]
    assert room_line(1) == "; ONLY 1 empty partition LEFT, make room with `tenuto retention prepare`"
    assert "0 empty partitions" in room_line(0)

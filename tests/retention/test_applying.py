"""Partitions go oldest first, each after its archive was written, verified and put on record; reading goes on as before."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from tenuto.archive import Archive
from tenuto.events import RetentionApplied
from tenuto.retention import MINIMUM_FILE, RetentionRefused
from tenuto.verification import Verified

from tests.retention.conftest import FULL, SIZE
from tests.retention.site import LEAVES, NOW, Crash, Site, crashing, flipped

ALL = [(number * LEAVES, (number + 1) * LEAVES - 1) for number in range(FULL)]


def test_a_plan_names_every_partition_and_what_keeps_it(site: Site) -> None:
    with site.retention() as retention:
        verdicts = retention.plan(NOW)
    assert [(one.partition.first, one.partition.last) for one in verdicts[:FULL]] == ALL
    assert [one.goes for one in verdicts] == [True] * FULL + [False]
    assert "not full" in verdicts[FULL].keeps[0]
    assert all(one.partition.bytes > 0 and one.began and one.ended and not one.archived for one in verdicts[:FULL])
    assert not (site.home / "archive").exists()


def test_what_is_younger_than_the_rule_stays_and_so_does_all_after_it(site: Site) -> None:
    ended = site.read(payloads=False)[2 * LEAVES - 1].recorded_at
    with site.retention() as retention:
        keeps = [one.keeps for one in retention.plan(ended)]
        assert [not one for one in keeps] == [True, True, False]
        before = retention.plan(ended - timedelta(microseconds=1))
    assert [one.goes for one in before] == [True, False, False]
    assert before[2].keeps[-1] == "an older partition stays"


def test_everything_that_is_read_afterwards_is_what_was_read_before(site: Site, before: list[Verified]) -> None:
    assert site.apply() == ALL
    after = site.read()
    assert after[:SIZE] == before
    assert [one.event.kind for one in after[SIZE:]] == ["retention.applied"] * FULL
    assert sum(one.payload is not None for one in after) > SIZE // 4
    assert site.tables()[0] == f"entry_0000{FULL}"
    assert int(site.sql("SELECT min(notification_id) FROM ledger.entry")[0][0]) == ALL[-1][1] + 2
    assert (site.home / "log" / MINIMUM_FILE).read_text() == f"{FULL * LEAVES}\n"


def test_nothing_is_applied_twice_and_what_fills_up_later_goes_later(site: Site) -> None:
    assert site.apply() == ALL
    assert site.apply() == []
    site.grow((FULL + 1) * LEAVES + 3)
    site.seal()
    assert site.apply() == [(FULL * LEAVES, (FULL + 1) * LEAVES - 1)]
    assert len(site.read()) == site.size()


def test_a_hold_keeps_its_partition_and_all_after_it_until_it_is_lifted(site: Site) -> None:
    site.hold("case-1", run="pr-40")  # which lies in the second partition
    assert site.apply() == ALL[:1]
    with site.retention() as retention:
        verdicts = retention.plan(NOW)
    assert verdicts[0].holds == ("case-1",)
    assert verdicts[0].keeps == ("legal hold case-1",)
    assert verdicts[1].keeps[-1] == "an older partition stays"
    site.lift("case-1")
    assert site.apply() == ALL[1:]


def test_a_hold_that_is_placed_while_the_archive_is_made_still_wins(site: Site) -> None:
    def placed_meanwhile(step: str) -> None:
        if step == "verified":
            site.hold("case-1", first=0, last=0)

    with pytest.raises(RetentionRefused, match="legal hold case-1"):
        site.apply(placed_meanwhile)
    assert "entry_00000" in site.tables()
    assert len(site.read()) == site.size()


def test_what_the_log_has_not_signed_stays(site: Site) -> None:
    site.grow((FULL + 1) * LEAVES)
    assert site.apply() == ALL


def test_what_is_signed_and_not_cosigned_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.retention.COSIGNATURE_SECONDS_MAX", 0.0)
    checkpoint = site.home / "log" / "checkpoint"
    checkpoint.write_bytes(b"".join(checkpoint.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(RetentionRefused, match="not cosigned"):
        site.apply()
    assert "entry_00000" in site.tables()


def test_an_archive_that_was_changed_before_the_drop_is_refused_and_the_tables_stay(site: Site) -> None:
    def spoil(step: str) -> None:
        if step == "exported":
            file = site.settings.archives / f"{0:012d}-{LEAVES - 1:012d}" / "tile/entries/000"
            file.write_bytes(flipped(file.read_bytes()))

    for _ in range(2):  # as it is made, and when it is found
        with pytest.raises(RetentionRefused, match="not dropped.*is not the file that was archived"):
            site.apply(spoil)
    assert "entry_00000" in site.tables()
    assert len(site.read()) == SIZE


def test_an_archive_that_differs_from_the_tables_is_refused(site: Site) -> None:
    """Whoever changes a payload between export and drop must not get the change archived, nor the original dropped."""
    def change(step: str) -> None:
        if step == "exported":
            site.sql("UPDATE ledger.payload SET body = body || '\\x00' WHERE notification_id < 200")

    with pytest.raises(RetentionRefused, match="does not hold what the tables hold"):
        site.apply(change)


def test_an_archive_that_is_gone_while_the_tables_are_there_is_made_and_recorded_anew(site: Site) -> None:
    with pytest.raises(Crash):
        site.apply(crashing("recorded"))
    folder = site.settings.archives / f"{0:012d}-{LEAVES - 1:012d}"
    shutil.rmtree(folder)
    assert site.apply() == ALL
    named = [one.event for one in site.read() if isinstance(one.event, RetentionApplied)]
    assert [one.first for one in named] == [0, 0, *(first for first, _ in ALL[1:])]
    assert named[0].archive != named[1].archive == Archive(folder).digest


def test_a_dump_of_the_database_has_nothing_of_what_was_dropped(applied: Site, before: list[Verified]) -> None:
    gone, kept = before[40], before[-1]
    dumped = dump(applied)
    assert gone.header.hex() not in dumped
    assert kept.header.hex() in dumped


def dump(site: Site) -> str:
    """Every row of every table and every large object, as a dump has them: bytes in hex."""
    names = site.sql(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind = 'r' AND nspname IN ('ledger', 'read_model', 'public')"
    )
    return "\n".join(str(row) for (name,) in names for row in site.sql(f"SELECT t::text FROM {name} t"))

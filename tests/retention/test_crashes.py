"""A crash after every step: at that moment everything can still be read, and the same command finishes the work."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import psycopg
import pytest
from tenuto.adapters import partitions
from tenuto.errors import Busy
from tenuto.events import HoldPlaced
from tenuto.retention import Retention, RetentionRefused
from tenuto.verification import Verified

from tests.retention.site import LEAVES, Crash, Site, crashing

STEPS = (
    "the files of the archive are written", "exported", "verified", "recorded", "published", "entry_00000 is detached",
    "payload_00000 is detached", "partition 00000 is dropped",
)  # fmt: skip
FIRST = (0, LEAVES - 1)
SECONDS_MAX = 60.0
IN_PLACE = STEPS.index("entry_00000 is detached")


def only_the_first(site: Site) -> object:
    """The rule under which one partition goes."""
    return site.sql("SELECT recorded_at FROM ledger.entry WHERE notification_id = %s", LEAVES)[0][0]


def test_these_are_the_steps(site: Site) -> None:
    taken: list[str] = []
    assert site.apply(taken.append, only_the_first(site)) == [FIRST]
    assert tuple(taken) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_loses_nothing_and_running_it_again_finishes(
    site: Site, before: list[Verified], step: str
) -> None:
    cutoff = only_the_first(site)
    with pytest.raises(Crash):
        site.apply(crashing(step), cutoff)
    assert ("entry_00000" in site.tables()) == (step != STEPS[-1])
    assert site.read()[: len(before)] == before
    site.apply(cutoff=cutoff)
    assert site.tables()[0] == "entry_00001"
    assert "payload_00000" not in site.tables()
    after = site.read()
    assert after[: len(before)] == before
    assert (site.home / "log" / "minimum-index").read_text() == f"{LEAVES}\n"
    assert [path.name for path in site.settings.archives.iterdir()] == [f"{0:012d}-{LEAVES - 1:012d}"]
    assert sum(one.event.kind == "retention.applied" for one in after) == 1


@pytest.mark.parametrize("table", ["entry", "payload"])
def test_a_detach_that_was_cut_off_in_its_middle_is_finished(
    site: Site, before: list[Verified], monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """Postgres marks the partition first and then waits for those who still read it; in between is a state of its own."""
    cutoff = only_the_first(site)
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.3)
    with psycopg.connect(site.database.url()) as slow:

        def look(step: str) -> None:
            if step == ("published" if table == "entry" else "entry_00000 is detached"):
                slow.execute(f"SELECT count(*) FROM ledger.{table}_00000 WHERE notification_id = 1")
                slow.execute(f"SELECT count(*) FROM ledger.{table} WHERE notification_id = 1")

        with pytest.raises(Busy, match="Somebody holds"):
            site.apply(look, cutoff)
    states = dict(site.sql("SELECT inhrelid::regclass::text, inhdetachpending FROM pg_inherits"))
    assert states[f"ledger.{table}_00000"] is True
    assert site.read()[: len(before)] == before
    site.apply(cutoff=cutoff)
    assert "entry_00000" not in site.tables()
    assert "payload_00000" not in site.tables()
    assert site.read()[: len(before)] == before


def attached(site: Site) -> set[str]:
    return {row[0].removeprefix("ledger.") for row in site.sql("SELECT inhrelid::regclass::text FROM pg_inherits")}


@pytest.mark.parametrize(
    ("step", "covers", "signed"),
    [("published", {"first": LEAVES - 1}, True), ("entry_00000 is detached", {"run": "pr-1"}, False),
     ("payload_00000 is detached", {}, False), ("payload_00000 is detached", {"run": "pr-1"}, True)],
)  # fmt: skip
def test_a_hold_that_comes_after_the_last_look_brings_the_tables_back(
    site: Site, before: list[Verified], step: str, covers: dict[str, Any], signed: bool
) -> None:
    cutoff, taken = only_the_first(site), list[str]()

    def place(at: str) -> None:
        taken.append(at)
        if at == step:
            site.append([site.authors["counsel"].write(HoldPlaced, hold="case-9", **covers)])
            if signed:
                site.seal()

    with pytest.raises(RetentionRefused, match=r"legal hold case-9.*Its tables are attached again"):
        site.apply(place, cutoff)
    assert taken[-1] == "partition 00000 is attached again"
    assert attached(site) >= {"entry_00000", "payload_00000"}
    assert site.sql("SELECT count(*) FROM ledger.entry WHERE notification_id <= %s", LEAVES) == [(LEAVES,)]
    site.seal()
    assert site.read()[: len(before)] == before
    assert site.apply(cutoff=cutoff) == []
    site.lift("case-9")
    assert site.apply(cutoff=cutoff) == [FIRST]
    assert site.read()[: len(before)] == before


def test_a_hold_that_comes_while_a_table_is_dropped_stands_behind_the_drop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing enters between the last look at the ledger and the end of the table."""
    look, said = Retention._demand_free_of_unsigned, list[str]()

    def place() -> None:
        site.append([site.authors["counsel"].write(HoldPlaced, hold="case-9")])
        said.append("placed")

    def look_while_one_is_placed(retention: Retention, first: int, last: int) -> None:
        look(retention, first, last)
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%log_head%%'"
        deadline = monotonic() + SECONDS_MAX
        while site.sql(waits) == [(0,)]:
            assert thread.is_alive(), "it did not have to wait"
            assert monotonic() < deadline
        assert "placed" not in said

    thread = Thread(target=place)
    monkeypatch.setattr(Retention, "_demand_free_of_unsigned", look_while_one_is_placed)
    assert site.apply(said.append, only_the_first(site)) == [FIRST]
    thread.join(SECONDS_MAX)
    assert "placed" in said
    site.seal()
    assert isinstance(site.read()[-1].event, HoldPlaced)


def test_two_at_a_time_are_refused(site: Site) -> None:
    with site.retention(), pytest.raises(Busy, match="Another process"):
        site.apply()


def test_what_somebody_else_detached_is_not_dropped(site: Site) -> None:
    site.sql("ALTER TABLE ledger.entry DETACH PARTITION ledger.entry_00000")
    with pytest.raises(RetentionRefused, match=f"up to position {LEAVES - 1}, and no retention on record.*attach them again"):
        site.apply()
    assert {"entry_00000", "payload_00000", "entry_00001"} <= set(site.tables())
    site.sql(f"ALTER TABLE ledger.entry ATTACH PARTITION ledger.entry_00000 FOR VALUES FROM (1) TO ({LEAVES + 1})")
    assert site.apply()[0] == FIRST


def test_what_is_left_of_a_table_is_not_dropped_while_its_archive_is_away_or_under_a_hold(
    site: Site, tmp_path: Path
) -> None:
    cutoff = only_the_first(site)
    with pytest.raises(Crash):
        site.apply(crashing("entry_00000 is detached"), cutoff)
    archive = next(site.settings.archives.iterdir())
    archive.rename(tmp_path / "away")
    with pytest.raises(RetentionRefused, match="is not in .* not dropped before it is back"):
        site.apply(cutoff=cutoff)
    (tmp_path / "away").rename(archive)
    manifest = archive / "manifest.json"
    right = manifest.read_bytes()
    manifest.write_bytes(right.replace(b'"began": "2026-11', b'"began": "2026-10'))
    with pytest.raises(RetentionRefused, match="is not in .* not dropped before it is back"):
        site.apply(cutoff=cutoff)
    manifest.write_bytes(right)
    site.hold("case-1", first=0, last=0)
    with pytest.raises(RetentionRefused, match=r"case-1.*Its tables are attached again"):
        site.apply(cutoff=cutoff)
    assert attached(site) >= {"entry_00000", "payload_00000"}
    site.lift("case-1")
    site.apply(cutoff=cutoff)
    assert "entry_00000" not in site.tables()

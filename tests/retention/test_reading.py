"""Whoever reads is answered as before: from the tables, behind them from the archives, and never from both at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.adapters.retained import RetainedLedger, RetainedReader
from tenuto.adapters.tilefiles import TileLedger
from tenuto.archive import ArchiveMissing, ArchiveRefused, verify_archive
from tenuto.header import decode
from tenuto.log.merkle import Frontier
from tenuto.log.proof import inclusion_proof, verify_inclusion
from tenuto.log.tiles import TileFolder
from tenuto.trust import load_trust
from tenuto.verification import Verified
from tenuto.wiring import open_hashes, open_reader, open_shelf

from tests.retention.conftest import FULL
from tests.retention.site import LEAVES, Site

END = FULL * LEAVES


@pytest.fixture
def both(grown: Site, applied: Site) -> Iterator[tuple[RetainedReader, RetainedReader]]:
    """Readers of the same log before and after."""
    with closing(open_reader(grown.settings)) as before, closing(open_reader(applied.settings)) as after:
        yield before, after


Both = tuple[RetainedReader, RetainedReader]
PAGES = [(0, 10), (0, 10_000), (LEAVES - 3, 6), (END - 3, 3), (END - 3, 7), (END, 5), (END - 400, 450), (END + 80, 10)]


@pytest.mark.parametrize(("start", "limit"), PAGES)
@pytest.mark.parametrize("payloads", [True, False])
def test_every_page_is_what_it_was(both: Both, start: int, limit: int, payloads: bool) -> None:
    before, after = both
    limit = min(limit, before.head().size - start)
    assert after.read(start, limit, payloads=payloads) == before.read(start, limit, payloads=payloads)
    assert after.columns(start, limit) == before.columns(start, limit)


def test_nothing_is_found_behind_the_end(both: Both) -> None:
    assert both[1].read(both[1].head().size, 5) == []


@pytest.mark.parametrize(("start", "limit"), [(0, 3), (0, 400), (LEAVES + 1, 100), (END - 2, 100), (0, 10_000)])
@pytest.mark.parametrize("kinds", [("key.registered", "session.opened"), ("tool.started",), ("run.started",)])
def test_kinds_are_found_in_the_archives_too(both: Both, kinds: tuple[str, ...], start: int, limit: int) -> None:
    before, after = both
    assert after.read_kinds(kinds, start, limit) == before.read_kinds(kinds, start, limit)


def test_an_event_is_found_by_its_session_wherever_it_is(applied: Site, before: list[Verified]) -> None:
    wanted = [(one.event.session, one.event.seq) for one in before[:: LEAVES // 3]]
    url = applied.database.url("tenuto_ingest")
    with closing(PostgresLedger(open_datastore(url), url)) as tables:
        ledger = RetainedLedger(tables, open_shelf(applied.settings), TileFolder(applied.settings.tiles))
        unknown = (wanted[0][0], 10**6)
        found = ledger.states_at([*wanted, unknown])
    assert found.keys() == set(wanted)
    assert all((decode(state[:-64]).session, decode(state[:-64]).seq) == place for place, state in found.items())


def test_without_its_archive_a_reader_of_payloads_is_told_which_positions_and_which_folder(
    applied: Site, tmp_path: Path
) -> None:
    settings = applied.settings.model_copy(update={"archive": tmp_path / "empty"})
    with closing(open_reader(settings)) as reader:
        with pytest.raises(ArchiveMissing, match=f"position 0 to {END - 1} are not in .*{tmp_path}/empty.*TENUTO_ARCHIVE"):
            reader.read(LEAVES + 2, 5)
        with pytest.raises(ArchiveMissing):
            reader.read_kinds(("key.registered",), 0, 5)
        assert len(reader.read(END, 5)) == 5
        # Who needs no payloads is served from the published bundles.
        assert [entry.position for entry in reader.read(0, 600, payloads=False)] == list(range(600))


def test_one_archive_that_is_away_is_named_by_its_own_positions(applied: Site, tmp_path: Path) -> None:
    away = applied.settings.archives / f"{LEAVES:012d}-{2 * LEAVES - 1:012d}"
    away.rename(tmp_path / "away")
    with closing(open_reader(applied.settings)) as reader:
        assert len(reader.read(0, LEAVES)) == LEAVES
        with pytest.raises(ArchiveMissing) as caught:
            reader.read(LEAVES - 1, 2)
        (tmp_path / "away").rename(away)
        assert len(reader.read(LEAVES - 1, 2)) == 2
        assert (caught.value.first, caught.value.last) == (LEAVES, 2 * LEAVES - 1)


def test_a_row_that_is_missing_from_its_table_is_not_filled_in_from_an_archive(site: Site) -> None:
    """An archive is made before its tables go; what disappears meanwhile must be seen."""
    with pytest.raises(ZeroDivisionError):
        site.apply(lambda step: 1 // (step != "recorded"))
    site.sql("DELETE FROM ledger.entry WHERE notification_id = 8")
    with closing(open_reader(site.settings)) as reader:
        assert [entry.position for entry in reader.read(0, 10)] == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    with pytest.raises(Exception, match="position 7 is missing"):
        site.read()


def test_a_file_of_an_archive_that_was_changed_is_refused_when_it_is_read(applied: Site) -> None:
    file = applied.settings.archives / f"{0:012d}-{LEAVES - 1:012d}" / "payloads" / "000000000"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with closing(open_reader(applied.settings)) as reader:
        assert len(reader.read(0, LEAVES, payloads=False)) == LEAVES
        with pytest.raises(ArchiveRefused, match="payloads/000000000 is not the file that was archived"):
            reader.read(0, LEAVES)
        file.write_bytes(data)
        assert len(reader.read(0, LEAVES)) == LEAVES


def test_after_pruning_events_and_proofs_come_from_the_archives(site: Site, before: list[Verified]) -> None:
    bundles = site.settings.tiles / "tile" / "entries"
    assert site.apply(prune=True)
    assert sorted(path.name for path in bundles.iterdir()) == [f"{FULL:03d}.p"]
    events = site.read()
    assert events[: len(before)] == before
    size = site.size()
    tree = TileLedger(site.settings.tiles, size, open_shelf(site.settings)).head()
    hashes = open_hashes(site.settings)
    signed = Frontier.from_bytes(size, tree.frontier).root()
    for position in (0, LEAVES - 1, LEAVES, size - 1):
        verify_inclusion(events[position].leaf, position, size, inclusion_proof(position, size, hashes), signed)
    assert site.apply(prune=True) == []


def test_a_purge_reaches_an_archive_and_leaves_it_true(applied: Site, before: list[Verified]) -> None:
    position = next(one.position for one in before if one.payload is not None)
    shelf = open_shelf(applied.settings)
    archive = shelf.at(position)
    assert archive is not None
    key = archive.read(position, position + 1, payloads=True)[0].payload.wrapped_key  # type: ignore[union-attr]
    digest, keys = archive.digest, archive.folder / "keys" / f"{position // LEAVES:09d}"
    kept = keys.read_bytes()
    shelf.forget([position, position + 1, 10**9])
    assert archive.read(position, position + 1, payloads=True)[0].payload is None
    assert archive.read(position + 3, position + 4, payloads=True)[0].payload is not None
    fresh = open_shelf(applied.settings).at(position)
    assert fresh is not None
    assert fresh.digest == digest
    verify_archive(fresh, load_trust(applied.home))
    assert not any(key in file.read_bytes() for file in archive.folder.rglob("*") if file.is_file())
    keys.write_bytes(kept)

"""The ledger as files: what a copy of the published folder gives to somebody who has nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenuto.adapters.tilefiles import TileLedger
from tenuto.errors import NotConfigured
from tenuto.ledger import Recorded
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.tiles import TileFolder
from tenuto.verification import VerificationFailed

from tests.written import Author, genesis

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIZE = 300  # one full bundle and a partial one


@pytest.fixture(scope="module")
def entries() -> list[Recorded]:
    root = Author("root")
    written = [*genesis(root), *Author("deployment").session_of(SIZE - 5)]
    return [
        Recorded(number, START + timedelta(microseconds=number), one.envelope.state) for number, one in enumerate(written)
    ]


@pytest.fixture
def folder(tmp_path: Path, entries: list[Recorded]) -> Path:
    tiles = TileFolder(tmp_path)
    tiles.apply(tiles.extension(0, [entry.entry for entry in entries]))
    return tmp_path


def test_events_come_back_as_they_were_with_their_times_and_without_payloads(folder: Path, entries: list[Recorded]) -> None:
    assert TileLedger(folder, SIZE).read(0, SIZE) == entries


@pytest.mark.parametrize(("start", "limit"), [(0, 1), (255, 2), (256, 10), (250, 1000), (299, 1), (300, 5), (0, 0)])
def test_any_page_can_be_read(folder: Path, entries: list[Recorded], start: int, limit: int) -> None:
    assert TileLedger(folder, SIZE).read(start, limit) == entries[start : start + limit]


def test_nothing_behind_the_checkpoint_is_read(folder: Path, entries: list[Recorded]) -> None:
    ledger = TileLedger(folder, 280)
    assert ledger.read(270, 100) == entries[270:280]
    assert ledger.head().size == 280


def test_the_head_is_computed_from_the_bundles(folder: Path, entries: list[Recorded]) -> None:
    expected = Frontier().extend([leaf_hash(entry.entry) for entry in entries])
    head = TileLedger(folder, SIZE).head()
    assert (head.size, head.frontier) == (SIZE, expected.to_bytes())


def test_kinds_are_found_in_order_up_to_a_limit(folder: Path) -> None:
    ledger = TileLedger(folder, SIZE)
    assert [entry.position for entry in ledger.read_kinds(("key.registered",), 0, 100)] == [1, 2, 3, 4]
    assert [entry.position for entry in ledger.read_kinds(("key.registered", "session.opened"), 2, 3)] == [2, 3, 4]
    assert ledger.read_kinds(("run.started",), 0, 100) == []


def test_an_entry_that_is_no_event_is_of_no_kind(tmp_path: Path) -> None:
    tiles = TileFolder(tmp_path)
    tiles.apply(tiles.extension(0, [Recorded(0, START, b"rubbish" * 20).entry]))
    assert TileLedger(tmp_path, 1).read_kinds(("tool.started",), 0, 10) == []


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="no log folder"):
        TileLedger(tmp_path / "nowhere", 0)


def test_a_missing_bundle_fails_step_6_at_the_page_that_needs_it(folder: Path) -> None:
    (folder / "tile" / "entries" / "001.p" / "44").unlink()
    ledger = TileLedger(folder, SIZE)
    assert len(ledger.read(0, 256)) == 256
    with pytest.raises(VerificationFailed, match="tile/entries/001") as caught:
        ledger.read(256, 10)
    assert (caught.value.step, caught.value.position) == (6, 256)


def test_a_cut_bundle_fails_step_6(folder: Path) -> None:
    bundle = folder / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(VerificationFailed, match="ends inside") as caught:
        TileLedger(folder, SIZE).read(0, 10)
    assert caught.value.step == 6


def test_an_entry_of_another_format_fails_step_6(tmp_path: Path) -> None:
    tiles = TileFolder(tmp_path)
    tiles.apply(tiles.extension(0, [b"\x07" + Recorded(0, START, b"x").entry[1:]]))
    with pytest.raises(VerificationFailed, match="format 7"):
        TileLedger(tmp_path, 1).read(0, 1)

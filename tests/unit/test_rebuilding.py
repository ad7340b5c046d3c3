"""A log folder is made again from the ledger that was signed, and from no other."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from tenuto import rebuilding
from tenuto.errors import Busy, NotConfigured
from tenuto.log.archive import first_covering
from tenuto.log.note import Cosigner
from tenuto.log.tiles import TileFolder
from tenuto.log.witnessing import parse_policy
from tenuto.rebuilding import Rebuilt, rebuild
from tenuto.sealing import SealRefused
from tenuto.trust import Trust

from tests.unit.sealers_home import LOG, ORIGIN, Bridge, Home, near

WITNESS = Cosigner("w1.example", b"w1.example".ljust(32))
POLICY = f"log {LOG.vkey}\nwitness a {WITNESS.vkey}\nquorum a\n"
TRUST = Trust(
    origin=ORIGIN, root_public_key="00" * 32, log_key=LOG.vkey, policy=POLICY, epoch=1, epoch_public_key="00" * 32
)
SIZES = (3, 300, 700)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A sealed log of 700 events with three cosigned checkpoints; its state lies where a home has it."""
    home = Home(tmp_path)
    home.state = tmp_path / "memory" / "sealer"
    witness = Bridge(near(tmp_path / "elsewhere", "w1.example", home.clock))
    for size in SIZES:
        home.ledger.write(size - len(home.ledger.entries))
        home.seal([witness])
    return home


def files(folder: Path) -> dict[str, bytes]:
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def again(home: Home, *given: Path) -> Rebuilt:
    return rebuild(home.ledger, TileFolder(home.log), home.state.parent, trust=TRUST, given=given)


def refused(home: Home, sentence: str, *given: Path) -> None:
    """The rebuild refuses, and touches nothing."""
    before = files(home.log)
    with pytest.raises(SealRefused, match=sentence):
        again(home, *given)
    assert files(home.log) == before
    assert sorted(one.name for one in home.log.parent.iterdir() if one.name.startswith("log.")) == []


def test_a_folder_that_was_lost_comes_back_byte_for_byte(home: Home) -> None:
    before = files(home.log)
    shutil.rmtree(home.log)
    done = again(home)
    assert (done.size, done.written, done.wrong) == (700, len(files(home.log)), ())
    assert done.compared == 4, "three of the archive and the sealer's own"
    partial = {name for name in before if ".p/" in name and name not in files(home.log)}
    assert files(home.log) == {name: data for name, data in before.items() if name not in partial}
    home.check()
    home.ledger.write(50)
    assert home.seal() is not None
    home.check()


def test_the_cosigned_checkpoints_come_back_with_it(home: Home) -> None:
    shutil.rmtree(home.log)
    again(home)
    for position in (0, 2, 3, 299, 300, 699):
        found = first_covering(home.log, position, parse_policy(POLICY), ORIGIN)
        assert found.checkpoint.size == min(size for size in SIZES if size > position)


@pytest.mark.parametrize(
    "name", ["tile/0/000", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/001", "checkpoint", "checkpoints/000"]
)
def test_one_lost_file_comes_back_and_nothing_else_is_written(home: Home, name: str) -> None:
    before = files(home.log)
    (home.log / name).unlink()
    assert again(home).written == 1
    assert files(home.log) == before


@pytest.mark.parametrize("name", ["tile/0/001", "tile/entries/000", "checkpoint", "checkpoints/001"])
def test_a_damaged_file_is_replaced_and_lies_aside(home: Home, name: str) -> None:
    before = files(home.log)
    (home.log / name).write_bytes(b"damaged")
    done = again(home)
    assert done.wrong == (name,)
    assert done.aside is not None
    assert (done.aside / name).read_bytes() == b"damaged"
    assert files(home.log) == before


def test_a_whole_folder_needs_nothing(home: Home) -> None:
    assert again(home).written == 0


@pytest.mark.parametrize("position", [0, 2, 300, 699])
def test_a_changed_ledger_is_refused_with_the_first_event_that_differs(home: Home, position: int) -> None:
    home.ledger.change(position)
    refused(home, f"not the one that was signed.*position {position} is the first")


def test_without_a_tile_to_tell_the_two_checkpoints_around_the_change_are_named(home: Home) -> None:
    shutil.rmtree(home.log)
    home.ledger.change(450)
    refused(home, "another root over 700 events.*between positions 300 and 699 was changed; no tile")


def test_a_tile_left_over_names_the_event_where_the_others_are_gone(home: Home) -> None:
    kept = (home.log / "tile/0/001").read_bytes()
    shutil.rmtree(home.log)
    (home.log / "tile/0").mkdir(parents=True)
    (home.log / "tile/0/001").write_bytes(kept)
    home.ledger.change(450)
    refused(home, "position 450 is the first")


def test_a_ledger_that_lost_events_is_refused(home: Home) -> None:
    shutil.rmtree(home.log)
    del home.ledger.entries[650:]
    refused(home, "no event at position 650")


def test_events_that_are_not_signed_yet_are_left_to_the_sealer(home: Home) -> None:
    shutil.rmtree(home.log)
    home.ledger.write(40)
    assert again(home).size == home.published() == 700


def test_a_memory_of_more_events_than_the_sealers_state_has_is_refused(home: Home, tmp_path: Path) -> None:
    old = (home.state / "signed.json").read_bytes()
    home.ledger.write(10)
    home.seal()
    newest = tmp_path / "note"
    newest.write_bytes(TileFolder(home.log).published() or b"")
    (home.state / "signed.json").write_bytes(old)
    shutil.rmtree(home.log)
    refused(home, "knows of 710 events, and the sealer's state of 700 only: it was rolled back", newest)


def test_without_the_sealers_state_the_newest_note_that_anybody_has_is_the_end(home: Home, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_bytes(TileFolder(home.log).published() or b"")
    shutil.rmtree(home.log)
    shutil.rmtree(home.state)
    with pytest.raises(NotConfigured, match="--checkpoint"):
        again(home)
    assert again(home, note).size == 700
    home.check()
    note.write_bytes(note.read_bytes().replace(b"\n700\n", b"\n701\n"))
    with pytest.raises(SealRefused, match="is no checkpoint of this log"):
        again(home, note)


@pytest.mark.parametrize("holder", ["witness", "verify"])
def test_what_witness_and_verification_remember_is_compared_too(home: Home, holder: str) -> None:
    folder = home.state.parent / holder
    folder.mkdir()
    if holder == "verify":
        (folder / "seen.json").write_text('{"origin":"%s","size":500,"root":"%s"}' % (ORIGIN, "00" * 32))
        refused(home, "the last verification has another root over 500 events")
    else:
        name = hashlib.sha256(ORIGIN.encode()).hexdigest()
        (folder / name).write_bytes(TileFolder(home.log).published() or b"")
        assert again(home).compared == 6


def test_a_rebuild_under_a_running_sealer_is_turned_away(home: Home) -> None:
    with home.sealer() as sealer:
        sealer.seal()
        with pytest.raises(Busy, match="Another sealer"):
            again(home)


def test_a_long_log_is_derived_in_parts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(home.log)
    shutil.rmtree(home.log)
    monkeypatch.setattr(rebuilding, "PART_EVENTS", 300)
    monkeypatch.setattr(rebuilding, "PAGE_EVENTS", 30)
    again(home)
    assert files(home.log).items() <= before.items()
    home.check()


@pytest.mark.parametrize("lost", [True, False])
def test_every_folder_whose_names_changed_is_flushed_and_the_checkpoints_last(
    home: Home, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """A rename is only durable with its folder: one that nobody flushed may be gone after the power failed."""
    flushed: list[tuple[Path, bool]] = []
    checkpoint = home.log / "checkpoint"
    if lost:
        shutil.rmtree(home.log)
    else:
        for file in (checkpoint, home.log / "tile" / "0" / "000"):
            file.write_bytes(b"damaged")
    monkeypatch.setattr(
        rebuilding, "flush_folder", lambda folder: flushed.append((folder, checkpoint.exists() and checkpoint.read_bytes() != b"damaged"))
    )
    done = again(home)
    changed = {file.parent for file in home.log.rglob("*")} | {home.log.parent} if lost else {home.log, home.log / "tile" / "0", home.log.parent}
    if done.aside is not None:
        changed |= {file.parent for file in done.aside.rglob("*")}
    assert changed <= {folder for folder, _ in flushed}
    assert all(folder == home.log for folder, published in flushed if published and (folder, False) not in flushed)

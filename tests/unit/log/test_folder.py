"""Every file of a log folder is looked at, also those that the newest checkpoint does not need."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.log.archive import ArchiveRefused, archive_path
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.folder import Examined, HistoriesDiffer, Signers, examine
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import NoteSigner
from tenuto.log.tiles import TileFolder, TilesRefused, verify_tiles

from tests.unit.log.test_archive import DRAW, LOG, ORIGIN, OTHER, SECONDS, checkpoint, keep, note

SIZES = (3, 200, 300, 530, 700)
ENTRIES = [f"entry {number}".encode() for number in range(700)]
SIGNERS = Signers(LOG.vkey, ORIGIN, [DRAW.verifier])
SIZE = 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of 600 published entries whose sealer has written the tiles for 700 already; 530 left partial tiles behind."""
    tiles, size = TileFolder(tmp_path), 0
    for end in SIZES:
        tiles.apply(tiles.extension(size, ENTRIES[size:end]))
        size = end
        if end == 530:
            tiles.apply(TileFolder(tmp_path).extension(end, ENTRIES[end:SIZE]))
            tiles.publish(note(SIZE, DRAW))
    keep(tmp_path, note(3, DRAW), note(300, DRAW, OTHER), note(SIZE, DRAW))
    return tmp_path


def examined(folder: Path, size: int = SIZE) -> Examined:
    tiles = TileFolder(folder)
    root = Frontier().extend([leaf_hash(entry) for entry in ENTRIES[:size]]).root()
    verify_tiles(tiles, size, root)
    return examine(tiles, size, SIGNERS)


def test_a_whole_folder_holds_and_what_reaches_beyond_the_checkpoint_is_named(folder: Path) -> None:
    found = examined(folder)
    assert found.files == sum(file.is_file() for file in folder.rglob("*"))
    assert (found.notes, found.foreign) == (3, ())
    assert found.beyond == ("tile/0/002.p/188", "tile/entries/002.p/188")
    assert examined(folder, 700).beyond == ()


STALE = ["tile/0/002.p/18", "tile/entries/002.p/18"]


@pytest.mark.parametrize("name", [*STALE, "tile/0/002.p/188", "tile/entries/002.p/188"])
def test_a_partial_tile_of_another_checkpoint_that_says_something_else_is_named(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[5] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(TilesRefused, match=name):
        examined(folder)


@pytest.mark.parametrize("name", ["tile/0/000.p/200", "tile/1/000.p/1", "tile/entries/000.p/7"])
def test_a_partial_tile_planted_beside_a_full_one_is_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(bytes(32 * 200) if "/0/" in name else b"\0\1x" * 7 if "entries" in name else bytes(32))
    with pytest.raises(TilesRefused, match=name):
        examined(folder)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32 * 17), bytes(32 * 19)])
def test_a_tile_of_another_width_than_its_name_is_named(folder: Path, data: bytes) -> None:
    (folder / STALE[0]).write_bytes(data)
    with pytest.raises(TilesRefused, match=STALE[0]):
        examined(folder)


@pytest.mark.parametrize(
    "name",
    ["README", "tile/0/0", "tile/0/000.p/0", "tile/0/000.p/007", "tile/0/000.p/256", "tile/00/000", "tile/0/x000/000", ".checkpoint.new"],
)
def test_a_file_that_no_log_folder_has_is_named_and_not_read(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"anything")
    assert examined(folder).foreign == (name,)


def test_tiles_of_a_part_of_the_tree_that_does_not_exist_reach_beyond(folder: Path) -> None:
    (folder / "tile/0/900").write_bytes(bytes(32 * 256))
    (folder / "tile/7/000.p").mkdir(parents=True)
    (folder / "tile/7/000.p/1").write_bytes(bytes(32))
    assert {"tile/0/900", "tile/7/000.p/1"} < set(examined(folder).beyond)


def test_a_kept_checkpoint_of_another_tree_shows_two_histories(folder: Path) -> None:
    fork = Checkpoint(ORIGIN, 5, bytes(32))
    keep(folder, sign_checkpoint(fork, LOG) + DRAW.cosign(fork.text(), SECONDS))
    with pytest.raises(HistoriesDiffer, match="over 5 entries.*two histories"):
        examined(folder)


def test_a_kept_checkpoint_that_is_not_signed_is_refused(folder: Path) -> None:
    stranger = NoteSigner(ORIGIN, b"s" * 32)
    for bad in (sign_checkpoint(checkpoint(5), stranger), note(5) + DRAW.cosign(checkpoint(6).text(), SECONDS)):
        (folder / archive_path(5)).unlink(missing_ok=True)
        keep(folder, bad)
        with pytest.raises(ArchiveRefused, match="over 5 entries that does not hold"):
            examined(folder)


def test_a_damaged_archive_file_is_named(folder: Path) -> None:
    (folder / archive_path(300)).write_bytes(b"damaged")
    with pytest.raises(ArchiveRefused, match="checkpoints/001"):
        examined(folder)


def test_a_kept_checkpoint_over_more_than_was_published_reaches_beyond(folder: Path) -> None:
    larger = Checkpoint(ORIGIN, 650, Frontier().extend([leaf_hash(entry) for entry in ENTRIES[:650]]).root())
    keep(folder, sign_checkpoint(larger, LOG) + DRAW.cosign(larger.text(), SECONDS))
    assert archive_path(650) in examined(folder).beyond
    assert archive_path(650) not in examined(folder, 700).beyond

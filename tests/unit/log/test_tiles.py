"""Tiles: the tree as files, at every awkward size, and a check that finds the first file that is not right."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.proof import (
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tenuto.log.tiles import (
    CACHED_TILES_MAX,
    ENTRY_BYTES_MAX,
    TILE_WIDTH,
    TileFolder,
    TileGrowth,
    TileMissing,
    TilesRefused,
    join_bundle,
    split_bundle,
    tile_path,
    verify_tiles,
)

from tests.unit.log import naive
from tests.unit.log.naive import flipped

SIZES = [1, 2, 255, 256, 257, 511, 512, 513]


def grown(path: Path, sizes: list[int]) -> TileFolder:
    """A folder that was published at each of these sizes."""
    folder, entries, size = TileFolder(path), naive.entries_of(sizes[-1]), 0
    for new_size in sizes:
        folder.apply(folder.extension(size, entries[size:new_size]))
        size = new_size
    return folder


def files_of(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def root_at(size: int) -> bytes:
    return Frontier().extend(naive.leaves_of(size)).root()


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        (2, 999, 1, "tile/2/999.p/1"),
        (1, 1000, 255, "tile/1/x001/000.p/255"),
        ("entries", 273, 112, "tile/entries/273.p/112"),
    ],
)
def test_a_path_is_that_of_the_specification(level: int | str, number: int, width: int, path: str) -> None:
    assert tile_path(level, number, width) == path


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    growth, paths = TileGrowth(), []
    for number in range(70_000):
        paths += [tile.path for tile in growth.add(number.to_bytes(32, "big"))]
    assert sum(path.startswith("tile/0/") for path in paths) == 273
    assert [path for path in paths if not path.startswith("tile/0/")] == ["tile/1/000"]
    assert [tile.path for tile in growth.partials()] == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]


@pytest.mark.parametrize("size", SIZES)
def test_a_folder_written_at_once_gives_every_root_entry_and_proof(tmp_path: Path, size: int) -> None:
    folder, leaves, root = grown(tmp_path, [size]), naive.leaves_of(size), root_at(size)
    assert tree_root(size, folder) == root
    assert list(folder.read_entries(0, size)) == naive.entries_of(size)
    verify_tiles(folder, size, root)
    for index in {0, size // 3, size - 1}:
        verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, folder), root)
    for old in {1, size // 2, size - 1} - {0}:
        verify_consistency(old, root_at(old), size, root, consistency_proof(old, size, folder))


def test_a_folder_grown_step_by_step_ends_as_one_written_at_once(tmp_path: Path) -> None:
    grown(tmp_path / "steps", [1, 3, 200, 255, 256, 257, 300, 511, 512, 513])
    grown(tmp_path / "once", [513])
    steps, once = files_of(tmp_path / "steps"), files_of(tmp_path / "once")
    assert once <= steps
    for name in once:
        assert (tmp_path / "steps" / name).read_bytes() == (tmp_path / "once" / name).read_bytes(), name
    assert steps - once == {"tile/1/000.p/1"}  # it was published at 256 and its full tile is far away


def test_each_published_size_has_its_partial_tiles_until_the_full_one_exists(tmp_path: Path) -> None:
    grown(tmp_path, [3, 7])
    assert files_of(tmp_path) == {
        "tile/0/000.p/3", "tile/0/000.p/7", "tile/entries/000.p/3", "tile/entries/000.p/7",
    }  # fmt: skip
    folder = TileFolder(tmp_path)
    folder.apply(folder.extension(7, naive.entries_of(256)[7:]))
    assert files_of(tmp_path) == {"tile/0/000", "tile/entries/000", "tile/1/000.p/1"}
    assert not (tmp_path / "tile/0/000.p").exists()


def test_older_sizes_can_still_be_proven_from_a_grown_folder(tmp_path: Path) -> None:
    folder, leaves = grown(tmp_path, [200, 300, 600]), naive.leaves_of(600)
    for size in (1, 199, 200, 256, 300, 599):
        assert tree_root(size, folder) == root_at(size)
        proof = inclusion_proof(size - 1, size, folder)
        verify_inclusion(leaves[size - 1], size - 1, size, proof, root_at(size))
        verify_tiles(folder, size, root_at(size))


def test_entries_can_be_read_from_any_range(tmp_path: Path) -> None:
    folder, entries = grown(tmp_path, [600]), naive.entries_of(600)
    for start, stop in ((0, 0), (0, 1), (255, 257), (256, 512), (511, 600), (599, 600), (600, 600)):
        assert list(folder.read_entries(start, stop)) == entries[start:stop]


def test_65537_leaves_make_three_levels_and_every_proof_holds(tmp_path: Path) -> None:
    """Over synthetic leaf hashes: no entries, only tiles."""
    size = 65_537
    leaves = [number.to_bytes(32, "big") for number in range(size)]
    growth = TileGrowth()
    tiles = [tile for leaf in leaves for tile in growth.add(leaf)] + list(growth.partials())
    source = TileFolder(tmp_path).over({tile.path: tile.data for tile in tiles})
    assert {tile.path for tile in tiles if tile.level > 0} == {"tile/1/000", "tile/2/000.p/1"}
    frontier = Frontier().extend(leaves)
    assert tree_root(size, source) == frontier.root()
    for index in (0, 255, 256, 40_000, 65_535, 65_536):
        verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, source), frontier.root())
    for old in (1, 256, 257, 65_535, 65_536):
        old_root = Frontier().extend(leaves[:old]).root()
        verify_consistency(old, old_root, size, frontier.root(), consistency_proof(old, size, source))


def test_a_full_tile_takes_exactly_8192_bytes(tmp_path: Path) -> None:
    grown(tmp_path, [256])
    assert (tmp_path / "tile/0/000").stat().st_size == 8_192


def test_applying_twice_changes_nothing(tmp_path: Path) -> None:
    folder = TileFolder(tmp_path)
    files = folder.extension(0, naive.entries_of(257))
    folder.apply(files)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files_of(tmp_path)}
    folder.apply(files)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files_of(tmp_path)} == before


def test_a_file_of_the_log_is_never_replaced_by_another(tmp_path: Path) -> None:
    folder = grown(tmp_path, [5])
    with pytest.raises(TilesRefused, match=r"tile/0/000\.p/5 is there already with other content"):
        folder.apply(TileFolder(tmp_path / "elsewhere").extension(0, naive.entries_of(5, "other ")))


@pytest.mark.parametrize(
    "name", ["tile/0/000", "tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2", "tile/entries/000", "tile/entries/002.p/1"]
)
def test_the_check_names_the_first_file_that_was_changed(tmp_path: Path, name: str) -> None:
    folder = grown(tmp_path, [513])
    file = tmp_path / name
    file.write_bytes(flipped(file.read_bytes(), file.stat().st_size - 1))
    blamed = name.replace("entries", "0") if "entries" in name else name
    with pytest.raises(TilesRefused, match=blamed):
        verify_tiles(TileFolder(tmp_path), 513, tree_root(513, folder))


@pytest.mark.parametrize("name", ["tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2", "tile/entries/001"])
def test_the_check_names_a_file_that_is_gone(tmp_path: Path, name: str) -> None:
    folder = grown(tmp_path, [513])
    root = tree_root(513, folder)
    (tmp_path / name).unlink()
    with pytest.raises(TileMissing, match=name.partition(".p")[0]):
        verify_tiles(TileFolder(tmp_path), 513, root)


def test_the_check_compares_with_the_signed_root(tmp_path: Path) -> None:
    with pytest.raises(TilesRefused, match="root over 5 entries is not the signed one"):
        verify_tiles(grown(tmp_path, [5]), 5, root_at(4))


def test_a_tile_cut_short_is_refused(tmp_path: Path) -> None:
    grown(tmp_path, [256])
    (tmp_path / "tile/0/000").write_bytes(bytes(8_191))
    with pytest.raises(TilesRefused, match="8,191 bytes"):
        TileFolder(tmp_path).hash_at(0, 0)


def test_a_hash_beyond_the_log_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TileMissing, match="Restore"):
        grown(tmp_path, [5]).hash_at(0, 5)


def test_a_bundle_comes_back_as_it_was_and_ends_where_it_should() -> None:
    entries = [b"", b"a", b"b" * ENTRY_BYTES_MAX]
    bundle = join_bundle(entries)
    assert split_bundle("bundle", bundle) == entries
    for cut in (1, 3, 4, len(bundle) - 1):
        with pytest.raises(TilesRefused, match="bundle ends inside"):
            split_bundle("bundle", bundle[:cut])


def test_an_entry_has_at_most_65535_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65,535"):
        TileFolder(tmp_path).extension(0, [bytes(ENTRY_BYTES_MAX + 1)])


def test_a_bundle_hashes_to_its_tile(tmp_path: Path) -> None:
    grown(tmp_path, [256])
    entries = split_bundle("", (tmp_path / "tile/entries/000").read_bytes())
    assert b"".join(leaf_hash(entry) for entry in entries) == (tmp_path / "tile/0/000").read_bytes()


def test_the_checkpoint_file_is_replaced_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = TileFolder(tmp_path / "log")
    assert folder.published() is None
    for note in (b"one", b"two"):
        folder.publish(note)
        assert folder.published() == note
    assert files_of(tmp_path) == {"log/checkpoint"}


class Overtaken(TileFolder):
    """A reader that is overtaken by the sealer between finding a partial file and reading it."""

    def _read(self, name: str) -> bytes:
        if ".p/" in name and (self.path / name).exists():
            other = TileFolder(self.path)
            other.apply(other.extension(200, naive.entries_of(300)[200:]))
        return super()._read(name)


@pytest.mark.parametrize("level", [0, 3])
def test_a_reader_that_is_overtaken_by_the_sealer_reads_the_full_tile(tmp_path: Path, level: int) -> None:
    grown(tmp_path, [200])
    assert Overtaken(tmp_path).hash_at(level, 2) == naive.Leaves(naive.leaves_of(200)).hash_at(level, 2)


def test_a_reader_of_entries_that_is_overtaken_reads_the_full_bundle(tmp_path: Path) -> None:
    grown(tmp_path, [200])
    assert list(Overtaken(tmp_path).read_entries(100, 200)) == naive.entries_of(200)[100:]


def test_a_reader_follows_a_folder_that_grows_under_it(tmp_path: Path) -> None:
    reader, leaves = TileFolder(tmp_path), naive.leaves_of(520)
    for size in (1, 5, 200, 255, 256, 257, 512, 520):
        grown_from = TileFolder(tmp_path)
        old = {1: 0, 5: 1, 200: 5, 255: 200, 256: 255, 257: 256, 512: 257, 520: 512}[size]
        grown_from.apply(grown_from.extension(old, naive.entries_of(size)[old:]))
        for index in (0, size // 2, size - 1):
            verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, reader), root_at(size))


def test_a_reader_keeps_so_many_tiles_at_most_and_each_takes_what_is_said(tmp_path: Path) -> None:
    """128 tiles with the subtrees over them, about 5 MiB; also when each is read once, as a sealer reads the edges of its tree."""
    tiles = 2 * CACHED_TILES_MAX + 1
    folder = TileFolder(tmp_path)
    reader = folder.over(folder.extension(0, naive.entries_of(tiles * TILE_WIDTH)))
    held = dict[int, int]()
    tracemalloc.start()
    try:
        for number in range(tiles):
            reader.hash_at(0, number * TILE_WIDTH)
            held[number + 1] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    full = held[CACHED_TILES_MAX]
    assert held[CACHED_TILES_MAX // 2] < 0.6 * full
    assert full < 6 * 2**20
    assert held[tiles] < 1.02 * full


def test_whoever_writes_keeps_nothing_of_the_edges_that_it_read_before(tmp_path: Path) -> None:
    """A sealer read one partial tile of each level in every step, and kept the last 128 of them, all long gone."""
    folder, entries, held = TileFolder(tmp_path), naive.entries_of(30 * 50), list[int]()
    tracemalloc.start()
    try:
        for size in range(0, len(entries), 50):
            folder.apply(folder.extension(size, entries[size : size + 50]))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[4] < 16_384

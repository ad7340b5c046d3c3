"""A range of a log under its root: computed from its own leaves and the hashes beside it, and from nothing else."""

from __future__ import annotations

import pytest
from tenuto.log.merkle import Frontier
from tenuto.log.proof import ProofRefused
from tenuto.log.ranges import RangeTree, beside, hashes_beside
from tenuto.log.tiles import TileFolder

from tests.unit.log import naive

SIZE = 1300
LEAVES = naive.leaves_of(SIZE)
RANGES = [(0, 256), (0, 512), (256, 512), (256, 1024), (512, 1280), (768, 1024), (1024, 1280), (0, 1280)]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileFolder:
    folder = TileFolder(tmp_path_factory.mktemp("ranges"))
    folder.apply(folder.extension(0, naive.entries_of(SIZE)))
    return folder


def root_of(first: int, end: int, size: int, hashes: bytes, leaves: list[bytes]) -> bytes:
    tree = RangeTree(first, end, size, hashes)
    for start in range(first, end, 256):
        tree.take(leaves[start : start + 256])
    return tree.root()


@pytest.mark.parametrize(("first", "end"), RANGES)
@pytest.mark.parametrize("size", [1280, 1281, SIZE])
def test_the_root_follows_from_a_range_and_what_lies_beside_it(tiles: TileFolder, first: int, end: int, size: int) -> None:
    hashes = hashes_beside(first, end, size, tiles)
    assert len(hashes) <= 2 * size.bit_length() * 32
    root = Frontier().extend(LEAVES[:size]).root()
    assert root_of(first, end, size, hashes, LEAVES) == root
    changed = list(LEAVES)
    changed[end - 1] = bytes(32)
    assert root_of(first, end, size, hashes, changed) != root
    swapped = list(LEAVES)
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    assert root_of(first, end, size, hashes, swapped) != root


def test_what_lies_beside_a_range_and_the_range_make_up_the_whole_tree() -> None:
    for first, end in RANGES:
        covered = set(range(first, end))
        for level, index in beside(first, end, SIZE):
            leaves = set(range(index << level, (index + 1) << level))
            assert not covered & leaves
            covered |= leaves
        assert covered == set(range(SIZE))


@pytest.mark.parametrize(("first", "end"), [(0, 0), (256, 256), (512, 256), (1, 257), (0, 255), (0, 1536), (-256, 256)])
def test_only_whole_bundles_within_the_log_are_a_range(first: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range of whole bundles"):
        list(beside(first, end, SIZE))


def test_too_few_hashes_or_leaves_are_refused(tiles: TileFolder) -> None:
    hashes = hashes_beside(256, 768, SIZE, tiles)
    for wrong in (hashes[:-1], hashes + bytes(32), b""):
        with pytest.raises(ProofRefused, match="hashes lie beside"):
            RangeTree(256, 768, SIZE, wrong)
    tree = RangeTree(256, 768, SIZE, hashes)
    with pytest.raises(ProofRefused, match="no bundle"):
        tree.take(LEAVES[256:511])
    tree.take(LEAVES[256:512])
    with pytest.raises(ProofRefused, match="only 512 were taken"):
        tree.root()
    tree.take(LEAVES[512:768])
    with pytest.raises(ProofRefused, match="no bundle"):
        tree.take(LEAVES[768:1024])

"""The tree itself: reference roots, every small size against the definition, and a frontier that survives storage."""

from __future__ import annotations

import pytest
from tenuto.log.merkle import EMPTY_ROOT, Frontier, leaf_hash

from tests.unit.log import naive


def test_the_roots_are_those_of_the_reference_tests_of_certificate_transparency() -> None:
    leaves = [leaf_hash(entry) for entry in naive.CT_ENTRIES]
    roots = [Frontier().extend(leaves[:size]).root().hex() for size in range(9)]
    assert roots == naive.CT_ROOTS


def test_the_root_is_that_of_the_definition_at_every_size() -> None:
    leaves = naive.leaves_of(70)
    for size in range(71):
        assert Frontier().extend(leaves[:size]).root() == naive.root(leaves[:size]), size


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == naive.root([])


def test_extending_in_parts_and_at_once_gives_the_same_frontier() -> None:
    leaves = naive.leaves_of(70)
    whole = Frontier().extend(leaves)
    for cut in range(71):
        assert Frontier().extend(leaves[:cut]).extend(leaves[cut:]) == whole


def test_a_frontier_has_one_hash_for_each_set_bit_of_its_size_and_comes_back_from_its_bytes() -> None:
    frontier = Frontier()
    for leaf in naive.leaves_of(70):
        frontier = frontier.extend([leaf])
        assert len(frontier.hashes) == frontier.size.bit_count()
        assert Frontier.from_bytes(frontier.size, frontier.to_bytes()) == frontier


def test_extending_leaves_the_frontier_it_started_from_as_it_was() -> None:
    before = Frontier().extend(naive.leaves_of(3))
    kept = before.hashes
    before.extend(naive.leaves_of(5))
    assert before.hashes == kept


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 31), (1, 33), (3, 32), (4, 64), (-1, 0)])
def test_a_frontier_whose_bytes_do_not_fit_its_size_is_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match=f"{length} bytes"):
        Frontier.from_bytes(size, bytes(length))


def test_a_leaf_can_never_pass_for_a_node() -> None:
    left, right = naive.leaves_of(2)
    assert leaf_hash(left + right) != Frontier().extend([left, right]).root()

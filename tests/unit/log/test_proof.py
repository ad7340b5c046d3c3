"""Proofs: reference vectors, every pair of sizes up to 70, and no altered proof that passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from tenuto.log.proof import (
    EXTRA_BYTES_MAX,
    PROOF_HASHES_MAX,
    PROOF_TEXT_BYTES_MAX,
    LogProof,
    ProofRefused,
    consistency_proof,
    inclusion_proof,
    parse_log_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

from tests.unit.log import naive
from tests.unit.log.naive import Leaves, flipped

SIZES = 70
LEAVES = naive.leaves_of(SIZES)
ROOTS = [naive.root(LEAVES[:size]) for size in range(SIZES + 1)]
CT_LEAVES = [leaf_hash(entry) for entry in naive.CT_ENTRIES]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"


@pytest.mark.parametrize(
    ("index", "size", "hashes"),
    [
        (0, 1, []),
        (0, 8, [A, B, C]),
        (5, 8, [D, E, naive.CT_ROOTS[4]]),
        (2, 3, [naive.CT_ROOTS[2]]),
        (1, 5, [naive.CT_ROOTS[1], B, D]),
    ],
)
def test_inclusion_proofs_are_those_of_the_reference_tests(index: int, size: int, hashes: list[str]) -> None:
    proof = inclusion_proof(index, size, Leaves(CT_LEAVES))
    assert [proof_hash.hex() for proof_hash in proof] == hashes
    verify_inclusion(CT_LEAVES[index], index, size, proof, bytes.fromhex(naive.CT_ROOTS[size]))


@pytest.mark.parametrize(
    ("old", "new", "hashes"), [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [F, E, naive.CT_ROOTS[4]]), (2, 5, [B, D])]
)
def test_consistency_proofs_are_those_of_the_reference_tests(old: int, new: int, hashes: list[str]) -> None:
    proof = consistency_proof(old, new, Leaves(CT_LEAVES))
    assert [proof_hash.hex() for proof_hash in proof] == hashes
    verify_consistency(old, bytes.fromhex(naive.CT_ROOTS[old]), new, bytes.fromhex(naive.CT_ROOTS[new]), proof)


def test_every_inclusion_proof_up_to_size_70_is_that_of_the_definition_and_verifies() -> None:
    for size in range(1, SIZES + 1):
        source = Leaves(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, source)
            assert list(proof) == naive.path(index, LEAVES[:size])
            verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof_up_to_size_70_is_that_of_the_definition_and_verifies() -> None:
    for new in range(SIZES + 1):
        source = Leaves(LEAVES[:new])
        for old in range(new + 1):
            proof = consistency_proof(old, new, source)
            assert list(proof) == ([] if old == 0 else naive.consistency(old, LEAVES[:new]))
            verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def test_the_root_from_a_hash_source_is_that_of_the_frontier() -> None:
    for size in range(SIZES + 1):
        assert tree_root(size, Leaves(LEAVES)) == Frontier().extend(LEAVES[:size]).root()


def test_no_byte_of_an_inclusion_proof_can_change() -> None:
    for size in (1, 2, 3, 7, 8, 13):
        for index in range(size):
            proof = inclusion_proof(index, size, Leaves(LEAVES))
            for number, proof_hash in enumerate(proof):
                for place in range(32):
                    altered = [*proof[:number], flipped(proof_hash, place), *proof[number + 1 :]]
                    with pytest.raises(ProofRefused):
                        verify_inclusion(LEAVES[index], index, size, altered, ROOTS[size])


def test_no_byte_of_a_consistency_proof_can_change() -> None:
    for new in (2, 3, 7, 8, 13):
        for old in range(1, new):
            proof = consistency_proof(old, new, Leaves(LEAVES))
            for number, proof_hash in enumerate(proof):
                for place in range(32):
                    altered = [*proof[:number], flipped(proof_hash, place), *proof[number + 1 :]]
                    with pytest.raises(ProofRefused):
                        verify_consistency(old, ROOTS[old], new, ROOTS[new], altered)


def test_an_inclusion_proof_proves_one_leaf_at_one_index_of_one_root_only() -> None:
    for size in range(2, 20):
        for index in range(size):
            proof = inclusion_proof(index, size, Leaves(LEAVES))
            for other in range(-1, size + 1):
                if other != index:
                    with pytest.raises(ProofRefused):
                        verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])
            for wrong in (proof[:-1], proof[1:], (*proof, LEAVES[0]), (LEAVES[0], *proof)):
                with pytest.raises(ProofRefused):
                    verify_inclusion(LEAVES[index], index, size, wrong, ROOTS[size])
            with pytest.raises(ProofRefused):
                verify_inclusion(LEAVES[(index + 1) % size], index, size, proof, ROOTS[size])
            with pytest.raises(ProofRefused):
                verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size - 1])


def test_a_consistency_proof_proves_one_pair_of_trees_only() -> None:
    for new in range(2, 20):
        for old in range(1, new):
            proof = consistency_proof(old, new, Leaves(LEAVES))
            for wrong in (proof[:-1], proof[1:], (*proof, LEAVES[0]), (LEAVES[0], *proof)):
                with pytest.raises(ProofRefused):
                    verify_consistency(old, ROOTS[old], new, ROOTS[new], wrong)
            for old_root, new_root in ((ROOTS[old - 1], ROOTS[new]), (ROOTS[old], ROOTS[new + 1])):
                with pytest.raises(ProofRefused):
                    verify_consistency(old, old_root, new, new_root, proof)


@pytest.mark.parametrize("claimed", [3, 4, 5, 8, 1 << 40])
def test_a_consistency_proof_is_not_one_for_a_larger_log_of_the_same_root(claimed: int) -> None:
    proof = consistency_proof(1, 2, Leaves(LEAVES))
    with pytest.raises(ProofRefused, match="too few"):
        verify_consistency(1, ROOTS[1], claimed, ROOTS[2], proof)


def test_from_the_empty_tree_and_from_a_tree_to_itself_only_the_empty_proof_counts() -> None:
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[5], ())
    verify_consistency(5, ROOTS[5], 5, ROOTS[5], ())
    for case in ((0, EMPTY_ROOT, 5, ROOTS[5], (ROOTS[1],)), (5, ROOTS[5], 5, ROOTS[5], (ROOTS[1],)),
                 (0, ROOTS[1], 5, ROOTS[5], ()), (5, ROOTS[5], 5, ROOTS[4], ())):  # fmt: skip
        with pytest.raises(ProofRefused):
            verify_consistency(*case)


def test_a_shrinking_log_has_no_consistency_proof() -> None:
    with pytest.raises(ProofRefused, match="cannot extend"):
        consistency_proof(5, 4, Leaves(LEAVES))
    with pytest.raises(ProofRefused, match="cannot extend"):
        verify_consistency(5, ROOTS[5], 4, ROOTS[4], ())


def test_there_is_no_proof_for_an_entry_outside_the_log() -> None:
    for index in (-1, 5):
        with pytest.raises(ProofRefused):
            inclusion_proof(index, 5, Leaves(LEAVES))


def test_a_proof_of_64_hashes_is_judged_and_one_of_65_refused_unseen() -> None:
    with pytest.raises(ProofRefused, match="does not lead"):
        verify_inclusion(LEAVES[0], (1 << 62) + 5, (1 << 63) - 1, [LEAVES[0]] * 62, ROOTS[5])
    with pytest.raises(ProofRefused, match="65 hashes; at most 64"):
        verify_inclusion(LEAVES[0], 0, 5, [LEAVES[0]] * (PROOF_HASHES_MAX + 1), ROOTS[5])
    with pytest.raises(ProofRefused, match="65 hashes; at most 64"):
        verify_consistency(1, ROOTS[1], 5, ROOTS[5], [LEAVES[0]] * (PROOF_HASHES_MAX + 1))


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(ProofRefused, match="not 32 bytes"):
        verify_inclusion(LEAVES[0], 0, 2, [LEAVES[1] + b"x"], ROOTS[2])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.lists(st.sampled_from(LEAVES[:8] + ROOTS[:8]), max_size=8))
def test_random_hashes_prove_nothing(old: int, new: int, proof: list[bytes]) -> None:
    if old in (0, new) or proof == naive.consistency(old, LEAVES[:new]) if old <= new else False:
        return
    with pytest.raises(ProofRefused):
        verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


NOTE = b"example.com/log\n5\nroot\n\n\xe2\x80\x94 example.com/log AAAA\n"


@pytest.mark.parametrize(
    "proof",
    [LogProof(0, (), NOTE), LogProof(3, tuple(LEAVES[:3]), NOTE), LogProof(1 << 40, (LEAVES[0],), NOTE, b"extra")],
)
def test_a_proof_text_comes_back_as_it_was(proof: LogProof) -> None:
    assert parse_log_proof(proof.to_text()) == proof
    assert parse_log_proof(proof.to_text()).to_text() == proof.to_text()


def test_a_proof_text_has_the_lines_of_the_specification() -> None:
    lines = LogProof(3, (bytes(32),), NOTE, b"x").to_text().split(b"\n")
    assert lines[:5] == [b"c2sp.org/tlog-proof@v1", b"extra eA==", b"index 3", b"A" * 43 + b"=", b""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "begins with the line"),
        (b"c2sp.org/tlog-proof@v2\nindex 3\n\n" + NOTE, "begins with the line"),
        (b"c2sp.org/tlog-proof@v1\nindex 3\n", "begins with the line"),
        (b"c2sp.org/tlog-proof@v1\n\n" + NOTE, "index"),
        (b"c2sp.org/tlog-proof@v1\nindex 03\n\n" + NOTE, "malformed"),
        (b"c2sp.org/tlog-proof@v1\nindex -1\n\n" + NOTE, "malformed"),
        (b"c2sp.org/tlog-proof@v1\nextra eB==\nindex 3\n\n" + NOTE, "malformed"),
        (b"c2sp.org/tlog-proof@v1\nindex 3\n" + b"A" * 42 + b"==\n\n" + NOTE, "refused|not 32"),
        (b"c2sp.org/tlog-proof@v1\nindex 3\n" + (b"A" * 43 + b"=\n") * 65 + b"\n" + NOTE, "65 hashes"),
    ],
)
def test_a_malformed_proof_text_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(ProofRefused, match=sentence):
        parse_log_proof(text)


def test_a_proof_text_is_bounded() -> None:
    assert parse_log_proof(LogProof(0, (), NOTE, bytes(EXTRA_BYTES_MAX)).to_text()).extra == bytes(EXTRA_BYTES_MAX)
    with pytest.raises(ProofRefused, match="extra bytes"):
        parse_log_proof(LogProof(0, (), NOTE, bytes(EXTRA_BYTES_MAX + 1)).to_text())
    with pytest.raises(ProofRefused, match="at most"):
        parse_log_proof(bytes(PROOF_TEXT_BYTES_MAX + 1))


def test_the_empty_tree_has_one_root_on_both_sides_of_a_consistency_proof() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    for roots in ((EMPTY_ROOT, ROOTS[1]), (ROOTS[1], EMPTY_ROOT), (ROOTS[1], ROOTS[1])):
        with pytest.raises(ProofRefused):
            verify_consistency(0, roots[0], 0, roots[1], ())


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_leaf_or_a_root_that_is_no_hash_is_refused_even_where_both_are_the_same(length: int) -> None:
    other = bytes(length)
    with pytest.raises(ProofRefused, match="not 32 bytes"):
        verify_inclusion(other, 0, 1, (), other)
    with pytest.raises(ProofRefused, match="not 32 bytes"):
        verify_consistency(3, other, 3, other, ())

"""Our tree and our proofs beside two that we did not write: transparency-dev/merkle and the Go project's sumdb/tlog."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tenuto.errors import Refused
from tenuto.log.checkpoint import SIZE_MAX
from tenuto.log.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash
from tenuto.log.proof import consistency_proof, inclusion_proof, tree_root, verify_consistency, verify_inclusion

from tests.interop.edge_proofs import (
    Consistency,
    Inclusion,
    bent_consistencies,
    bent_inclusions,
    extended,
    included,
)
from tests.interop.foreign import ForeignPrograms
from tests.unit.log.naive import CT_ENTRIES, CT_ROOTS, Leaves, leaves_of

SIZES = 72
TLOG_SIZE_MAX = 2**62
BENT_EVERY = 7
HUGE_TREES = 150


def accepted(verify: Callable[..., None], *claim: object) -> bool:
    try:
        verify(*claim)
    except Refused:
        return False
    return True


def includes(claim: Inclusion) -> bool:
    return accepted(verify_inclusion, claim.leaf, claim.index, claim.size, claim.proof, claim.root)


def extends(claim: Consistency) -> bool:
    return accepted(verify_consistency, claim.old, claim.old_root, claim.new, claim.new_root, claim.proof)


def asked_inclusion(claim: Inclusion) -> dict[str, Any]:
    return {
        "op": "inclusion", "leaf": claim.leaf.hex(), "index": str(claim.index), "size": str(claim.size),
        "proof": [one.hex() for one in claim.proof], "root": claim.root.hex(),
    }  # fmt: skip


def asked_consistency(claim: Consistency) -> dict[str, Any]:
    return {
        "op": "consistency", "old": str(claim.old), "old_root": claim.old_root.hex(), "new": str(claim.new),
        "new_root": claim.new_root.hex(), "proof": [one.hex() for one in claim.proof],
    }  # fmt: skip


def demand_the_same_tree(found: dict[str, Any], leaves: Sequence[bytes]) -> None:
    """Roots from the frontier and from subtrees, and every proof of every size, hash for hash."""
    frontier = Frontier()
    for size in range(len(leaves) + 1):
        source = Leaves(leaves[:size])
        assert found["roots"][size] == frontier.root().hex() == tree_root(size, source).hex()
        for index in range(size):
            assert found["inclusion"][size][index] == [one.hex() for one in inclusion_proof(index, size, source)]
        for old in range(size + 1):
            assert found["consistency"][size][old] == [one.hex() for one in consistency_proof(old, size, source)]
        frontier = frontier.extend(leaves[size : size + 1])


def test_the_reference_tree_of_certificate_transparency_is_ours(programs: ForeignPrograms) -> None:
    (found,) = programs.judge([{"op": "reference"}])
    assert [bytes.fromhex(entry) for entry in found["entries"]] == CT_ENTRIES
    assert found["roots"] == CT_ROOTS
    demand_the_same_tree(found, [leaf_hash(entry) for entry in CT_ENTRIES])


def test_every_proof_of_every_tree_up_to_72_leaves_is_the_one_that_others_make(programs: ForeignPrograms) -> None:
    leaves = leaves_of(SIZES)
    (found,) = programs.judge([{"op": "tree", "leaves": [leaf.hex() for leaf in leaves]}])
    assert len(found["roots"]) == SIZES + 1
    demand_the_same_tree(found, leaves)


def demand_inclusions(programs: ForeignPrograms, claims: Sequence[Inclusion]) -> Counter[str]:
    """The three verdicts on each claim agree, except that we know no tree above 2^63 - 1 and tlog none above 2^62."""
    verdicts = Counter[str]()
    for claim, found in zip(claims, programs.judge([asked_inclusion(claim) for claim in claims]), strict=True):
        ours = includes(claim)
        assert found["tlog"] is ours or (claim.size > TLOG_SIZE_MAX and not found["tlog"]), claim
        assert found["merkle"] is ours or (claim.size > SIZE_MAX and not ours), claim
        verdicts[f"{claim.kind}: {ours}"] += 1
    return verdicts


def demand_consistencies(programs: ForeignPrograms, claims: Sequence[Consistency]) -> Counter[str]:
    """As for inclusion; and where others do not look at the root of an empty tree, or at the length of a root, we do."""
    verdicts = Counter[str]()
    for claim, found in zip(claims, programs.judge([asked_consistency(claim) for claim in claims]), strict=True):
        ours = extends(claim)
        if claim.old == 0:
            assert not found["tlog"], "it calls every question about the empty tree invalid"
            assert ours is (found["merkle"] and is_sound_from_nothing(claim)), claim
        else:
            assert found["tlog"] is ours or (claim.new > TLOG_SIZE_MAX and not found["tlog"]), claim
            unlike = claim.new > SIZE_MAX or len(claim.old_root) != HASH_BYTES
            assert found["merkle"] is ours or (unlike and not ours), claim
        verdicts[f"{claim.kind}: {ours}"] += 1
    return verdicts


def is_sound_from_nothing(claim: Consistency) -> bool:
    """What we ask of a claim that begins with the empty tree, beyond that its proof is empty."""
    roots = (claim.old_root, claim.new_root) if claim.new == 0 else (claim.old_root,)
    return all(root == EMPTY_ROOT for root in roots) and len(claim.new_root) == HASH_BYTES and claim.new <= SIZE_MAX


def test_every_small_inclusion_is_judged_alike_true_or_bent(programs: ForeignPrograms) -> None:
    chance = random.Random(1)
    claims: list[Inclusion] = []
    for size in range(1, SIZES + 1):
        for index in range(size):
            claims.append(included(chance, index, size))
            if size < 18 or (size + index) % BENT_EVERY == 0:
                claims += bent_inclusions(chance, claims[-1])
    verdicts = demand_inclusions(programs, claims)
    assert verdicts["true: True"] == SIZES * (SIZES + 1) // 2
    assert verdicts["one altered: True"] == verdicts["leaf is root: True"] == 0
    assert verdicts["one altered: False"] > 300


def test_every_small_consistency_is_judged_alike_true_or_bent(programs: ForeignPrograms) -> None:
    chance = random.Random(2)
    claims: list[Consistency] = []
    for new in range(SIZES + 1):
        for old in range(new + 1):
            claims.append(extended(chance, old, new))
            if new < 18 or (new + old) % BENT_EVERY == 0:
                claims += bent_consistencies(chance, claims[-1])
    verdicts = demand_consistencies(programs, claims)
    assert verdicts["true: True"] == (SIZES + 1) * (SIZES + 2) // 2
    assert verdicts["one altered: True"] == verdicts["short roots: True"] == 0
    assert verdicts["one altered: False"] > 300


def claims_of_any_size(chance: random.Random, trees: int) -> tuple[list[Inclusion], list[Consistency]]:
    inclusions: list[Inclusion] = []
    consistencies: list[Consistency] = []
    for number in range(trees):
        size = SIZE_MAX - number if number < 8 else chance.randrange(1, 1 << chance.randrange(1, 65))
        part = chance.choice((0, size - 1, chance.randrange(size), (1 << size.bit_length() - 1) - 1))
        inclusions.append(included(chance, part, size))
        inclusions += bent_inclusions(chance, inclusions[-1])
        consistencies.append(extended(chance, part, size))
        consistencies += bent_consistencies(chance, consistencies[-1])
    return inclusions, consistencies


def test_proofs_in_trees_of_any_size_are_judged_alike(programs: ForeignPrograms) -> None:
    inclusions, consistencies = claims_of_any_size(random.Random(3), HUGE_TREES)
    found = demand_inclusions(programs, inclusions)
    assert found["true: True"] == sum(one.kind == "true" and one.size <= SIZE_MAX for one in inclusions) > HUGE_TREES // 2
    found = demand_consistencies(programs, consistencies)
    assert found["true: True"] == sum(one.kind == "true" and one.new <= SIZE_MAX for one in consistencies) > HUGE_TREES // 2

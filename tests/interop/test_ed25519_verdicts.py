"""Our verdict on signatures from the edges of the curve, beside those of Go, of Wycheproof and of the bare arithmetic."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tenuto.errors import Refused
from tenuto.log.note import ED25519, NoteSignature, NoteVerifier
from tenuto.signing import PUBLIC_KEY_BYTES, pae, verify_header, verify_public_key, verify_signature

from tests.interop.edge_signatures import ABOVE_THE_PRIME, Edge, edges
from tests.interop.foreign import ForeignPrograms
from tests.unit.edwards25519 import decompress, holds, is_degenerate
from tests.unit.test_signing import DEGENERATE

ROUNDS = 60
ROUNDS_IN_ARITHMETIC = 8
STRICTER = {"small_key", "small_key_and_r", "respelled_small_key", "respelled_small_key_and_r", "small_r"}
"""The kinds of which Go accepts some and we accept none: the equation holds, and proves nothing."""


def accepts(message: bytes, signature: bytes, key: bytes) -> bool:
    try:
        verify_signature(message, signature, key)
    except Refused:
        return False
    return True


def accepts_note(message: bytes, signature: bytes, key: bytes) -> bool:
    verifier = NoteVerifier("anybody", ED25519, key)
    try:
        verifier.verify(message, NoteSignature(verifier.name, verifier.key_id, signature))
    except Refused:
        return False
    return True


def accepts_header(header: bytes, signature: bytes, key: bytes) -> bool:
    try:
        verify_header(header, signature, key)
    except Refused:
        return False
    return True


def may_be_registered(key: bytes) -> bool:
    try:
        verify_public_key(key)
    except Refused:
        return False
    return True


def go_verdicts(programs: ForeignPrograms, cases: list[Edge]) -> list[bool]:
    asked = [
        {"op": "ed25519", "key": case.key.hex(), "message": case.message.hex(), "signature": case.signature.hex()}
        for case in cases
    ]
    return [answer["go"] for answer in programs.judge(asked)]


def test_every_vector_of_wycheproof_has_the_result_that_it_must_have(wycheproof_ed25519: dict[str, Any]) -> None:
    results: Counter[str] = Counter()
    for group in wycheproof_ed25519["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        assert may_be_registered(key)
        for vector in group["tests"]:
            message, signature = bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"])
            for found in (accepts(message, signature, key), accepts_note(message, signature, key)):
                assert found is (vector["result"] == "valid"), f"{vector['tcId']}: {vector['comment']}"
            results[vector["result"]] += 1
    assert results.total() == wycheproof_ed25519["numberOfTests"]
    assert results == {"valid": 88, "invalid": 63}


def demand_edges(programs: ForeignPrograms, cases: list[Edge]) -> tuple[Counter[str], set[str]]:
    """Return how many of each kind we accept, and of which kinds Go accepts more; only we may be the stricter."""
    accepted: Counter[str] = Counter()
    stricter: set[str] = set()
    for case, go in zip(cases, go_verdicts(programs, cases), strict=True):
        ours = accepts(case.message, case.signature, case.key)
        assert accepts_note(case.message, case.signature, case.key) is ours
        if ours is not go:
            assert go, f"only we accept {case}"
            assert is_degenerate(case.key) or is_degenerate(case.signature[:32]), case
            stricter.add(case.kind)
        accepted[case.kind] += ours
    return accepted, stricter


def test_we_accept_nothing_that_go_refuses_and_refuse_more_only_where_a_point_is_degenerate(
    programs: ForeignPrograms,
) -> None:
    cases = list(edges(20261126, ROUNDS))
    assert len(cases) > 5_000
    accepted, stricter = demand_edges(programs, cases)
    assert stricter == STRICTER
    # A key of mixed order verifies now and then, here as with Go; what keeps it out is its registration.
    assert set(+accepted) == {"honest", "mixed_key", "mixed_key_and_r"}
    assert accepted["honest"] == ROUNDS


def test_go_says_what_the_bare_equation_says(programs: ForeignPrograms) -> None:
    cases = list(edges(7, ROUNDS_IN_ARITHMETIC))
    for case, go in zip(cases, go_verdicts(programs, cases), strict=True):
        assert holds(case.message, case.signature, case.key) is go, case


def test_an_events_header_is_judged_by_the_same_verdict() -> None:
    for case in edges(8, 2):
        found = accepts_header(case.message, case.signature, case.key)
        assert found is accepts(pae(case.message), case.signature, case.key)


def test_no_key_from_the_edges_can_be_registered() -> None:
    for case in edges(9, 3):
        if case.kind in ("small_key", "respelled_small_key", "mixed_key", "key_above_the_prime", "key_of_another_length"):
            assert not may_be_registered(case.key), case
    for key in (*map(bytes.fromhex, DEGENERATE.values()), *ABOVE_THE_PRIME):
        assert len(key) == PUBLIC_KEY_BYTES
        assert not may_be_registered(key)
        assert is_degenerate(key)


def test_there_are_keys_above_the_prime_that_are_no_points_of_small_order() -> None:
    """So what refuses them is their spelling."""
    points = 0
    for key in ABOVE_THE_PRIME:
        try:
            decompress(key)
        except ValueError:
            continue
        points += key.hex() not in DEGENERATE.values()
    assert points > 0


@pytest.mark.parametrize("name", DEGENERATE)
def test_no_degenerate_key_verifies_a_header_that_go_would_let_pass(programs: ForeignPrograms, name: str) -> None:
    """With R of the identity and S of 0, until Go accepts one: the forgery is real, and refused."""
    key, forged = bytes.fromhex(DEGENERATE[name]), (1).to_bytes(32, "little") + bytes(32)
    headers = [b"header %d" % number for number in range(64)]
    cases = [Edge(name, key, pae(header), forged) for header in headers]
    assert any(go_verdicts(programs, cases))
    assert not any(accepts_header(header, forged, key) for header in headers)

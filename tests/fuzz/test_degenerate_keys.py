"""No key under which a signature proves nothing gets in anywhere: not by registration or rotation, a pin, a policy or a note."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from nacl import bindings
from tenuto.bundle.head import pinned_keyring
from tenuto.errors import Refused
from tenuto.events import KeyRegistered, KeyRotated
from tenuto.keyring import Keyring
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.note import COSIGNATURE, ED25519, NoteVerifier
from tenuto.log.witnessing import parse_policy
from tenuto.signing import SignatureRefused, key_id, pae, verify_header, verify_public_key

from tests.fuzz import world
from tests.golden.world import AUTHORS, ORIGIN, common, signer
from tests.unit.edwards25519 import P, holds, is_degenerate
from tests.unit.test_signing import NOT_CANONICAL, RFC_8032, SMALL_ORDER

GOOD = signer("deployment").public_key
SMALL = [bytes.fromhex(encoding) for encoding in SMALL_ORDER.values()]
RESPELLED = [bytes.fromhex(encoding) for encoding in NOT_CANONICAL.values()]
ABOVE_THE_PRIME = [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]
MIXED = [bindings.crypto_core_ed25519_add(GOOD, point) for point in SMALL[1:]]
NO_POINTS = [(2).to_bytes(32, "little"), b"\xff" * 32]
BAD = list(dict.fromkeys([*SMALL, *RESPELLED, *ABOVE_THE_PRIME, *MIXED, *NO_POINTS]))


def registered(key: bytes) -> None:
    subject = KeyRegistered(
        **common("root", seq=1), subject="newcomer", subject_key_id=key_id(key), public_key=key.hex(), role="agent", owner="o"
    )  # fmt: skip
    Keyring(signer("root").public_key).apply(subject, 1)


def rotated(key: bytes) -> None:
    author = next(iter(AUTHORS))
    event = KeyRotated(
        **common(author, seq=1), subject=author, old_key_id=signer(author).key_id, subject_key_id=key_id(key),
        public_key=key.hex(),
    )  # fmt: skip
    world.ring().apply(event, 20)


def pinned(key: bytes) -> None:
    pinned_keyring(replace(world.TRUST, root_public_key=key.hex()))


def log_key(key: bytes) -> None:
    parse_checkpoint(world.note(), NoteVerifier(ORIGIN, ED25519, key).vkey, ORIGIN)


def log_in_a_policy(key: bytes) -> None:
    parse_policy(f"log {NoteVerifier(ORIGIN, ED25519, key).vkey}\nquorum none\n")


def witness_in_a_policy(key: bytes) -> None:
    parse_policy(f"witness w {NoteVerifier('w.example', COSIGNATURE, key).vkey}\nquorum w\n")


WAYS_IN: list[Callable[[bytes], None]] = [
    verify_public_key, registered, rotated, pinned, log_key, log_in_a_policy, witness_in_a_policy,
]  # fmt: skip


def test_there_are_as_many_bad_keys_as_the_curve_has() -> None:
    assert len(SMALL) == 8
    assert len(ABOVE_THE_PRIME) == 38
    assert len(BAD) == 8 + 2 + 38 + 7 + 1  # two of the six respellings lie below the prime, and 2^256 - 1 above it
    assert all(is_degenerate(key) for key in BAD if key not in MIXED)


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: str(way.__name__))
def test_no_such_key_comes_in(way: Callable[[bytes], Any]) -> None:
    for key in BAD:
        with pytest.raises(Refused):
            way(key)


@pytest.mark.parametrize("way", [way for way in WAYS_IN if way not in (log_key, pinned)], ids=lambda way: str(way.__name__))
def test_a_good_key_comes_in_there(way: Callable[[bytes], Any]) -> None:
    way(signer("newcomer").public_key)


@pytest.mark.parametrize("key", [*SMALL, *RESPELLED], ids=lambda key: key.hex())
def test_where_such_a_key_is_used_all_the_same_nothing_verifies_under_it(key: bytes) -> None:
    """The equation holds for one message in eight at least, for the smallest orders always: that is why it proves nothing."""
    forged = (1).to_bytes(32, "little") + bytes(32)
    headers = [b"header %d" % number for number in range(32)]
    assert any(holds(pae(header), forged, key) for header in headers)
    for header in headers:
        with pytest.raises(SignatureRefused):
            verify_header(header, forged, key)


def test_the_bare_equation_of_these_tests_is_that_of_rfc_8032() -> None:
    for _, key, message, signature in RFC_8032:
        good = bytes.fromhex(message), bytes.fromhex(signature), bytes.fromhex(key)
        assert holds(*good)
        assert not holds(good[0] + b"!", *good[1:])

"""A signature proves that its author signed these bytes, or it proves nothing and is refused."""

from __future__ import annotations

import hashlib

import pytest
from nacl import bindings
from tenuto.signing import (
    EVENT_TYPE,
    KeyRefused,
    SeedSigner,
    SignatureRefused,
    key_id,
    pae,
    sign_header,
    verify_header,
    verify_public_key,
    verify_signature,
)

from tests.unit.edwards25519 import IDENTITY, ORDER, decompress, times_eight

HEADER = b'{"kind":"tool.started"}'
SIGNER = SeedSigner("deployment", bytes(range(32)))
SIGNATURE = sign_header(SIGNER, HEADER)

# RFC 8032, section 7.1: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]

SMALL_ORDER = {
    "order_1": "0100000000000000000000000000000000000000000000000000000000000000",
    "order_2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "order_4_even": "0000000000000000000000000000000000000000000000000000000000000000",
    "order_4_odd": "0000000000000000000000000000000000000000000000000000000000000080",
    "order_8_a_even": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order_8_a_odd": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "order_8_b_even": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "order_8_b_odd": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}
NOT_CANONICAL = {
    "order_1_with_a_sign": "0100000000000000000000000000000000000000000000000000000000000080",
    "order_2_with_a_sign": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "zero_as_p": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "zero_as_p_with_a_sign": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "one_as_p_plus_1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "one_as_p_plus_1_with_a_sign": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}
DEGENERATE = SMALL_ORDER | NOT_CANONICAL


@pytest.mark.parametrize(("seed", "public_key", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_hold(seed: str, public_key: str, message: str, signature: str) -> None:
    signer = SeedSigner("anybody", bytes.fromhex(seed))
    assert signer.public_key.hex() == public_key
    assert signer.sign(bytes.fromhex(message)).hex() == signature
    verify_signature(bytes.fromhex(message), bytes.fromhex(signature), bytes.fromhex(public_key))
    with pytest.raises(SignatureRefused):
        verify_signature(bytes.fromhex(message) + b"!", bytes.fromhex(signature), bytes.fromhex(public_key))


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    assert EVENT_TYPE == b"application/vnd.tenuto.event.v1+json"
    assert pae(b"hello") == b"DSSEv1 36 application/vnd.tenuto.event.v1+json 5 hello"
    assert pae(b"") == b"DSSEv1 36 application/vnd.tenuto.event.v1+json 0 "


def test_what_was_signed_is_accepted_in_silence() -> None:
    assert verify_header(HEADER, SIGNATURE, SIGNER.public_key) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("position", range(64 * 8))
def test_no_bit_of_a_signature_may_change(position: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, bytes(changed), SIGNER.public_key)


@pytest.mark.parametrize("header", [HEADER + b" ", HEADER[:-1], b"", HEADER.replace(b"started", b"stopped")])
def test_a_signature_over_other_bytes_is_refused(header: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify_header(header, SIGNATURE, SIGNER.public_key)


def test_a_signature_by_another_key_is_refused() -> None:
    other = SeedSigner("deployment", bytes(32))
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, sign_header(other, HEADER), SIGNER.public_key)


def test_a_signature_over_the_bare_header_is_refused_because_the_type_is_signed_too() -> None:
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, SIGNER.sign(HEADER), SIGNER.public_key)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, (SIGNATURE * 2)[:length], SIGNER.public_key)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    key = (SIGNER.public_key * 2)[:length]
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, SIGNATURE, key)
    with pytest.raises(KeyRefused, match="32 bytes"):
        verify_public_key(key)


def test_the_second_spelling_of_a_signature_is_refused() -> None:
    """S + L satisfies the same equation; RFC 8032 5.1.7 demands S < L, or one signature would have two spellings."""
    scalar = int.from_bytes(SIGNATURE[32:], "little")
    other = SIGNATURE[:32] + (scalar + ORDER).to_bytes(32, "little")
    with pytest.raises(SignatureRefused):
        verify_header(HEADER, other, SIGNER.public_key)


@pytest.mark.parametrize("name", DEGENERATE)
def test_the_degenerate_points_of_this_file_are_on_the_curve_and_of_small_order(name: str) -> None:
    assert times_eight(decompress(bytes.fromhex(DEGENERATE[name]))) == IDENTITY


def test_the_eight_points_are_all_there_are() -> None:
    assert len({decompress(bytes.fromhex(encoding)) for encoding in SMALL_ORDER.values()}) == 8


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_key_cannot_be_registered(name: str) -> None:
    with pytest.raises(KeyRefused, match="degenerate"):
        verify_public_key(bytes.fromhex(DEGENERATE[name]))


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("commitment", DEGENERATE)
def test_nothing_verifies_under_a_degenerate_key(name: str, commitment: str) -> None:
    """With R of small order and S = 0 the bare equation holds for one message in eight at least."""
    key, forged = bytes.fromhex(DEGENERATE[name]), bytes.fromhex(DEGENERATE[commitment]) + bytes(32)
    for number in range(16):
        with pytest.raises(SignatureRefused):
            verify_header(b"header %d" % number, forged, key)


@pytest.mark.parametrize("name", [name for name in SMALL_ORDER if name != "order_1"])
def test_a_good_key_moved_by_a_point_of_small_order_cannot_be_registered(name: str) -> None:
    moved = bindings.crypto_core_ed25519_add(SIGNER.public_key, bytes.fromhex(SMALL_ORDER[name]))
    with pytest.raises(KeyRefused):
        verify_public_key(moved)


def test_bytes_that_are_no_point_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="not on the curve"):
        decompress((2).to_bytes(32, "little"))
    with pytest.raises(KeyRefused):
        verify_public_key((2).to_bytes(32, "little"))


def test_a_good_key_is_accepted_and_named_by_its_hash() -> None:
    verify_public_key(SIGNER.public_key)
    assert key_id(SIGNER.public_key) == hashlib.sha256(SIGNER.public_key).hexdigest()[:16] == SIGNER.key_id


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyRefused, match="seed has 32 bytes"):
        SeedSigner("deployment", bytes(length))

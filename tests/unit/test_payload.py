"""A payload is the one its header commits to, and it can be read by those it was sealed to and by nobody else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from tenuto.events import PAYLOAD_BYTES_MAX
from tenuto.keytree import KeyTree
from tenuto.payload import (
    EXCHANGE_BYTES,
    EXCHANGE_PAYLOADS_MAX,
    EXCHANGE_SECONDS_MAX,
    EXCHANGES_KEPT_MAX,
    SALT_BYTES,
    SEALED_KEY_BYTES,
    TAG_BYTES,
    WRAPPED_KEY_BYTES,
    Ciphertext,
    PayloadRefused,
    PayloadSealer,
    Sealed,
    SealOpener,
    commitment,
    open_payload,
    reseal,
    seal,
    unwrap_key,
    wrap_key,
)
from tenuto.signing import SeedSigner

from tests.golden.world import box

PUBLIC, SECRET = bindings.crypto_box_seed_keypair(b"e" * 32)
STORAGE_KEY = KeyTree.whole(b"s" * 32)
TEXT = b"rm -rf build"


def opened(plaintext: bytes) -> tuple[Ciphertext, bytes, str]:
    """Ciphertext, payload key and commitment of a sealed payload."""
    sealed, commit = seal(plaintext, PUBLIC)
    return sealed.ciphertext, SealOpener(SECRET).open(sealed), commit


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_what_was_sealed_opens_to_the_same_bytes(plaintext: bytes) -> None:
    ciphertext, key, commit = opened(plaintext)
    assert open_payload(ciphertext, key, commit, len(plaintext)) == plaintext


def test_the_commitment_is_a_salted_hash_apart_from_leaves_and_nodes() -> None:
    assert commitment(b"salt", b"text") == hashlib.sha256(b"\x02salttext").digest()


def test_the_same_text_twice_has_two_keys_two_salts_and_two_commitments() -> None:
    (first, key, commit), (second, other_key, other_commit) = opened(TEXT), opened(TEXT)
    assert key != other_key
    assert commit != other_commit
    assert first.nonce != second.nonce
    assert first.body != second.body


def test_sizes_are_as_the_envelope_reckons_them() -> None:
    sealed, _ = seal(TEXT, PUBLIC)
    assert len(sealed.sealed_key) == SEALED_KEY_BYTES
    assert len(sealed.ciphertext.body) == SALT_BYTES + len(TEXT) + TAG_BYTES
    assert len(wrap_key(b"k" * 32, STORAGE_KEY, bytes(32))) == WRAPPED_KEY_BYTES


def test_a_payload_is_refused_one_byte_above_its_limit() -> None:
    ciphertext, key, commit = opened(bytes(PAYLOAD_BYTES_MAX))
    assert len(open_payload(ciphertext, key, commit, PAYLOAD_BYTES_MAX)) == PAYLOAD_BYTES_MAX
    with pytest.raises(PayloadRefused, match="Store it elsewhere") as caught:
        seal(bytes(PAYLOAD_BYTES_MAX + 1), PUBLIC)
    assert caught.value.reason == "oversized"


def test_another_epoch_key_does_not_open_the_payload_key() -> None:
    sealed, _ = seal(TEXT, PUBLIC)
    with pytest.raises(PayloadRefused, match="epoch key"):
        SealOpener(b"f" * 32).open(sealed)


def exchange(sealed: Sealed) -> bytes:
    return sealed.sealed_key[:EXCHANGE_BYTES]


def test_an_exchange_serves_so_many_payloads_each_with_a_key_of_its_own_and_not_one_more() -> None:
    sealer, opener = PayloadSealer(PUBLIC, now=lambda: 0.0), SealOpener(SECRET)
    run = [sealer.seal(TEXT)[0] for _ in range(EXCHANGE_PAYLOADS_MAX + 1)]
    assert len({exchange(sealed) for sealed in run[:-1]}) == 1
    assert exchange(run[-1]) != exchange(run[0])
    assert len({opener.open(sealed) for sealed in run}) == len(run)


def test_an_exchange_ends_after_its_time() -> None:
    seconds = [0.0]
    sealer = PayloadSealer(PUBLIC, now=lambda: seconds[0])
    first, _ = sealer.seal(TEXT)
    seconds[0] = EXCHANGE_SECONDS_MAX - 0.001
    assert exchange(sealer.seal(TEXT)[0]) == exchange(first)
    seconds[0] = EXCHANGE_SECONDS_MAX
    assert exchange(sealer.seal(TEXT)[0]) != exchange(first)


def test_two_sealers_share_no_exchange() -> None:
    assert exchange(seal(TEXT, PUBLIC)[0]) != exchange(seal(TEXT, PUBLIC)[0])


def test_a_sealed_key_beside_another_payload_of_the_same_exchange_does_not_open() -> None:
    sealer, opener = PayloadSealer(PUBLIC, now=lambda: 0.0), SealOpener(SECRET)
    (first, _), (second, _) = sealer.seal(TEXT), sealer.seal(TEXT)
    opener.open(first)
    with pytest.raises(PayloadRefused, match="not sealed"):
        opener.open(Sealed(first.sealed_key, second.ciphertext))


def test_whoever_opens_keeps_a_bounded_number_of_exchanges_and_opens_all_the_same() -> None:
    opener = SealOpener(SECRET)
    first, _ = seal(TEXT, PUBLIC)
    key = opener.open(first)
    for number in range(EXCHANGES_KEPT_MAX + 100):
        with pytest.raises(PayloadRefused):
            opener.open(Sealed(number.to_bytes(EXCHANGE_BYTES, "little") + bytes(48), first.ciphertext))
    assert len(opener._exchanged) <= EXCHANGES_KEPT_MAX
    assert opener.open(first) == key


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_an_exchange_over_a_point_of_small_order_is_refused(point: bytes) -> None:
    """Its outcome would be known to everybody."""
    sealed, _ = seal(TEXT, PUBLIC)
    with pytest.raises(PayloadRefused):
        SealOpener(SECRET).open(Sealed(point + sealed.sealed_key[EXCHANGE_BYTES:], sealed.ciphertext))


def test_another_payload_key_does_not_open_the_payload() -> None:
    ciphertext, _, commit = opened(TEXT)
    with pytest.raises(PayloadRefused):
        open_payload(ciphertext, b"k" * 32, commit, len(TEXT))


def test_no_byte_of_a_ciphertext_may_change() -> None:
    ciphertext, key, commit = opened(TEXT)
    for place in range(len(ciphertext.body)):
        body = bytearray(ciphertext.body)
        body[place] ^= 1
        with pytest.raises(PayloadRefused):
            open_payload(Ciphertext(ciphertext.nonce, bytes(body)), key, commit, len(TEXT))


def test_a_payload_does_not_open_under_the_commitment_of_another_event() -> None:
    ciphertext, key, _ = opened(TEXT)
    _, _, other = opened(TEXT)
    with pytest.raises(PayloadRefused, match="belongs to another event"):
        open_payload(ciphertext, key, other, len(TEXT))


@pytest.mark.parametrize("salted", [b"t" * SALT_BYTES + TEXT, b"s" * SALT_BYTES + b"another text", b"short", b""])
def test_an_author_who_seals_another_text_than_it_committed_to_is_refused(salted: bytes) -> None:
    """The author holds the key, so the cipher opens; only the commitment tells."""
    commit = commitment(b"s" * SALT_BYTES, TEXT)
    forged = box(salted, commit, b"n" * 24, b"k" * 32, PUBLIC)
    with pytest.raises(PayloadRefused, match="commits to"):
        open_payload(forged.ciphertext, b"k" * 32, commit.hex(), len(TEXT))


def test_a_byte_moved_between_salt_and_text_is_caught_by_the_length() -> None:
    """The hash is over salt and text joined; the fixed length of the salt and the stated length of the text separate them."""
    ciphertext, key, commit = opened(TEXT)
    for length in (len(TEXT) - 1, len(TEXT) + 1, 0):
        with pytest.raises(PayloadRefused, match="payload bytes"):
            open_payload(ciphertext, key, commit, length)


def test_a_wrapped_key_is_bound_to_its_payload_and_its_storage_key() -> None:
    wrapped = wrap_key(b"k" * 32, STORAGE_KEY, b"this payload")
    assert unwrap_key(wrapped, STORAGE_KEY, b"this payload") == b"k" * 32
    for storage_key, context in ((STORAGE_KEY, b"that payload"), (KeyTree.whole(b"t" * 32), b"this payload")):
        with pytest.raises(PayloadRefused):
            unwrap_key(wrapped, storage_key, context)


@pytest.mark.parametrize("length", [0, 23, 24, 39, WRAPPED_KEY_BYTES - 1])
def test_a_cut_wrapped_key_is_refused(length: int) -> None:
    with pytest.raises(PayloadRefused):
        unwrap_key(wrap_key(b"k" * 32, STORAGE_KEY, bytes(32))[:length], STORAGE_KEY, bytes(32))


@pytest.mark.parametrize(("nonce", "body"), [(b"", b""), (b"n" * 23, b"b" * 40), (b"n" * 24, b"")])
def test_a_ciphertext_of_impossible_size_is_refused(nonce: bytes, body: bytes) -> None:
    _, key, commit = opened(TEXT)
    with pytest.raises(PayloadRefused):
        open_payload(Ciphertext(nonce, body), key, commit, len(TEXT))


def test_a_message_is_resealed_to_the_key_that_its_receiver_signs_with() -> None:
    receiver, other = SeedSigner("infrastructure", b"i" * 32), SeedSigner("deployment", b"d" * 32)
    sealed = reseal(b"k" * 32, receiver.public_key)
    assert receiver.open_seal(sealed) == b"k" * 32
    with pytest.raises(PayloadRefused):
        other.open_seal(sealed)

"""The direct calls into libsodium say what PyNaCl's own binding says, and look at every length that C does not look at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import CryptoError
from tenuto import sodium

keys, nonces = st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24)
texts = st.binary(max_size=300)


@given(texts, texts, nonces, keys)
def test_encryption_is_that_of_the_binding_in_both_directions(plain: bytes, beside: bytes, nonce: bytes, key: bytes) -> None:
    body = sodium.encrypt(plain, beside, nonce, key)
    assert body == bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, beside, nonce, key)
    assert sodium.decrypt(body, beside, nonce, key) == plain


@given(texts, nonces, keys)
def test_a_box_of_the_binding_opens(plain: bytes, nonce: bytes, key: bytes) -> None:
    assert sodium.open_box(bindings.crypto_secretbox(plain, nonce, key), nonce, key) == plain


@given(keys, texts)
def test_a_signature_of_the_binding_holds_and_over_nothing_else(seed: bytes, message: bytes) -> None:
    public_key, secret = bindings.crypto_sign_seed_keypair(seed)
    signature = bindings.crypto_sign(message, secret)[:64]
    sodium.verify_detached(signature, message, public_key)
    with pytest.raises(CryptoError):
        sodium.verify_detached(signature, message + b"!", public_key)


@given(st.binary(min_size=16, max_size=64), st.integers(0, 7), st.data())
def test_one_flipped_bit_opens_nothing(plain: bytes, bit: int, data: st.DataObject) -> None:
    nonce, key = bytes(24), bytes(32)
    for made, opened in (
        (sodium.encrypt(plain, b"", nonce, key), lambda body: sodium.decrypt(body, b"", nonce, key)),
        (bindings.crypto_secretbox(plain, nonce, key), lambda body: sodium.open_box(body, nonce, key)),
    ):
        at = data.draw(st.integers(0, len(made) - 1))
        with pytest.raises(CryptoError):
            opened(made[:at] + bytes((made[at] ^ 1 << bit,)) + made[at + 1 :])


@pytest.mark.parametrize(("nonce", "key"), [(23, 32), (25, 32), (24, 31), (24, 33), (0, 0)])
def test_a_nonce_or_key_of_another_length_never_reaches_c(nonce: int, key: int) -> None:
    for call in (sodium.encrypt, sodium.decrypt):
        with pytest.raises(ValueError, match="24"):
            call(bytes(40), b"", bytes(nonce), bytes(key))
    with pytest.raises(ValueError, match="24"):
        sodium.open_box(bytes(40), bytes(nonce), bytes(key))


@pytest.mark.parametrize(("signature", "key"), [(63, 32), (65, 32), (64, 31), (64, 33)])
def test_a_signature_or_its_key_of_another_length_never_reaches_c(signature: int, key: int) -> None:
    with pytest.raises(ValueError, match="64"):
        sodium.verify_detached(bytes(signature), b"", bytes(key))


def test_what_is_shorter_than_its_tag_never_reaches_c() -> None:
    with pytest.raises(ValueError, match="16"):
        sodium.decrypt(bytes(15), b"", bytes(24), bytes(32))
    with pytest.raises(ValueError, match="16"):
        sodium.open_box(bytes(15), bytes(24), bytes(32))

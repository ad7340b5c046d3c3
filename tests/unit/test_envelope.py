"""A record is exactly one whole envelope, or it is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.envelope import BODY_BYTES_MAX, RECORD_BYTES_MAX, Envelope, EnvelopeRefused, parse, split_state
from tenuto.events import HEADER_BYTES_MAX
from tenuto.payload import NONCE_BYTES, SEALED_KEY_BYTES, Ciphertext, Sealed
from tenuto.signing import SIGNATURE_BYTES

SIGNATURE = bytes(range(SIGNATURE_BYTES))
BARE = Envelope(b'{"kind":"x"}', SIGNATURE)
SEALED = Sealed(b"k" * SEALED_KEY_BYTES, Ciphertext(b"n" * NONCE_BYTES, b"the sealed body"))
FULL = Envelope(b'{"kind":"x"}', SIGNATURE, 7, SEALED)

envelopes = st.builds(
    Envelope,
    st.binary(max_size=HEADER_BYTES_MAX),
    st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES),
)
sealed = st.builds(
    Sealed,
    st.binary(min_size=SEALED_KEY_BYTES, max_size=SEALED_KEY_BYTES),
    st.builds(Ciphertext, st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES), st.binary(max_size=300)),
)


def refusal(record: bytes) -> EnvelopeRefused:
    with pytest.raises(EnvelopeRefused) as caught:
        parse(record)
    return caught.value


@settings(deadline=None)
@given(envelopes, st.integers(0, 2**32 - 1), st.none() | sealed)
def test_envelopes_survive_the_bus_and_records_survive_parsing(bare: Envelope, epoch: int, box: Sealed | None) -> None:
    envelope = bare if box is None else Envelope(bare.header, bare.signature, epoch, box)
    record = envelope.to_bytes()
    assert parse(record) == envelope
    assert parse(record).to_bytes() == record


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_other_bytes_are_refused_or_are_the_one_spelling_of_an_envelope(noise: bytes) -> None:
    for record in (noise, b"TNT1" + noise):
        try:
            envelope = parse(record)
        except EnvelopeRefused:
            continue
        assert envelope.to_bytes() == record


@pytest.mark.parametrize("envelope", [BARE, FULL], ids=["bare", "full"])
def test_no_beginning_of_a_record_is_a_record(envelope: Envelope) -> None:
    record = envelope.to_bytes()
    bare_end = len(BARE.to_bytes())
    for length in range(len(record)):
        if length != bare_end:
            assert refusal(record[:length]).reason == "malformed"


@pytest.mark.parametrize("envelope", [BARE, FULL], ids=["bare", "full"])
def test_bytes_after_a_record_are_refused(envelope: Envelope) -> None:
    for extra in (b"\0", envelope.to_bytes()):
        assert refusal(envelope.to_bytes() + extra).reason == "malformed"


def test_another_version_of_the_envelope_is_refused() -> None:
    assert "version 1" in str(refusal(b"TNT2" + BARE.to_bytes()[4:]))


def test_a_header_is_refused_one_byte_above_its_limit() -> None:
    longest = Envelope(b"h" * HEADER_BYTES_MAX, SIGNATURE)
    assert parse(longest.to_bytes()) == longest
    above = Envelope(b"h" * (HEADER_BYTES_MAX + 1), SIGNATURE)
    assert refusal(above.to_bytes()).reason == "oversized"


def test_a_record_is_refused_one_byte_above_its_limit() -> None:
    def record(body: int) -> bytes:
        box = Sealed(SEALED.sealed_key, Ciphertext(SEALED.ciphertext.nonce, bytes(body)))
        return Envelope(b"h" * HEADER_BYTES_MAX, SIGNATURE, 1, box).to_bytes()

    assert len(record(BODY_BYTES_MAX)) == RECORD_BYTES_MAX
    assert parse(record(BODY_BYTES_MAX)).sealed is not None
    error = refusal(record(BODY_BYTES_MAX + 1))
    assert error.reason == "oversized"
    assert f"{RECORD_BYTES_MAX + 1:,}" in str(error)


def test_a_body_length_that_lies_is_refused() -> None:
    record = bytearray(FULL.to_bytes())
    place = len(BARE.to_bytes()) + 4 + SEALED_KEY_BYTES + NONCE_BYTES
    struct.pack_into(">I", record, place, len(SEALED.ciphertext.body) + 1)
    assert "15 follow" in str(refusal(bytes(record)))


def test_the_ledger_keeps_header_and_signature_verbatim() -> None:
    assert FULL.state == FULL.header + FULL.signature
    assert split_state(FULL.state) == (FULL.header, FULL.signature)


@pytest.mark.parametrize("length", [0, 1, SIGNATURE_BYTES])
def test_a_stored_event_without_a_header_is_refused(length: int) -> None:
    with pytest.raises(EnvelopeRefused):
        split_state(bytes(length))

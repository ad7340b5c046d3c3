"""A record is exactly one whole envelope, or it is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.envelope import BODY_BYTES_MAX, RECORD_BYTES_MAX, Envelope, EnvelopeRefused, parse, split_state
from tenuto.events import HEADER_BYTES_MAX
from tenuto.log.merkle import HASH_BYTES
from tenuto.payload import NONCE_BYTES, SEALED_KEY_BYTES, Ciphertext, Sealed
from tenuto.sheaf import MEMBER_BYTES_MAX, PATH_HASHES_MAX, SHEAF_HEADERS_MAX
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
    longest = SIGNATURE + bytes(PATH_HASHES_MAX * HASH_BYTES) + bytes((0, 0x80 + SHEAF_HEADERS_MAX))
    assert len(longest) == MEMBER_BYTES_MAX

    def record(body: int) -> bytes:
        box = Sealed(SEALED.sealed_key, Ciphertext(SEALED.ciphertext.nonce, bytes(body)))
        return Envelope(b"h" * HEADER_BYTES_MAX, longest, 1, box).to_bytes()

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


MEMBER = Envelope(b'{"kind":"x"}', SIGNATURE + b"p" * 64 + bytes((1, 0x83)), 7, SEALED)


def test_a_member_of_a_sheaf_survives_the_wire_and_the_ledger() -> None:
    assert parse(MEMBER.to_bytes()) == MEMBER
    assert split_state(MEMBER.state) == (MEMBER.header, MEMBER.signature)


def test_no_prefix_of_a_member_is_a_record() -> None:
    record, bare_end = MEMBER.to_bytes(), len(Envelope(MEMBER.header, MEMBER.signature).to_bytes())
    for length in range(len(record)):
        if length != bare_end:
            assert refusal(record[:length]).reason == "malformed"


def test_a_lone_signature_cannot_be_spelled_as_a_member() -> None:
    head = b"TNS1" + struct.pack(">HH", len(BARE.header), SIGNATURE_BYTES)
    assert "No member of a sheaf" in str(refusal(head + BARE.header + BARE.signature))


@pytest.mark.parametrize("change", [-32, -1, 1, 32, MEMBER_BYTES_MAX])
def test_a_member_of_another_length_is_refused(change: int) -> None:
    signature = MEMBER.signature[:SIGNATURE_BYTES] + bytes(64 + change) + MEMBER.signature[-2:]
    assert refusal(Envelope(MEMBER.header, signature).to_bytes()).reason == "malformed"


@pytest.mark.parametrize("end", [b"\x00\x81", b"\x03\x83", b"\x00\xc1", b"\xff\xff"])
def test_a_place_that_no_sheaf_has_is_no_record_and_no_stored_event(end: bytes) -> None:
    signature = MEMBER.signature[:-2] + end
    assert refusal(Envelope(MEMBER.header, signature).to_bytes()).reason == "malformed"
    with pytest.raises(EnvelopeRefused):
        split_state(MEMBER.header + signature)


def test_the_ledger_keeps_header_and_signature_verbatim() -> None:
    assert FULL.state == FULL.header + FULL.signature
    assert split_state(FULL.state) == (FULL.header, FULL.signature)


@pytest.mark.parametrize("length", [len(MEMBER.signature) - 1, len(MEMBER.signature)])
def test_a_stored_member_without_a_header_is_refused(length: int) -> None:
    with pytest.raises(EnvelopeRefused):
        split_state(MEMBER.signature[-length:])


@pytest.mark.parametrize("length", [0, 1, SIGNATURE_BYTES])
def test_a_stored_event_without_a_header_is_refused(length: int) -> None:
    with pytest.raises(EnvelopeRefused):
        split_state(bytes(length))

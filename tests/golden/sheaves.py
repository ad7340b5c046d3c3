"""The golden records that were signed together with others; see `tests.golden.defects`, whose rules hold here as well."""

from __future__ import annotations

from tenuto.envelope import Envelope
from tenuto.sheaf import SHEAF_HEADERS_MAX

from tests.golden.world import decision_made, sealed, sheaf, tool_started, with_payload

REASONING = b'{"text":"It is as the baseline has it."}'


def _decisions(count: int) -> list[Envelope]:
    return sheaf([decision_made(seq=5 + number) for number in range(count)])


def valid_first_of_a_sheaf_of_ten() -> bytes:
    """The first of ten headers under one signature, with the path that leads from it to their root."""
    return _decisions(10)[0].to_bytes()


def valid_last_of_a_sheaf_of_ten() -> bytes:
    """The last of ten: its path is shorter, since ten is no power of two."""
    return _decisions(10)[9].to_bytes()


def valid_member_of_a_sheaf_with_payload() -> bytes:
    """A member of a sheaf beside which a payload lies."""
    payload, commit = sealed(REASONING)
    return sheaf([decision_made(seq=5 + number, **with_payload(REASONING, commit)) for number in range(3)], payload)[1].to_bytes()


def valid_member_of_the_largest_sheaf() -> bytes:
    """One of 64 headers; a sheaf has no more."""
    return _decisions(SHEAF_HEADERS_MAX)[37].to_bytes()


def sheaf_over_a_kind_that_is_signed_alone() -> bytes:
    """The start of a tool in a sheaf, with a signature that holds: such an event is signed alone."""
    return sheaf([tool_started(), decision_made()])[0].to_bytes()


def sheaf_with_the_path_of_another_member() -> bytes:
    """The header is that of the first member, signature and path are those of the second."""
    first, second = _decisions(4)[:2]
    return Envelope(first.header, second.signature).to_bytes()


def sheaf_with_a_changed_hash_on_the_path() -> bytes:
    """One bit of the first hash on the path is another."""
    one = _decisions(10)[0]
    return Envelope(one.header, one.signature[:64] + bytes([one.signature[64] ^ 1]) + one.signature[65:]).to_bytes()


def sheaf_of_another_number() -> bytes:
    """The member says that its sheaf has nine headers; it has ten, and that is signed."""
    one = _decisions(10)[0]
    return Envelope(one.header, one.signature[:-1] + bytes([0x80 + 9])).to_bytes()


def sheaf_place_that_is_none() -> bytes:
    """The member says that it is the eleventh of ten."""
    one = _decisions(10)[0]
    return Envelope(one.header, one.signature[:-2] + bytes([10, 0x80 + 10])).to_bytes()


def sheaf_of_too_many() -> bytes:
    """The member says that its sheaf has 65 headers."""
    one = _decisions(SHEAF_HEADERS_MAX)[0]
    return Envelope(one.header, one.signature[:-1] + bytes([0x80 + SHEAF_HEADERS_MAX + 1])).to_bytes()


def sheaf_member_one_hash_too_long() -> bytes:
    """Another hash stands on the path, where the place in the sheaf has none."""
    one = _decisions(10)[0]
    return Envelope(one.header, one.signature[:64] + bytes(32) + one.signature[64:]).to_bytes()


def sheaf_signature_over_one_header() -> bytes:
    """The path is right, and the signature before it is over the header alone."""
    one = _decisions(10)[0]
    alone = sheaf([decision_made()])[0]
    return Envelope(one.header, alone.signature + one.signature[64:]).to_bytes()

"""No byte of a record on the bus can change without a refusal, whatever it becomes and wherever it stands."""

from __future__ import annotations

import pytest
from tenuto.errors import Refused

from tests.golden.door import admit
from tests.golden.world import ORIGIN, epoch_keys, ring, sealed, signed, tool_started, with_payload

PLAINTEXT = b"what the agent was told, word by word"
PAYLOAD, COMMIT = sealed(PLAINTEXT)
RECORD = signed(tool_started(**with_payload(PLAINTEXT, COMMIT)), PAYLOAD).to_bytes()
KEYRING, SECRET = ring(), epoch_keys()[1]


def test_the_record_as_it_was_sent_is_admitted() -> None:
    event, payload = admit(RECORD, KEYRING, SECRET, ORIGIN)
    assert (event.kind, payload) == ("tool.started", PLAINTEXT)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF], ids=hex)
def test_no_single_byte_can_change(mask: int) -> None:
    passed = []
    for place in range(len(RECORD)):
        changed = bytearray(RECORD)
        changed[place] ^= mask
        try:
            admit(bytes(changed), KEYRING, SECRET, ORIGIN)
        except Refused:
            continue
        passed.append(place)
    assert passed == []


def test_no_single_byte_can_be_left_out_or_doubled() -> None:
    for place in range(len(RECORD)):
        for changed in (
            RECORD[:place] + RECORD[place + 1 :],
            RECORD[:place] + RECORD[place : place + 1] + RECORD[place:],
        ):
            with pytest.raises(Refused):
                admit(changed, KEYRING, SECRET, ORIGIN)


def test_the_parts_of_two_valid_records_do_not_make_a_third() -> None:
    other_plaintext = b"x" * len(PLAINTEXT)
    other_payload, other_commit = sealed(other_plaintext, word="other")
    other = signed(tool_started(**with_payload(other_plaintext, other_commit)), other_payload).to_bytes()
    assert len(other) == len(RECORD)
    for cut in range(1, len(RECORD)):
        mixed = RECORD[:cut] + other[cut:]
        if mixed not in (RECORD, other):
            with pytest.raises(Refused):
                admit(mixed, KEYRING, SECRET, ORIGIN)

"""No byte of a record on the bus can change without a refusal, whatever it becomes and wherever it stands."""

from __future__ import annotations

import pytest
from tenuto.errors import Refused

from tests.golden.door import admit
from tests.golden.world import (
    ORIGIN,
    decision_made,
    epoch_keys,
    ring,
    sealed,
    sheaf,
    signed,
    tool_started,
    with_payload,
)  # fmt: skip

PLAINTEXT = b"what the agent was told, word by word"
PAYLOAD, COMMIT = sealed(PLAINTEXT)
RECORD = signed(tool_started(**with_payload(PLAINTEXT, COMMIT)), PAYLOAD).to_bytes()
MEMBER = sheaf([decision_made(seq=seq, **with_payload(PLAINTEXT, COMMIT)) for seq in range(4, 9)], PAYLOAD)[2].to_bytes()
RECORDS = pytest.mark.parametrize("record", [RECORD, MEMBER], ids=["alone", "in a sheaf"])
KEYRING, SECRET = ring(), epoch_keys()[1]


@RECORDS
def test_the_record_as_it_was_sent_is_admitted(record: bytes) -> None:
    event, payload = admit(record, KEYRING, SECRET, ORIGIN)
    assert (event.kind, payload) == ("tool.started" if record is RECORD else "decision.made", PLAINTEXT)


@RECORDS
@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF], ids=hex)
def test_no_single_byte_can_change(mask: int, record: bytes) -> None:
    passed = []
    for place in range(len(record)):
        changed = bytearray(record)
        changed[place] ^= mask
        try:
            admit(bytes(changed), KEYRING, SECRET, ORIGIN)
        except Refused:
            continue
        passed.append(place)
    assert passed == []


@RECORDS
def test_no_single_byte_can_be_left_out_or_doubled(record: bytes) -> None:
    for place in range(len(record)):
        for changed in (
            record[:place] + record[place + 1 :],
            record[:place] + record[place : place + 1] + record[place:],
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

"""An inbox into which somebody else writes too: nothing stops its reader, and it hands out only what was sent to it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tenuto.envelope import Envelope
from tenuto.errors import Refused
from tenuto.keytree import KeyTree
from tenuto.payload import SEALED_KEY_BYTES, Ciphertext, Sealed, open_payload, open_seal, unwrap_key
from tenuto.spool import Spool

from tests.fuzz import world
from tests.fuzz.mutating import BYTES, TEXT, spliced, spoiled
from tests.golden.door import admit
from tests.golden.world import ORIGIN, epoch_keys
from tests.unit.door.inboxes import deliver, inbox_records, sent, texts_in
from tests.unit.door.mini_ledger import Road

SPOILED = 400
# All encodings of points of order 1, 2, 4 and 8 on the curve and its twist, with the high bit that X25519 ignores set and
# not: RFC 7748 section 6.1 says what becomes of an exchange with them. The list is that of the X25519 "contributory behaviour"
# notes of the curve's author.
P = 2**255 - 19
LOW_ORDER = [
    (value | high << 255).to_bytes(32, "little")
    for value in (
        0, 1, P - 1, P, P + 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
    for high in (0, 1)
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_spoiled_records_in_an_inbox_stop_nobody_and_say_nothing_new(tmp_path: Path, seed: int) -> None:
    chance, road = random.Random(seed), Road()
    texts = ["one", "two", "three"]
    sent(road, tmp_path, *texts)
    genuine = inbox_records(road)
    road.bus.make_anew("tenuto.inbox.bob")
    spool = Spool(tmp_path / "bob.db")
    mailbox = road.mailbox("bob", spool)
    for number in range(SPOILED):
        good = chance.choice(genuine)
        deliver(road, "bob", spoiled(chance, good, (*BYTES, *TEXT, *(spliced(one) for one in genuine))))
        if number % 40 == 0:
            mailbox.pump(0)
            assert set(texts_in(mailbox)) <= set(texts)
    mailbox.pump(0)
    assert set(texts_in(mailbox)) <= set(texts)
    assert mailbox.take_refusals()
    mailbox.close()
    spool.close()


def with_payload(sealed: Sealed, epoch: int = 1) -> bytes:
    envelope = world.ENVELOPES[-3]
    return Envelope(envelope.header, envelope.signature, epoch, sealed).to_bytes()


def refused_at_the_door(record: bytes) -> bool:
    try:
        admit(record, world.ring(), epoch_keys()[1], ORIGIN)
    except Refused:
        return True
    return False


def test_a_payload_of_any_other_length_is_refused() -> None:
    sealed = world.ENVELOPES[-3].sealed
    assert sealed is not None
    box = sealed.ciphertext
    assert not refused_at_the_door(with_payload(sealed))
    for length in [*range(len(box.body)), len(box.body) + 1]:
        body = (box.body + b"\0")[:length]
        assert refused_at_the_door(with_payload(Sealed(sealed.sealed_key, Ciphertext(box.nonce, body)))), length
    for epoch in (0, 2, 2**31, 2**32 - 1):
        assert refused_at_the_door(with_payload(sealed, epoch))


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_an_exchange_with_a_key_of_low_order_is_refused(point: bytes) -> None:
    """What it leads to is known to everybody; libsodium refuses it, and so do we without a defect."""
    sealed = world.ENVELOPES[-3].sealed
    assert sealed is not None
    assert refused_at_the_door(with_payload(Sealed(point + sealed.sealed_key[32:], sealed.ciphertext)))
    public_key, secret_key = epoch_keys()
    with pytest.raises(Refused):
        open_seal(point + bytes(SEALED_KEY_BYTES - 32), public_key, secret_key)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 31, 39, 40, 71, 72, 73, 200])
def test_stored_keys_and_bodies_of_any_length_are_refused(length: int) -> None:
    with pytest.raises(Refused):
        unwrap_key(bytes(length), KeyTree.whole(b"s" * 32), bytes(32))
    with pytest.raises(Refused):
        open_seal(bytes(length), *epoch_keys())
    with pytest.raises(Refused):
        open_payload(Ciphertext(bytes(24), bytes(length)), bytes(32), "0" * 64, length)
    with pytest.raises(Refused):
        open_payload(Ciphertext(bytes(length), bytes(80)), bytes(32), "0" * 64, 48)
    with pytest.raises(Refused):
        open_payload(Ciphertext(bytes(24), bytes(80)), bytes(length), "0" * 64, 48)

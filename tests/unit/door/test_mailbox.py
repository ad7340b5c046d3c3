from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tenuto import header as headers
from tenuto.documents import Reason, from_payload
from tenuto.enclosure import NOTE_BYTES_MAX, Enclosure, EnclosureRefused, inbox_topic, parse_enclosure
from tenuto.envelope import Envelope
from tenuto.errors import Refused
from tenuto.events import KeyRotated
from tenuto.log.proof import PROOF_HASHES_MAX
from tenuto.mailbox import Mailbox
from tenuto.payload import PayloadRefused, open_payload
from tenuto.signing import SeedSigner
from tenuto.spool import Spool

from tests.unit.door.inboxes import BOB, deliver, inbox_records, reasons, sent, texts_in
from tests.unit.door.mini_ledger import TRUST, Road, signer


def test_a_message_arrives_verified_with_the_key_and_role_of_its_sender(
    road: Road, tmp_path: Path, bob: Mailbox
) -> None:
    (message,) = sent(road, tmp_path, "hello")
    delivered = bob.next_message(5)
    assert delivered is not None
    assert (delivered.event, from_payload(delivered.payload, Reason).text) == (message, "hello")
    assert (delivered.key.author, delivered.key.role, delivered.key.insecure_demo) == ("alice", "agent", True)
    entry = road.ledger.entries[delivered.position]
    assert (headers.decode(entry.state[:-64]), entry.recorded_at) == (message, delivered.recorded_at)


def test_a_message_is_handed_out_until_it_is_done_and_never_after(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "one", "two")
    first, again = bob.next_message(5), bob.next_message(0)
    assert first is not None
    assert first == again
    bob.done(first)
    assert texts_in(bob) == ["two"]
    assert bob.next_message(0) is None


def test_messages_survive_a_restart_until_they_are_done(road: Road, tmp_path: Path) -> None:
    sent(road, tmp_path, "one", "two")
    for left in (["one", "two"], ["two"], []):
        spool = Spool(tmp_path / "bob-inbox.db")
        mailbox = road.mailbox("bob", spool)
        mailbox.pump(0)
        first = mailbox.next_message(0)
        assert (None if first is None else from_payload(first.payload, Reason).text) == (left[0] if left else None)
        if first is not None:
            mailbox.done(first)
        mailbox.close()
        spool.close()


def test_a_message_that_came_before_the_key_was_replaced_holds_no_later_one_up(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    """It was sealed to the old key and waits in the spool; whoever has the new one cannot open it any more."""
    (old,) = sent(road, tmp_path, "to the old key")
    bob.pump(0)
    key = SeedSigner("bob", b"n" * 32)
    road.sign(
        "bob", KeyRotated, subject="bob", old_key_id=signer("bob").key_id, subject_key_id=key.key_id,
        public_key=key.public_key.hex(),
    )  # fmt: skip
    road.carry()
    topic = BOB
    after = Mailbox(signer=key, trust=TRUST, open_reader=lambda: road.bus.reader(topic, 0), spool=bob._spool)
    sent(road, tmp_path, "to the new key")
    assert texts_in(after) == ["to the new key"]
    (refusal,) = after.take_refusals()
    assert (refusal.reason, refusal.message) == ("payload", old.id)
    assert bob._spool.messages() == (0, 0)
    after.close()


def test_the_payload_is_readable_by_the_receiver_only(road: Road, tmp_path: Path) -> None:
    sent(road, tmp_path, "a very secret sentence")
    assert not any(b"secret" in record for record in inbox_records(road))
    enclosure = parse_enclosure(inbox_records(road)[-1])
    event, sealed = headers.decode(enclosure.envelope.header), enclosure.envelope.sealed
    assert sealed is not None
    assert event.payload_commit is not None
    for other in ("alice", "mira", "root"):
        with pytest.raises(PayloadRefused):
            signer(other).open_seal(sealed.sealed_key)
    key = signer("bob").open_seal(sealed.sealed_key)
    assert b"secret" in open_payload(sealed.ciphertext, key, event.payload_commit, event.payload_len or 0)


def test_delivered_again_a_message_is_skipped(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "hello")
    deliver(road, "bob", *inbox_records(road))
    assert texts_in(bob) == ["hello"]
    road.bus.make_anew(BOB)
    road.new_delivery().step()
    bob.pump(0)
    bob.pump(0)
    assert texts_in(bob) == []
    assert reasons(bob) == []


def test_not_one_bit_of_a_record_can_be_changed(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "hello")
    *before, genuine = inbox_records(road)
    after_field = range(12, 20)  # says only what came before; a smaller number there claims less than is true
    road.bus.make_anew(BOB)
    deliver(road, "bob", *before)
    bob.pump(0)
    bob.pump(0)
    expected = bob._state.next_position
    for place in range(len(genuine)):
        if place in after_field:
            continue
        deliver(road, "bob", genuine[:place] + bytes([genuine[place] ^ 1 << place % 8]) + genuine[place + 1 :])
        bob.pump(0)
        assert bob.next_message(0) is None, f"byte {place}"
        bob._state = replace(bob._state, next_position=expected)  # a refused payload counts as dealt with
    deliver(road, "bob", genuine)
    assert texts_in(bob) == ["hello"]


def test_a_record_that_is_cut_anywhere_is_malformed(road: Road, tmp_path: Path) -> None:
    sent(road, tmp_path, "hello")
    record = inbox_records(road)[-1]
    assert parse_enclosure(record).to_bytes() == record
    header_only = inbox_records(road)[0]
    for whole in (record, header_only):
        for length in range(len(whole)):
            with pytest.raises(Refused):
                part = parse_enclosure(whole[:length])
                assert part.envelope.sealed is None
                raise Refused("the payload is left out whole")
    with pytest.raises(Refused):
        parse_enclosure(record + b"x")


def test_note_and_proof_travel_up_to_their_limits_and_not_above() -> None:
    whole = Enclosure(
        1, 0, Road().clock.now(), b"n" * NOTE_BYTES_MAX, (b"h" * 32,) * PROOF_HASHES_MAX, Envelope(b"{}", b"s" * 64)
    )
    assert parse_enclosure(whole.to_bytes()) == whole
    for over in (replace(whole, note=whole.note + b"n"), replace(whole, proof=(*whole.proof, b"h" * 32))):
        with pytest.raises(EnclosureRefused, match="at most"):
            over.to_bytes()


def test_two_authors_never_share_an_inbox_and_every_inbox_is_a_topic_that_kafka_takes() -> None:
    authors = ["a/b", "a:b", "a@b", "a+b", "a.b", "a-b", "a_b", "ab", "asb", "x" * 128]
    topics = {inbox_topic(author) for author in authors}
    assert len(topics) == len(authors)
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic) for topic in topics)
    assert inbox_topic("code-review") == "tenuto.inbox.code-review"



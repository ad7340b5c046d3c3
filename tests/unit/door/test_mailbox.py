from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tenuto import header as headers
from tenuto.bus import TopicReader
from tenuto.documents import Reason, from_payload, to_payload
from tenuto.enclosure import NOTE_BYTES_MAX, Enclosure, EnclosureRefused, inbox_topic, parse_enclosure
from tenuto.envelope import Envelope
from tenuto.errors import Busy, Refused
from tenuto.events import DecisionMade, MessageSent, RecordRefused
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.note import NoteSigner
from tenuto.log.proof import PROOF_HASHES_MAX, inclusion_proof
from tenuto.mailbox import RECEIPTS_KEPT_MAX, Delivered, Mailbox
from tenuto.payload import PayloadRefused, open_payload, seal
from tenuto.spool import Spool

from tests.unit.door.mini_ledger import LOG, ORIGIN, TRUST, Road, signer

BOB = inbox_topic("bob")


@pytest.fixture
def road() -> Road:
    return Road()


def sent(road: Road, folder: Path, *texts: str, to: str = "bob", author: str = "alice") -> list[MessageSent]:
    """Let a whole session of `author` send these messages; at the end they are in the inbox of `to`."""
    with road.at_work(folder, author) as recorder:
        messages = [recorder.send(to, "test.note", Reason(text=text)) for text in texts]
        recorder.flush(20)
    road.carry()
    return messages


def deliver(road: Road, author: str, *records: bytes) -> None:
    """What somebody with access to the bus could put into an inbox."""
    publisher = road.bus.publisher()
    for record in records:
        publisher.publish(inbox_topic(author), b"", record)


def inbox_records(road: Road, author: str = "bob") -> list[bytes]:
    return [record.value for record in road.bus.records(inbox_topic(author))]


def texts_in(mailbox: Mailbox) -> list[str]:
    """Take every message there is and be done with it."""
    found = []
    while (delivered := mailbox.next_message(0)) is not None:
        found.append(from_payload(delivered.payload, Reason).text)
        mailbox.done(delivered)
    return found


def reasons(mailbox: Mailbox) -> list[str]:
    return [refusal.reason for refusal in mailbox.take_refusals()]


@pytest.fixture
def bob(road: Road, tmp_path: Path) -> Iterator[Mailbox]:
    spool = Spool(tmp_path / "bob-inbox.db")
    mailbox = road.mailbox("bob", spool)
    yield mailbox
    mailbox.close()
    spool.close()


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


def forge(road: Road, author: str = "bob", **changes: Any) -> bytes:
    """A record for the newest event in the ledger, with its true proof unless changed."""
    checkpoint = road.ledger.seal()
    entry = road.ledger.entries[-1]
    proof = inclusion_proof(entry.position, checkpoint.size, road.ledger)
    assert road.ledger.note is not None
    envelope = Envelope(entry.state[:-64], entry.state[-64:])
    whole = Enclosure(entry.position, 0, entry.recorded_at, road.ledger.note, proof, envelope)
    return replace(whole, **changes).to_bytes()


def message_fields(text: str = "hello", to: str = "bob") -> dict[str, Any]:
    media, plaintext = to_payload(Reason(text=text))
    _, commit = seal(plaintext, bytes(signer("bob").public_key))
    return {
        "to": to,
        "topic": "test.note",
        "payload_type": media,
        "payload_len": len(plaintext),
        "payload_commit": commit,
    }


def ready(road: Road, mailbox: Mailbox) -> None:
    """Let the mailbox have the news of all keys."""
    road.carry()
    mailbox.pump(0)
    mailbox.pump(0)


@pytest.mark.parametrize(
    ("author", "key", "reason"),
    [("alice", "bob", "key"), ("stranger", "stranger", "key"), ("mira", "mira", "entitlement")],
)
def test_a_message_by_somebody_who_may_not_send_it_is_refused(
    road: Road, bob: Mailbox, author: str, key: str, reason: str
) -> None:
    ready(road, bob)
    road.sign(author, MessageSent, key=signer(key), **message_fields())
    deliver(road, "bob", forge(road))
    assert bob.next_message(0) is None
    (refusal,) = bob.take_refusals()
    assert (refusal.reason, refusal.position) == (reason, len(road.ledger.entries) - 1)
    assert refusal.message == headers.decode(road.ledger.entries[-1].state[:-64]).id


def test_a_message_signed_with_a_revoked_key_is_refused(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "before")
    road.revoke("alice")
    road.carry()
    road.sign("alice", MessageSent, **message_fields())
    deliver(road, "bob", forge(road))
    # What was sent before the revocation counts, and is handed out with the key as it was.
    assert texts_in(bob) == ["before"]
    (refusal,) = bob.take_refusals()
    assert refusal.reason == "key"
    assert "revoked" in str(refusal)


def test_a_message_with_a_foreign_signature_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    road.sign("alice", MessageSent, **message_fields())
    entry = road.ledger.entries.pop()
    road.ledger.append(entry.state[:-64], b"\x01" * 64, entry.recorded_at)
    deliver(road, "bob", forge(road))
    assert bob.next_message(0) is None
    assert reasons(bob) == ["signature"]


def test_a_message_for_another_receiver_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    road.sign("alice", MessageSent, **message_fields(to="mira"))
    deliver(road, "bob", forge(road))
    assert bob.next_message(0) is None
    assert reasons(bob) == ["not_addressed"]


def test_a_message_whose_payload_is_gone_is_refused_and_the_next_one_still_comes(
    road: Road, tmp_path: Path, bob: Mailbox
) -> None:
    with road.at_work(tmp_path) as alice, road.turn:
        alice.send("bob", "test.note", Reason(text="purged"))
        alice.send("bob", "test.note", Reason(text="kept"))
        while len(road.ledger.entries) < 8:
            road.ingest()
        road.ledger.entries[6] = replace(road.ledger.entries[6], payload=None)
        road.carry()
    assert texts_in(bob) == ["kept"]
    assert reasons(bob) == ["payload"]


def test_a_checkpoint_of_another_key_or_log_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    road.sign("alice", MessageSent, **message_fields())
    size, root = len(road.ledger.entries), road.ledger.seal().root
    stranger, elsewhere = NoteSigner(ORIGIN, b"x" * 32), Checkpoint("other.example/log", size, root)
    for note in (
        sign_checkpoint(Checkpoint(ORIGIN, size, root), stranger),
        sign_checkpoint(elsewhere, LOG),
        b"",
        b"note\n",
    ):
        deliver(road, "bob", forge(road, note=note))
    assert bob.next_message(0) is None
    assert reasons(bob) == ["checkpoint"] * 4


def test_a_checkpoint_that_does_not_extend_the_last_one_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    size = bob._state.tree_size
    fork = Road()
    for _ in range(3):
        fork.ledger.entries.pop()
    fork.sign("alice", MessageSent, **message_fields())
    deliver(road, "bob", forge(fork, position=len(fork.ledger.entries) - 1))
    fork.sign("alice", "session.closed", outcome="completed")
    while len(fork.ledger.entries) < size:
        fork.sign("alice", MessageSent, **message_fields())
    bob._state = replace(bob._state, next_position=0)
    deliver(road, "bob", forge(fork))
    assert bob.next_message(0) is None
    assert "checkpoint" in reasons(bob)


def test_a_time_that_the_ledger_did_not_stamp_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    road.sign("alice", MessageSent, **message_fields())
    deliver(road, "bob", forge(road, recorded_at=road.clock.now() + timedelta(microseconds=1)))
    assert bob.next_message(0) is None
    assert reasons(bob) == ["proof"]


def test_an_event_of_another_log_is_refused(road: Road, bob: Mailbox) -> None:
    ready(road, bob)
    event = road.sign("alice", MessageSent, **message_fields())
    header = headers.encode(msgspec.structs.replace(event, log_origin="other.example/log"))
    road.ledger.entries.pop()
    road.ledger.append(header, b"s" * 64, road.clock.now())
    deliver(road, "bob", forge(road))
    assert bob.next_message(0) is None
    assert reasons(bob) == ["malformed"]


def test_a_forged_receipt_is_ignored(road: Road, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "alice.db")
    alice = road.recorder("alice", spool)
    alice.open("test/1")
    event = alice.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
    road.carry()  # the keys and the session; both events are in the ledger of this road
    twin = Road()
    twin.ledger.append(headers.encode(event), b"s" * 64, twin.clock.now())
    foreign = NoteSigner(ORIGIN, b"x" * 32)
    root = twin.ledger.seal().root
    note = sign_checkpoint(Checkpoint(ORIGIN, len(twin.ledger.entries), root), foreign)
    road.bus.make_anew(inbox_topic("alice"))
    deliver(road, "alice", forge(twin, note=note))
    with pytest.raises(Busy):
        alice.wait(event, 0.3)
    assert alice.lag().events == 2
    with road.carrying():
        assert alice.wait(event).position > 0
        alice.close()


def test_a_refusal_that_ingest_did_not_write_is_ignored(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path) as alice:
        alice.flush(10)
        with road.turn:
            road.sign("mira", "session.opened", software="direct/1")
            event = alice.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
            (outgoing,) = alice._spool.pending(0, 9)
            road.ledger.seal()
            before = list(road.ledger.entries)
            road.sign(
                "mira", RecordRefused, record_sha256=outgoing.sha256.hex(), reason="signature", topic="t", partition=0,
                offset=0, claimed_author="alice", claimed_session=event.session,
            )  # fmt: skip
            deliver(road, "alice", forge(road))
            road.ledger.entries[:] = before
            road.ledger.seal()
        assert alice.wait(event).position > 0


def test_a_refusal_of_a_record_that_is_not_ours_changes_nothing(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path) as alice:
        event = alice.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
        with road.turn:
            road.refuse_record(b"somebody else's bytes", event)
        assert alice.wait(event).position > 0


def test_what_was_refused_goes_on_record_by_the_receiver(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path, "bob") as bob:
        bob.flush(10)
        with road.turn:
            event = road.sign("alice", MessageSent, **message_fields(to="mira"))
            deliver(road, "bob", forge(road))
        while "message.refused" not in road.kinds("bob"):
            bob.flush(10)
        refused = next(event for event in road.events("bob") if event.kind == "message.refused")
        assert (refused.reason, refused.cause) == ("not_addressed", (event.id,))
        assert headers.decode(road.ledger.entries[refused.position].state[:-64]) == event


def test_a_hole_in_the_inbox_stops_it_until_it_is_filled(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "one", "two", "three")
    records = inbox_records(road)
    hole = next(place for place, record in enumerate(records) if parse_enclosure(record).envelope.sealed is not None)
    road.bus.make_anew(BOB)
    deliver(road, "bob", *records[:hole], *records[hole + 1 :])
    assert texts_in(bob) == []
    road.bus.make_anew(BOB)
    road.new_delivery().step()
    bob.pump(0)
    assert texts_in(bob) == ["one", "two", "three"]


def test_an_inbox_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    road = Road()
    spool = Spool(tmp_path / "n.db")
    mailbox = road.mailbox("newcomer", spool)
    assert mailbox.next_message(0.1) is None
    road.register("newcomer", "agent")
    sent(road, tmp_path, "welcome", to="newcomer")
    assert texts_in(mailbox) == ["welcome"]
    assert mailbox.own_key() is not None
    mailbox.close()
    spool.close()


def test_a_bus_that_is_away_is_busy_and_nothing_is_lost(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "hello")
    road.bus.away = True
    with pytest.raises(Busy):
        bob.next_message(0)
    road.bus.away = False
    assert texts_in(bob) == ["hello"]


def test_a_spool_full_of_messages_takes_no_more_until_one_is_done(road: Road, tmp_path: Path) -> None:
    sent(road, tmp_path, "one", "two")
    spool = Spool(tmp_path / "bob-inbox.db", bytes_max=1)
    mailbox = road.mailbox("bob", spool)
    first = mailbox.next_message(0)
    assert first is not None
    with pytest.raises(Busy, match="2 messages"):
        mailbox.pump(0)
    mailbox.done(first)
    assert texts_in(mailbox) == ["two"]
    mailbox.pump(0)
    mailbox.close()
    spool.close()


def test_several_threads_may_wait_on_one_mailbox(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path, "bob") as bob, road.at_work(tmp_path) as alice:
        got: list[Delivered | None] = []
        assert bob.mailbox is not None
        waiting = threading.Thread(target=lambda: got.append(bob.mailbox.next_message(20)))
        waiting.start()
        for _ in range(3):
            bob.wait(bob.record(DecisionMade, subject="commit", subject_digest="0" * 64, model="m", verdict="comment"))
        alice.send("bob", "test.note", Reason(text="hello"))
        waiting.join(20)
        assert [from_payload(one.payload, Reason).text for one in got if one] == ["hello"]


def test_an_interruption_while_reading_loses_nothing(road: Road, tmp_path: Path) -> None:
    class InterruptedReader:
        def __init__(self, reader: TopicReader) -> None:
            self._reader = reader

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

        def poll(self, max_records: int, timeout_ms: int) -> Any:
            self._reader.poll(max_records, timeout_ms)
            raise KeyboardInterrupt

    sent(road, tmp_path, "hello")
    spool, interrupted = Spool(tmp_path / "bob-inbox.db"), [True]

    def open_reader() -> Any:
        reader = road.bus.reader(BOB, 0)
        return InterruptedReader(reader) if interrupted.pop() else reader

    mailbox = Mailbox(signer=signer("bob"), trust=TRUST, open_reader=open_reader, spool=spool)
    with pytest.raises(KeyboardInterrupt):
        mailbox.pump(0)
    interrupted.append(False)
    assert texts_in(mailbox) == ["hello"]
    mailbox.close()
    spool.close()


def test_receipts_are_kept_up_to_their_limit(monkeypatch: pytest.MonkeyPatch, road: Road, tmp_path: Path) -> None:
    assert RECEIPTS_KEPT_MAX == 10_000
    monkeypatch.setattr("tenuto.mailbox.RECEIPTS_KEPT_MAX", 2)
    with road.at_work(tmp_path) as alice:
        events = [alice.decision("comment", subject="commit", subject_digest="0" * 64, model="m") for _ in range(3)]
        alice.flush(20)
        assert alice.mailbox is not None
        assert [alice.mailbox.verdict(event.id) is not None for event in events] == [False, True, True]
        with pytest.raises(Refused, match="too long ago"):
            alice.wait(events[0])

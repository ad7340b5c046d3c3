from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tenuto import header as headers
from tenuto.documents import Reason
from tenuto.enclosure import inbox_topic
from tenuto.errors import Busy
from tenuto.events import MessageSent, RecordRefused
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.note import NoteSigner
from tenuto.mailbox import Mailbox
from tenuto.spool import Spool

from tests.unit.door.inboxes import deliver, forge, message_fields, ready, reasons, sent, texts_in
from tests.unit.door.mini_ledger import LOG, ORIGIN, Road, signer


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
        alice.flush(60)
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
        bob.flush(60)
        with road.turn:
            event = road.sign("alice", MessageSent, **message_fields(to="mira"))
            deliver(road, "bob", forge(road))
        while "message.refused" not in road.kinds("bob"):
            bob.flush(60)
        refused = next(event for event in road.events("bob") if event.kind == "message.refused")
        assert (refused.reason, refused.cause) == ("not_addressed", (event.id,))
        assert headers.decode(road.ledger.entries[refused.position].state[:-64]) == event



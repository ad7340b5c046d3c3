"""What the tests of the mailbox share: sending through the mini ledger, forging records, reading what arrives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tenuto.documents import Reason, from_payload, to_payload
from tenuto.enclosure import Enclosure, inbox_topic
from tenuto.envelope import Envelope
from tenuto.events import MessageSent
from tenuto.log.proof import inclusion_proof
from tenuto.mailbox import Mailbox
from tenuto.payload import seal

from tests.unit.door.mini_ledger import Road, signer

BOB = inbox_topic("bob")

def sent(road: Road, folder: Path, *texts: str, to: str = "bob", author: str = "alice") -> list[MessageSent]:
    """Let a whole session of `author` send these messages; at the end they are in the inbox of `to`."""
    with road.at_work(folder, author) as recorder:
        messages = [recorder.send(to, "test.note", Reason(text=text)) for text in texts]
        recorder.flush(60)
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



"""What is refused, for each reason that ingest can give, and what it leaves as evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import get_args

import pytest
from tenuto.envelope import RECORD_BYTES_MAX, Envelope
from tenuto.events import (
    HEADER_BYTES_MAX,
    KeyRevoked,
    RecordRefused,
    RunStarted,
    SessionOpened,
)
from tenuto.events.record import RefusalReason
from tenuto.payload import Ciphertext, Sealed
from tenuto.settings import EVENTS_TOPIC
from tenuto.signing import sign_header

from tests.unit.ingest.place import Place, opened, record_of
from tests.written import Author, register, signed, signer_of

# Reasons that no record can get here: `replayed` belongs to receivers, `clock_skew` to detection.
NOT_INGESTS = {"replayed", "clock_skew"}


def raw(place: Place, author: Author, old: bytes, new: bytes) -> bytes:
    """A header that our encoder would not write, with a valid signature."""
    header = author.write().envelope.header.replace(old, new)
    return Envelope(header, sign_header(author.signer, header)).to_bytes()


def oversized_header(place: Place, author: Author) -> bytes:
    return b"TNT1" + (HEADER_BYTES_MAX + 1).to_bytes(2, "big") + bytes(HEADER_BYTES_MAX + 1 + 64)


def revoked(place: Place, author: Author) -> bytes:
    place.bring(place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="lost"))
    return author.write().record


def of_unknown_author(place: Place, author: Author) -> bytes:
    return Author("mallory").open().record


def with_another_signature(place: Place, author: Author) -> bytes:
    return record_of(author.write(), signature=bytes(64))


def by_another_authors_key(place: Place, author: Author) -> bytes:
    event = author.write().event
    return signed(event, signer_of("infrastructure")).record


def with_another_payload(place: Place, author: Author) -> bytes:
    told = author.write(payload=b"a plan")
    assert told.envelope.sealed is not None
    body = bytes([told.envelope.sealed.ciphertext.body[0] ^ 1]) + told.envelope.sealed.ciphertext.body[1:]
    box = Ciphertext(told.envelope.sealed.ciphertext.nonce, body)
    return record_of(told, sealed=Sealed(told.envelope.sealed.sealed_key, box))


def sealed_to_another_epoch(place: Place, author: Author) -> bytes:
    return record_of(author.write(payload=b"a plan"), epoch=2)


def with_an_uncommitted_payload(place: Place, author: Author) -> bytes:
    twin = Author("deployment").write(payload=b"a plan")
    return record_of(author.write(), sealed=twin.envelope.sealed, epoch=1)


def in_anothers_session(place: Place, author: Author) -> bytes:
    intruder = Author("infrastructure")
    intruder.session, intruder.seq, intruder.prev = author.session, author.seq, author.prev
    return intruder.write().record


REFUSALS: list[tuple[str, Callable[[Place, Author], bytes]]] = [
    ("malformed", lambda place, author: b""),
    ("malformed", lambda place, author: b"not an envelope"),
    ("malformed", lambda place, author: author.write().record[:-1]),
    ("malformed", lambda place, author: author.write().record + b"\0"),
    ("malformed", lambda place, author: raw(place, author, b'"seq"', b' "seq"')),
    ("oversized", lambda place, author: bytes(RECORD_BYTES_MAX + 1)),
    ("oversized", oversized_header),
    ("unknown_kind", lambda place, author: raw(place, author, b"tool.started", b"tool.stopped")),
    ("unknown_version", lambda place, author: raw(place, author, b'"v":1', b'"v":2')),
    ("wrong_origin", lambda place, author: author.write(log_origin="another/log").record),
    ("unknown_key", of_unknown_author),
    ("unknown_key", lambda place, author: author.write(key_id="f" * 16).record),
    ("revoked_key", revoked),
    ("signature", with_another_signature),
    ("signature", by_another_authors_key),
    ("entitlement", lambda place, author: author.write(RunStarted, workflow="change").record),
    ("entitlement", lambda place, author: register(author, "mallory", "agent").record),
    ("payload", with_another_payload),
    ("payload", sealed_to_another_epoch),
    ("payload", with_an_uncommitted_payload),
    ("payload", lambda place, author: record_of(author.write(payload=b"a plan"), sealed=None)),
    ("broken_chain", lambda place, author: author.write(prev="e" * 64).record),
    ("broken_chain", lambda place, author: Author("deployment").write().record),
    ("broken_chain", in_anothers_session),
]


def test_the_table_of_refusals_has_every_reason_that_ingest_can_give() -> None:
    assert {reason for reason, _ in REFUSALS} == set(get_args(RefusalReason)) - NOT_INGESTS


@pytest.mark.parametrize(("reason", "forge"), REFUSALS)
def test_a_refused_record_is_evidence_once_and_its_neighbours_enter(
    place: Place, reason: str, forge: Callable[[Place, Author], bytes]
) -> None:
    bystander, author = Author("infrastructure"), opened(place)
    before = author.session, author.seq, author.prev
    record = forge(place, author)
    size, offset = place.store.head().size, len(place.bus.records(EVENTS_TOPIC)) + 1
    assert place.bring(bystander.open(), record, bystander.write()) == 4  # the two, ingest's session, the refusal
    refusal = place.said(RecordRefused)[-1]
    assert (refusal.reason, refusal.topic, refusal.partition, refusal.offset) == (reason, EVENTS_TOPIC, 0, offset)
    assert refusal.record_sha256 == hashlib.sha256(record).hexdigest()
    assert place.session(bystander) == [0, 1]
    place.restart()
    assert place.ingest.step() == 0
    assert place.store.head().size == size + 4
    if reason != "revoked_key":  # the author's chain is not hurt by it
        author.session, author.seq, author.prev = before
        assert place.bring(author.write()) == 1


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (with_another_signature, True),
        (lambda place, author: raw(place, author, b"tool.started", b"tool.stopped"), True),
        (lambda place, author: author.write(log_origin="another/log").record, True),
        (lambda place, author: raw(place, author, b'"deployment"', b'"Ignore the above"'), False),
        (lambda place, author: b"not an envelope", False),
    ],
)
def test_a_refusal_says_whose_the_record_claims_to_be_where_that_can_be_made_out(
    place: Place, forge: Callable[[Place, Author], bytes], named: bool
) -> None:
    author = opened(place)
    record = forge(place, author)
    place.bring(record)
    refusal = place.said(RecordRefused)[-1]
    assert refusal.claimed_author == ("deployment" if named else None)
    assert refusal.record_sha256 == hashlib.sha256(record).hexdigest()


def test_ingest_opens_one_session_and_all_it_says_is_its_chain(place: Place) -> None:
    for _ in range(3):
        place.bring(b"rubbish", b"more rubbish")
    mine = [one.event for one in place.events() if one.event.author == "ingest"]
    assert [event.seq for event in mine] == list(range(7))
    assert isinstance(mine[0], SessionOpened)
    assert [event.offset for event in mine[1:]] == list(range(5, 11))

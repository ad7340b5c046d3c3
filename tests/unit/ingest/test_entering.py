"""What enters: whole sessions, with the keys that were valid at their place."""

from __future__ import annotations

import pytest
from tenuto.adapters.memory import MemoryLedger, Rows
from tenuto.clock import EPOCH
from tenuto.events import (
    KeyRevoked,
    KeyRotated,
    RecordRefused,
)
from tenuto.verification import VerificationFailed

from tests.unit.ingest.place import Place, opened
from tests.written import Author, batch_of, genesis, register, signer_of


def test_a_valid_session_enters_whole_with_its_payloads(place: Place) -> None:
    author = Author("deployment")
    assert place.bring(author.open(), author.write(payload=b"a plan"), author.write()) == 3
    assert [one.payload for one in place.events()[-3:]] == [None, b"a plan", None]
    assert place.ingest.waiting is None


def test_a_payload_key_is_wrapped_anew_and_the_sealed_one_is_not_kept(place: Place) -> None:
    author = opened(place)
    told = author.write(payload=b"a plan")
    place.bring(told)
    stored = place.store.read(place.store.head().size - 1, 1)[0].payload
    assert stored is not None
    assert told.envelope.sealed is not None
    assert stored.body == told.envelope.sealed.ciphertext.body
    assert told.envelope.sealed.sealed_key not in stored.wrapped_key


def test_the_ledgers_clock_stamps_and_the_authors_claim_is_left_to_detection(place: Place) -> None:
    author = opened(place)
    place.clock.advance(3)
    assert place.bring(author.write(at=EPOCH)) == 1
    last = place.events()[-1]
    assert (last.recorded_at, last.event.at) == (place.clock.now(), EPOCH)


def test_a_key_registered_earlier_in_the_batch_counts_for_what_follows_it() -> None:
    place = Place(founded=False)
    author = Author("deployment")
    assert place.bring(*genesis(place.root), author.open(), author.write()) == 7
    assert place.session(author) == [0, 1]


def test_a_key_revoked_earlier_in_the_batch_does_not_count_any_more(place: Place) -> None:
    author = opened(place)
    revoked = place.root.write(
        KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="compromised"
    )
    place.bring(author.write(), revoked, author.write())
    assert place.session(author) == [0, 1]
    assert [one.reason for one in place.said(RecordRefused)] == ["revoked_key"]


def test_a_rotated_key_carries_the_session_on(place: Place) -> None:
    author, new = opened(place), signer_of("deployment", 1)
    old, rotation = (
        author.signer,
        {"subject": "deployment", "subject_key_id": new.key_id, "public_key": new.public_key.hex()},
    )
    place.bring(author.write(KeyRotated, old_key_id=old.key_id, **rotation))
    author.signer = new
    place.bring(author.write())
    assert place.session(author) == [0, 1, 2]


def test_a_rotation_that_is_refused_leaves_the_old_key_valid(place: Place) -> None:
    author = opened(place)
    taken = signer_of("infrastructure")
    rotation = {"subject": "deployment", "subject_key_id": taken.key_id, "public_key": taken.public_key.hex()}
    before = author.seq, author.prev
    wrong = author.write(KeyRotated, old_key_id=author.signer.key_id, **rotation)
    author.seq, author.prev = before
    place.bring(wrong, author.write())
    assert place.session(author) == [0, 1]
    assert [one.record_sha256 for one in place.said(RecordRefused)] == [wrong.sha256]


def test_the_ring_is_folded_again_after_a_restart(place: Place) -> None:
    place.restart()
    author = Author("deployment")
    assert place.bring(*author.session_of(3)) == 3


def test_a_key_event_that_the_root_never_signed_stops_ingest_at_its_start(place: Place) -> None:
    forger = Author("root", signer=signer_of("root", 1))
    forger.signer.key_id = place.root.signer.key_id
    place.store.append(batch_of([forger.open(), register(forger, "mallory", "root")], folded=5))
    ingest = place.start(MemoryLedger(Rows(entries=place.store.rows.entries, frontier=place.store.rows.frontier)))
    with pytest.raises(VerificationFailed, match="Step 3 .* position 6"):
        ingest.step()

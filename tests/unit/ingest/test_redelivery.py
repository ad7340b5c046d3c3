"""What was there before: redelivered in silence, or evidence that an author said two things for one place."""

from __future__ import annotations

import pytest
from tenuto.events import (
    KeyRevoked,
    RecordEquivocation,
    RecordRefused,
)
from tenuto.settings import EVENTS_TOPIC

from tests.unit.ingest.place import Place, opened, other_than, record_of
from tests.written import Author


def test_a_redelivered_record_is_acknowledged_in_silence(place: Place) -> None:
    author = Author("deployment")
    session = author.session_of(3)
    assert place.bring(*session, session[1]) == 3
    assert place.bring(*session) == 0
    assert place.store.claim(place.bus.reader(EVENTS_TOPIC, 0).partition_identity()) == 5 + 7
    assert place.said(RecordRefused) == place.said(RecordEquivocation) == []


def test_a_redelivery_after_the_key_was_revoked_is_no_offence(place: Place) -> None:
    author = opened(place)
    told = author.write()
    place.bring(
        told, place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="retired")
    )
    place.bring(told)
    assert place.said(RecordRefused) == []


@pytest.mark.parametrize("together", [True, False])
def test_two_events_for_one_place_are_an_equivocation_on_record_once(place: Place, together: bool) -> None:
    author = opened(place)
    told = author.write()
    other = other_than(author, told)
    for records in ([told, other, other],) if together else ([told], [other], [other]):
        place.bring(*records)
    place.restart()
    place.bring(other, author.write())
    found = place.said(RecordEquivocation)
    assert len(found) == 1
    assert (found[0].claimed_author, found[0].gap_session, found[0].at_seq) == ("deployment", author.session, 1)
    assert (found[0].recorded_header, found[0].other_header) == (told.hash, other.hash)
    assert place.session(author) == [0, 1, 2]


def test_each_further_header_for_the_place_is_its_own_equivocation(place: Place) -> None:
    author = opened(place)
    told = author.write()
    others = [other_than(author, told, call=f"call-{number}") for number in range(3)]
    place.bring(told, *others, *others)
    assert [one.other_header for one in place.said(RecordEquivocation)] == [other.hash for other in others]


def test_another_header_while_the_first_one_waits_is_an_equivocation_at_once(place: Place) -> None:
    author = opened(place)
    missing, early = author.write(), author.write()
    other = other_than(author, early)
    place.bring(early, other)
    place.bring(early, other)
    assert [one.other_header for one in place.said(RecordEquivocation)] == [other.hash]
    place.bring(missing)
    place.bring(other)
    assert place.session(author) == [0, 1, 2]
    assert len(place.said(RecordEquivocation)) == 1


def test_nobody_is_framed_with_an_equivocation_that_is_not_signed(place: Place) -> None:
    author = opened(place)
    told = author.write()
    place.bring(told, record_of(other_than(author, told), signature=bytes(64)))
    assert place.said(RecordEquivocation) == []
    assert [one.reason for one in place.said(RecordRefused)] == ["signature"]

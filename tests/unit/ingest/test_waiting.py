"""What comes before its predecessors waits for them, and not for ever."""

from __future__ import annotations

import pytest
from tenuto.clock import ClockWatch
from tenuto.events import (
    KeyRevoked,
    RecordGap,
    RecordRefused,
)
from tenuto.intake.judging import PARKED_PER_SESSION_MAX

from tests.unit.ingest.place import Place, opened
from tests.written import Author


def test_a_record_that_came_early_waits_and_enters_in_its_place(place: Place) -> None:
    author = opened(place)
    one, two, three = author.write(), author.write(), author.write()
    assert place.bring(three, two) == 0
    assert [kept.seq for kept in place.store.parked()] == [2, 3]
    assert place.bring(one) == 3
    assert (place.session(author), place.store.parked()) == ([0, 1, 2, 3], [])


def test_a_waiting_record_survives_a_restart(place: Place) -> None:
    author = opened(place)
    one, two = author.write(payload=b"one"), author.write(payload=b"two")
    place.bring(two)
    place.restart()
    place.bring(one)
    assert place.session(author) == [0, 1, 2]


def test_a_reordered_session_within_one_batch_never_waits_in_the_ledger(place: Place) -> None:
    author = Author("deployment")
    session = author.session_of(5)
    assert place.bring(*reversed(session)) == 5
    assert place.session(author) == [0, 1, 2, 3, 4]


def test_a_hole_that_outlives_its_bound_is_a_gap_and_what_follows_enters(place: Place) -> None:
    author = opened(place)
    lost, kept, next_one = author.write(), author.write(), author.write()
    place.bring(kept, next_one)
    place.clock.advance(29.9)
    assert place.ingest.step() == 0
    place.clock.advance(0.1)
    assert place.ingest.step() == 4  # ingest's session, the gap, the two
    gap = place.said(RecordGap)[0]
    assert (gap.gap_session, gap.first_seq, gap.last_seq) == (author.session, 1, 1)
    assert place.session(author) == [0, 2, 3]
    place.bring(lost, author.write())
    assert place.session(author) == [0, 2, 3, 4]
    assert [(one.reason, one.record_sha256) for one in place.said(RecordRefused)] == [("broken_chain", lost.sha256)]


def test_a_session_whose_opening_was_lost_goes_on_after_a_gap(place: Place) -> None:
    author = Author("deployment")
    author.open()
    place.bring(author.write())
    place.clock.advance(30)
    place.ingest.step()
    assert [(gap.first_seq, gap.last_seq) for gap in place.said(RecordGap)] == [(0, 0)]
    assert place.session(author) == [1]
    assert place.bring(author.write()) == 1


def test_several_holes_of_one_session_are_several_gaps(place: Place) -> None:
    author = opened(place)
    kept = [author.write() for _ in range(7)][1::2]
    place.bring(*kept)
    place.clock.advance(30)
    place.ingest.step()
    assert [(gap.first_seq, gap.last_seq) for gap in place.said(RecordGap)] == [(1, 1), (3, 3), (5, 5)]
    assert place.session(author) == [0, 2, 4, 6]


def test_the_time_of_a_hole_does_not_run_while_nobody_reads(place: Place) -> None:
    author = opened(place)
    late, early = author.write(), author.write()
    place.bring(early)
    place.clock.advance(3600)
    place.restart()
    assert place.bring() == 0
    place.clock.advance(29)
    assert place.bring(late) == 2
    assert place.said(RecordGap) == []


def test_a_record_whose_key_was_revoked_while_it_waited_is_refused(place: Place) -> None:
    author = opened(place)
    one, two = author.write(), author.write()
    place.bring(two)
    place.bring(
        one, place.root.write(KeyRevoked, subject="deployment", subject_key_id=author.signer.key_id, reason="lost")
    )
    assert place.session(author) == [0, 1, 2], "it was released by its predecessor, before the revocation"
    author = Author("infrastructure")
    place.bring(author.open())
    one, two = author.write(), author.write()
    place.bring(two)
    place.bring(
        place.root.write(KeyRevoked, subject="infrastructure", subject_key_id=author.signer.key_id, reason="lost")
    )
    place.clock.advance(30)
    place.ingest.step()
    assert place.session(author) == [0]
    assert [(one.reason, one.record_sha256) for one in place.said(RecordRefused)] == [("revoked_key", two.sha256)]
    assert place.store.parked() == []


@pytest.mark.parametrize(("over", "refused"), [(0, 0), (1, 1)])
def test_so_many_records_of_one_session_wait_and_no_more(place: Place, over: int, refused: int) -> None:
    author = opened(place)
    author.write()
    place.bring(*(author.write() for _ in range(PARKED_PER_SESSION_MAX + over)))
    assert len(place.store.parked()) == PARKED_PER_SESSION_MAX
    assert len(place.said(RecordRefused)) == refused


def watched(place: Place) -> list[float]:
    """Let ingest watch the clock; returns the seconds that really passed, to be moved by the test."""
    steady = [0.0]
    place.ingest.clock_watch = ClockWatch(place.clock, lambda: steady[0])
    return steady


def test_a_hole_is_not_given_up_because_the_clock_was_set_ahead(place: Place) -> None:
    steady = watched(place)
    author = opened(place)
    late, early = author.write(), author.write()
    place.bring(early)
    place.clock.advance(86_400)
    assert place.ingest.step() == 0
    place.clock.advance(29)
    steady[0] += 29
    assert place.bring(late) == 2
    assert place.said(RecordGap) == []


def test_a_hole_is_given_up_after_its_bound_although_the_clock_was_set_back(place: Place) -> None:
    steady = watched(place)
    author = opened(place)
    author.write()
    place.bring(author.write())
    place.clock.advance(-3600)
    assert place.ingest.step() == 0
    for passed, entered in ((29.9, 0), (0.1, 3)):
        place.clock.advance(passed)
        steady[0] += passed
        assert place.ingest.step() == entered
    assert [(gap.first_seq, gap.last_seq) for gap in place.said(RecordGap)] == [(1, 1)]

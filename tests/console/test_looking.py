"""Time on screen, beat by beat."""

from __future__ import annotations

from tenuto_dashboard.looking import BEAT_MILLISECONDS_MAX, Looking

LEAST = {"a": 4_000, "b": 1_000}


def test_time_goes_to_the_piece_that_is_open() -> None:
    looking = Looking()
    looking.show("a", 10.0)
    looking.beat(12.0)
    looking.show("b", 13.0)
    looking.beat(14.0)
    assert (looking.total("a"), looking.total("b")) == (3_000, 1_000)


def test_a_page_that_was_away_gets_the_cap_and_no_more() -> None:
    looking = Looking()
    looking.show("a", 0.0)
    looking.beat(BEAT_MILLISECONDS_MAX / 1000)
    assert looking.total("a") == BEAT_MILLISECONDS_MAX
    looking.beat(3600.0)
    assert looking.total("a") == 2 * BEAT_MILLISECONDS_MAX


def test_nothing_is_counted_before_anything_is_open() -> None:
    looking = Looking()
    looking.beat(5.0)
    looking.show("a", 100.0)
    assert looking.due(LEAST) == []
    assert looking.total("a") == 0


def test_a_piece_is_told_once_when_it_has_its_least_time() -> None:
    looking = Looking()
    looking.show("a", 0.0)
    looking.beat(2.0)
    assert looking.due(LEAST) == []
    looking.beat(4.0)
    assert looking.due(LEAST) == [("a", 4_000)]
    looking.tell("a", 4_000)
    looking.beat(6.0)
    assert looking.due(LEAST) == [], "more of it changes nothing"


def test_a_piece_that_is_left_is_told_and_counts_on_when_it_is_opened_again() -> None:
    looking = Looking()
    looking.show("a", 0.0)
    looking.show("b", 1.5)
    assert looking.due(LEAST) == [("a", 1_500)]
    looking.tell("a", 1_500)
    looking.show("a", 3.5)
    assert looking.due(LEAST) == [("b", 2_000)]
    looking.tell("b", 2_000)
    looking.beat(6.0)
    assert looking.due(LEAST) == [("a", 2_500)]


def test_a_clock_that_runs_back_takes_nothing_away() -> None:
    looking = Looking()
    looking.show("a", 5.0)
    looking.beat(3.0)
    assert looking.total("a") == 0

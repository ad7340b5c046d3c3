"""Times are exact and identities sort by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.clock import CLOCK_STEP_SECONDS, EPOCH, ClockWatch, SystemClock, from_micros, micros, new_uuid7

from tests.doubles import StoppedClock


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_a_moment_survives_its_microseconds(moment: datetime) -> None:
    assert from_micros(micros(moment)) == moment


@settings(deadline=None)
@given(st.integers(-(2**50), 2**57))
def test_microseconds_survive_their_moment(value: int) -> None:
    assert micros(from_micros(value)) == value


def test_the_same_moment_in_another_zone_has_the_same_microseconds() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC)
    assert (
        micros(moment) == micros(moment.astimezone(timezone(timedelta(hours=5, minutes=30)))) == 1_795_521_600_000_001
    )
    assert micros(EPOCH) == 0


def test_the_machine_tells_the_time_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert now > datetime(2026, 1, 1, tzinfo=UTC)


def test_an_id_is_a_version_7_uuid_of_now() -> None:
    before = micros(SystemClock().now()) // 1000
    one = new_uuid7()
    after = micros(SystemClock().now()) // 1000
    assert one.version == 7
    assert one.variant == "specified in RFC 4122"
    assert before <= one.int >> 80 <= after


def test_a_thousand_ids_are_a_thousand() -> None:
    assert len({new_uuid7() for _ in range(1000)}) == 1000


def test_ids_of_one_millisecond_differ_in_their_random_bits_only() -> None:
    ids = [new_uuid7().int for _ in range(500)]
    ones, zeros = 0, ~0
    for value in ids:
        ones, zeros = ones | value, zeros & value
    assert ones & (1 << 62) - 1 == (1 << 62) - 1
    assert zeros & (1 << 62) - 1 == 0


def test_a_clock_that_was_set_is_told_once_and_one_that_only_runs_is_not() -> None:
    clock, steady = StoppedClock(), [100.0]
    watch = ClockWatch(clock, lambda: steady[0])
    for passed, set_by, told in (
        (3600.0, 0.0, 0.0),
        (1.0, CLOCK_STEP_SECONDS - 0.001, 0.0),
        (1.0, CLOCK_STEP_SECONDS, CLOCK_STEP_SECONDS),
        (1.0, 0.0, 0.0),
        (0.0, -3600.0, -3600.0),
        (60.0, 86_400.0, 86_400.0),
    ):
        clock.advance(passed + set_by)
        steady[0] += passed
        assert abs(watch.moved() - told) < 1e-6

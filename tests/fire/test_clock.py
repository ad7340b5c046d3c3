"""Ingest's clock is set, ahead by a day and back by hours: time on record never runs back, and nothing is judged by the jump."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from tenuto.approvals.fold import DECISIONS_PER_HOUR_MAX, Approvals
from tenuto.clock import ClockWatch
from tenuto.events import ApprovalRequested, ApprovalSigned, Event, RecordGap, RecordRefused
from tenuto_projections.anomalies.rules import Rules

from tests.conftest import Database
from tests.fire.door import Door
from tests.fire.plant import Plant
from tests.written import Author, Written

LONG, SHORT = 600.0, 0.5
"""Seconds for which a hole is waited: so long that no busy machine makes a gap of it, and so short that one comes."""
DIGEST = "d" * 64
DAY = timedelta(days=1)
TOPICS = iter(range(1000))


class SetClock:
    """The machine's clock, as somebody set it."""

    def __init__(self) -> None:
        self.off = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def door(plant: Plant, database: Database, clock: SetClock) -> Iterator[Door]:
    with ExitStack() as stack:
        topic, url = f"tenuto.clock.{next(TOPICS)}", database.url("tenuto_ingest")
        door = Door(plant.kafka.bootstrap, url, topic, stack, gap_seconds=LONG)
        door.clock = clock
        begin_anew(door, LONG)
        yield door


def begin_anew(door: Door, gap_seconds: float) -> None:
    """Another life of ingest, which watches the clock and waits so long for what is missing."""
    door.end()
    door.limits["gap_seconds"] = gap_seconds
    door.begin()
    door.ingest.clock_watch = ClockWatch(door.clock)


def bring(door: Door, *records: Written) -> None:
    """Publish these and let them enter."""
    size = door.size() + len(records)
    door.publish(*records)
    door.step_until(lambda: door.size() >= size)


def test_a_jump_of_the_clock_gives_up_no_hole_and_turns_no_time_back(
    door: Door, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    author = Author("deployment", now=datetime.now(UTC))
    bring(door, author.open())
    for jump, word in ((DAY, "ahead by 86400 s"), (-DAY - timedelta(hours=1), "back by 90000 s")):
        late, early = author.write(), author.write()
        door.publish(early)
        door.step_until(lambda: len(door.store.parked()) == 1)
        with caplog.at_level(logging.ERROR, "tenuto.ingest"):
            clock.off += jump
            door.ingest.step()
        assert f"set {word}" in caplog.text
        bring(door, late)
    assert door.session(author) == list(range(5))
    assert door.said(RecordGap) == door.said(RecordRefused) == []
    times = [one.recorded_at for one in door.events()]
    assert times == sorted(times)
    assert max(times) - datetime.now(UTC) > DAY / 2, "the ledger's time stays where it was, ahead of the clock"
    found = [one for one in Rules().take(door.events()) if one.rule == "clock_behind" and one.suspect == "deployment"]
    assert len(found) == 1, "the detector raises it once for the session"


def test_a_hole_from_before_the_clock_was_set_back_is_given_up_after_its_bound_and_not_an_hour_later(
    door: Door, clock: SetClock
) -> None:
    author = Author("deployment")
    bring(door, author.open())
    lost, kept = author.write(), author.write()
    door.publish(kept)
    door.step_until(lambda: len(door.store.parked()) == 1)
    begin_anew(door, SHORT)
    clock.off -= timedelta(hours=1)
    door.step_until(lambda: bool(door.store.read_kinds(("record.gap",), 0, 9)))
    assert [(gap.first_seq, gap.last_seq) for gap in door.said(RecordGap)] == [(lost.event.seq, lost.event.seq)]
    assert door.session(author) == [0, 2]


def asked(agent: Author, name: str, expires: datetime) -> Written:
    return agent.write(
        ApprovalRequested, approval=name, subject="terraform.plan", digest=DIGEST, tool="infra.apply",
        resource="env/prod", initiator="ada", quorum=1, expires=expires,
    )  # fmt: skip


def approved(reviewer: Author, name: str) -> Written:
    return reviewer.write(ApprovalSigned, approval=name, digest=DIGEST, decision="approve")


def fold(door: Door) -> tuple[Approvals, datetime]:
    """The approvals as anybody recomputes them, and the ledger's own time."""
    approvals, last = Approvals(), datetime.now(UTC)
    for one in door.events():
        approvals.apply(one)
        last = one.recorded_at
    return approvals, last


def test_caps_and_expiry_mean_the_same_after_the_clock_was_set(door: Door, clock: SetClock) -> None:
    """Both count in the ledger's time. A jump ahead ends what expired by it for good, and going back reopens nothing."""
    agent, reviewer = Author("deployment"), Author("demo-reviewer")
    bring(door, agent.open(), reviewer.open())
    soon, later = clock.now() + timedelta(hours=1), clock.now() + 3 * DAY
    many = [f"card-{number}" for number in range(DECISIONS_PER_HOUR_MAX + 1)]
    bring(door, asked(agent, "short", soon), *(asked(agent, name, later) for name in many))
    clock.off += DAY
    bring(door, approved(reviewer, many[0]))
    clock.off -= DAY + timedelta(hours=2)
    bring(door, approved(reviewer, "short"), *(approved(reviewer, name) for name in many[1:]))
    approvals, now = fold(door)
    assert now > soon, "the ledger's time did not go back with the clock"
    assert approvals.standing("short", now).state == "expired"
    assert not approvals.standing("short", now).counting
    granted = [name for name in many if approvals.standing(name, now).state == "granted"]
    assert granted == many[:DECISIONS_PER_HOUR_MAX], "ten in a sliding hour of the ledger's time, and not one more"
    kinds: list[type[Event]] = [type(one.event) for one in door.events()]
    assert kinds.count(ApprovalSigned) == len(many) + 1, "all of it stands on record; the cap is judged, not enforced by loss"

"""Ingest's clock is set, ahead by a day and back by hours: time on record never runs back, and nothing is judged by the jump."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from tenuto.approvals.fold import Approvals
from tenuto.approvals.roster import DECISIONS_PER_HOUR_MAX
from tenuto.clock import ClockWatch
from tenuto.documents import ApprovalCard
from tenuto.events import (
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    PolicyDecided,
    RecordGap,
    RecordRefused,
    ToolRequested,
)
from tenuto_projections.anomalies.rules import Rules

from tests.conftest import Database
from tests.fire.door import Door
from tests.fire.plant import Plant
from tests.reviewing import CONSOLE, committed, listed, shown
from tests.written import Author, Written, register

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


CARD = ApprovalCard(title="A plan", sentence="One thing changes.")


def asked(agent: Author, name: str, expires: datetime) -> list[Written]:
    """What an agent records before people can decide; the request comes last."""
    target = {"tool": "infra.apply", "resource": "env/prod", "digest": DIGEST}
    decision = {"effect": "allow", "rules": ("r",), "bundle": "b" * 64, "engine": "e", "obligation": "approval"}
    written = [agent.write(ToolRequested, call=f"call-{name}", **target)]
    written.append(agent.write(PolicyDecided, call=f"call-{name}", **decision))
    cause = (written[-1].event.id,)
    written += [agent.write(ApprovalListed, approval=name, digest=DIGEST, **part) for part in listed(CARD)]
    request = agent.write(
        ApprovalRequested, approval=name, subject="terraform.plan", initiator="ada", quorum=1, expires=expires,
        call=f"call-{name}", cause=cause, **target, **committed(CARD),
    )  # fmt: skip
    return [*written, request]


def approved(reviewer: Author, console: Author, asked: list[Written]) -> list[Written]:
    """A vote by a reviewer to whom a console showed everything."""
    request = asked[-1].event
    assert isinstance(request, ApprovalRequested)
    views, coverage = shown([one.event for one in asked], request, reviewer.name)
    vote = {"approval": request.approval, "digest": DIGEST, "decision": "approve", "coverage": coverage}
    return [*(console.write(ApprovalViewed, **view) for view in views), reviewer.write(ApprovalSigned, **vote)]


def fold(door: Door) -> tuple[Approvals, datetime]:
    """The approvals as anybody recomputes them, and the ledger's own time."""
    approvals, last = Approvals(), datetime.now(UTC)
    for one in door.events():
        approvals.apply(one)
        last = one.recorded_at
    return approvals, last


def test_caps_and_expiry_mean_the_same_after_the_clock_was_set(door: Door, clock: SetClock) -> None:
    """Both count in the ledger's time. A jump ahead ends what expired by it for good, and going back reopens nothing."""
    agent, reviewer, console = Author("deployment"), Author("demo-reviewer"), Author(CONSOLE)
    bring(door, register(door.root, CONSOLE, "console"), agent.open(), reviewer.open())
    bring(door, console.open())
    soon, later = clock.now() + timedelta(hours=1), clock.now() + 3 * DAY
    many = [f"card-{number}" for number in range(DECISIONS_PER_HOUR_MAX + 1)]
    cards = {name: asked(agent, name, soon if name == "short" else later) for name in ("short", *many)}
    bring(door, *(one for card in cards.values() for one in card))
    clock.off += DAY
    bring(door, *approved(reviewer, console, cards[many[0]]))
    clock.off -= DAY + timedelta(hours=2)
    bring(door, *(one for name in ("short", *many[1:]) for one in approved(reviewer, console, cards[name])))
    approvals, now = fold(door)
    assert now > soon, "the ledger's time did not go back with the clock"
    assert approvals.standing("short", now).state == "expired"
    assert not approvals.standing("short", now).counting
    granted = [name for name in many if approvals.standing(name, now).state == "granted"]
    assert granted == many[:DECISIONS_PER_HOUR_MAX], "ten in a sliding hour of the ledger's time, and not one more"
    kinds: list[type[Event]] = [type(one.event) for one in door.events()]
    assert kinds.count(ApprovalSigned) == len(many) + 1, "all of it stands on record; the cap is judged, not enforced by loss"

"""Review on real parts: attacks on rule 3 through ingest and the gate, a cap that holds in parallel, two routers at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import tenuto.wiring
from tenuto.approvals import Approvals
from tenuto.approvals.desk import Desk
from tenuto.approvals.roster import DECISIONS_PER_HOUR_MAX
from tenuto.cli import reviewers
from tenuto.clock import SystemClock
from tenuto.documents import ApprovalCard, PlannedChange, Result
from tenuto.events import (
    ApprovalAssigned,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    PolicyDecided,
    ToolRequested,
    ToolStarted,
)
from tenuto.gate import Action
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.router import Router
from tenuto.wiring import open_gate

from tests.conftest import Database
from tests.reviewing import committed, listed, shown
from tests.road import SECONDS_MAX, Road, answer, look, until

KEYS = tuple(f"lena-{number}" for number in range(8))
PEOPLE = (
    Enrolment("infrastructure", "agent", "ada"), Enrolment("console", "console", "operations"),
    Enrolment("router", "router", "operations"), Enrolment("router-2", "router", "operations"), Enrolment("otto", "reviewer", "otto"),
    *(Enrolment(name, "reviewer", "lena") for name in KEYS),
)  # fmt: skip
DIGEST = "d" * 64
ROLE = PlannedChange(address="aws_iam_role.x", type="aws_iam_role", actions=("update",), risks=("iam",), before={"a": 1}, after={"a": 2})
CARD = ApprovalCard(title="Change a role", sentence="One role is changed.", changes=(ROLE,))
ACTION = Action(
    tool="terraform.apply", resource="stack:shop", digest=DIGEST, subject="terraform.plan", risks=("iam",), initiator="mara",
    card=CARD, arguments={"resources": ["aws_iam_role.x"], "open_to_world": 0},
)  # fmt: skip


class ShiftedClock:
    """The machine's clock, and whatever the test adds to it."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + ShiftedClock.ahead


@pytest.fixture
def road(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    monkeypatch.setattr(ShiftedClock, "ahead", timedelta(0))
    monkeypatch.setattr(tenuto.wiring, "SystemClock", ShiftedClock)
    with Road(tmp_path / "home", database) as opened, opened.working():
        opened.register(*PEOPLE)
        yield opened


def folded(road: Road) -> Approvals:
    approvals = Approvals()
    for verified in road.read():
        approvals.apply(verified)
    return approvals


def asked_of(road: Road) -> ApprovalRequested:
    return until(lambda: next((one for one in road.events("infrastructure", ApprovalRequested)), None))  # type: ignore[return-value]


def test_the_real_gate_opens_for_what_was_seen_and_for_nothing_else(road: Road) -> None:
    touched = Flag()

    def execute() -> Result:
        touched.set()
        return Result(text="applied")

    with ExitStack() as stack:
        agent, console, lena, otto = (
            stack.enter_context(road.recorder(name)) for name in ("infrastructure", "console", KEYS[0], "otto")
        )
        gate = open_gate(road.settings, agent)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        outcome = pool.submit(gate.run, ACTION, execute, run="run-1")
        asked = asked_of(road)
        about: dict[str, Any] = {"approval": asked.approval, "digest": asked.digest, "run": "run-1", "decision": "approve"}
        # A script with the reviewer's key: no console showed anything.
        otto.wait(otto.record(ApprovalSigned, **about), SECONDS_MAX)
        # One piece was left a millisecond too early.
        views, _ = shown(road.events("infrastructure"), asked, "otto")
        hurried = views[0] | {"milliseconds": views[0]["milliseconds"] - 1}
        console.wait([console.record(ApprovalViewed, **view) for view in (hurried, *views[1:])][-1], SECONDS_MAX)
        little = folded(road).coverage(asked.approval, "otto").digest
        otto.wait(otto.record(ApprovalSigned, coverage=little, **about), SECONDS_MAX)
        # Everything was seen, and then an older digest is signed.
        whole = look(road, console, asked, KEYS[0])
        old = about | {"digest": "e" * 64}
        lena.wait(lena.record(ApprovalSigned, coverage=whole, **old), SECONDS_MAX)
        votes = folded(road).standing(asked.approval, ShiftedClock().now()).votes
        assert [vote.rule for vote in votes] == [3, 3, 1]
        assert "2 of 2 pieces were not opened, the first: aws_iam_role.x" in votes[0].sentence
        assert "aws_iam_role.x was open for" in votes[1].sentence
        assert not outcome.done()
        assert not touched.is_set()
        lena.wait(lena.record(ApprovalSigned, coverage=whole, **about), SECONDS_MAX)
        assert outcome.result(SECONDS_MAX).approval == asked.approval
    assert touched.is_set()
    assert len(road.events("infrastructure", ToolStarted)) == 1


def ask(agent: Recorder, number: int) -> ApprovalRequested:
    """Everything a gate records before it waits, without the waiting."""
    call, name = f"call-{number}", f"approval-{number}"
    target = {"tool": "terraform.apply", "resource": "stack:shop", "digest": DIGEST}
    agent.record(ToolRequested, call=call, **target)
    decided = agent.record(
        PolicyDecided, call=call, effect="allow", rules=("r",), bundle=DIGEST, engine="e", obligation="approval"
    )
    for part in listed(CARD, ("iam",)):
        agent.record(ApprovalListed, approval=name, digest=DIGEST, **part)
    expires = ShiftedClock().now() + timedelta(hours=5)
    return agent.record(
        ApprovalRequested, document=CARD, cause=(decided.id,), approval=name, subject="terraform.plan", initiator="mara",
        quorum=1, expires=expires, risks=("iam",), call=call, **target, **committed(CARD, ("iam",)),
    )  # fmt: skip


def test_exactly_ten_count_of_sixteen_that_eight_connections_sign_at_once_and_across_the_hour(road: Road) -> None:
    with ExitStack() as stack:
        agent, console = (stack.enter_context(road.recorder(name)) for name in ("infrastructure", "console"))
        doors = [stack.enter_context(road.recorder(name)) for name in KEYS]
        requests = [ask(agent, number) for number in range(2 * len(KEYS))]
        agent.wait(requests[-1], SECONDS_MAX)
        coverage = {}
        for number, request in enumerate(requests):
            coverage[request.approval] = look(road, console, request, KEYS[number % len(KEYS)])
        start = Flag()

        def vote(which: int) -> None:
            start.wait(SECONDS_MAX)
            for request in requests[which :: len(KEYS)]:
                doors[which].record(
                    ApprovalSigned, approval=request.approval, digest=DIGEST, decision="approve", coverage=coverage[request.approval]
                )
            doors[which].flush(SECONDS_MAX)

        def vote_all() -> list[str]:
            with ThreadPoolExecutor(len(KEYS)) as pool:
                voting = [pool.submit(vote, which) for which in range(len(KEYS))]
                start.set()
                for one in voting:
                    one.result(SECONDS_MAX)
            approvals = folded(road)
            return [name for name in approvals.requests() if approvals.standing(name, ShiftedClock().now()).state == "granted"]

        granted = vote_all()
        assert len(granted) == DECISIONS_PER_HOUR_MAX == 10
        ShiftedClock.ahead = timedelta(minutes=58)
        assert vote_all() == granted, "within the hour nothing more counts, whoever of the eight signs again"
        ShiftedClock.ahead = timedelta(minutes=62)
        assert len(vote_all()) == len(requests), "after it the rest does"
    made = [
        vote.recorded_at for name in folded(road).requests()
        for vote in folded(road).standing(name, ShiftedClock().now()).votes if vote.counts
    ]  # fmt: skip
    assert all(sum(moment - timedelta(minutes=60) < other <= moment for other in made) <= 10 for moment in made)


def test_two_routers_at_once_assign_everything_once_and_a_denial_is_never_held_up(road: Road) -> None:
    with ExitStack() as stack:
        agent, console, otto = (stack.enter_context(road.recorder(name)) for name in ("infrastructure", "console", "otto"))
        doors = [stack.enter_context(road.recorder(name)) for name in ("router", "router-2")]
        routers = [Router(road.follower(), door, SystemClock()) for door in doors]
        requests = [ask(agent, number) for number in range(24)]
        agent.wait(requests[-1], SECONDS_MAX)
        for _ in range(2):
            for router in routers:
                router.step()  # the second looks before the ledger shows what the first has recorded
        for door in doors:
            door.flush(SECONDS_MAX)
        for router in routers:
            router.step()
        desk = Desk()
        for verified in road.read():
            desk.apply(verified)
        now = ShiftedClock().now()
        lives = {standing.request.event.approval: desk.live(standing) for standing in desk.undecided(now)}
        assert [len(live) for live in lives.values()] == [1] * 20 + [0] * 4, "two people, ten places each, oldest first"
        recorded = road.events("router", ApprovalAssigned) + road.events("router-2", ApprovalAssigned)
        assert len(recorded) > 20, "both routers did record"
        answer(road, console, otto, requests[0])
        for request in requests[1:12]:
            otto.record(ApprovalSigned, approval=request.approval, digest=DIGEST, decision="deny")
        otto.flush(SECONDS_MAX)
        approvals = folded(road)
        states = [approvals.standing(f"approval-{number}", now).state for number in range(12)]
        assert states == ["granted"] + ["denied"] * 11, "twelve decisions: the denials are never held up"


def test_the_root_enrols_and_limits_by_command(
    road: Road, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reviewers, "load_settings", lambda: road.settings)
    reviewers.enrol("otto", ["sre"], "08:00-16:00", inactive=False)
    reviewers.limit(3, 60)
    reviewers.list_reviewers()
    lines = capsys.readouterr().out.splitlines()
    assert "Each reviewer decides 3 times" in lines[1]
    [otto] = [line for line in lines[2:] if line.startswith("otto ")]
    assert otto.split() == ["otto", "active", "08:00-16:00", "UTC", "3", "of", "3", "places,", "0", "open", "sre"]
    assert folded(road).roster.decisions_per_hour == 3

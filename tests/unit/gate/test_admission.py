"""What a tool server checks for itself: each check stops an attack, and with the check switched off the attack gets through.

The ledger is real and signed, in memory; the gate and the people are real too. What the attacker has is the agent's key:
it writes whatever the agent may write, and names it to the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tenuto.admission import START_SECONDS_MAX, Admission, NotAdmitted
from tenuto.documents import Result
from tenuto.errors import Busy, Refused
from tenuto.events import (
    ApprovalConsumed,
    ApprovalRevoked,
    Event,
    KeyRevoked,
    PolicyDecided,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
)
from tenuto.gate import Action

from tests.unit.gate.road import ACTION, ASKS, QUICK, RUN, FixedPolicy, Road, open_gate, reviewer
from tests.unit.projections.written import MemoryFollower

ALLOWS = FixedPolicy()
TARGET: dict[str, Any] = {"tool": ACTION.tool, "resource": ACTION.resource, "digest": ACTION.digest}


class Memory:
    """Spent calls, for one process."""

    def __init__(self) -> None:
        self.calls: set[tuple[str, str]] = set()

    def spend(self, agent: str, call: str) -> None:
        if (agent, call) in self.calls:
            raise Refused(f"the call {call} was used before.")
        self.calls.add((agent, call))


def admission(road: Road, policy: Any = ALLOWS, spent: Any = None, kind: type[Admission] = Admission, follower: Any = None) -> Admission:
    follower = follower or MemoryFollower(road.ledger, payloads=False)
    return kind(agent="infra", follower=follower, policy=policy, spent=spent or Memory(), clock=road, patience=QUICK)


def start(road: Road, **other: Any) -> Event:
    """A start as an agent that was taken over puts it on record, without its gate."""
    return road.record(ToolStarted, **{"run": RUN, "call": "call-1"} | TARGET | other)


def admit(door: Admission, begun: Event, action: Action = ACTION, run: str = RUN) -> ToolStarted:
    return door.admit(action, run=run, start=begun.id)


def refusal(door: Admission, begun: Event, action: Action = ACTION, run: str = RUN) -> int:
    with pytest.raises(NotAdmitted) as caught:
        admit(door, begun, action, run)
    return caught.value.rule


def through_the_gate(road: Road, action: Action = ACTION, *moves: tuple[str, str]) -> ToolStarted:
    """What the gate put on record for a call that people cleared, at the moment at which its tool would be touched."""
    seen: list[ToolStarted] = []

    def execute(started: ToolStarted) -> Result:
        seen.append(started)
        raise KeyboardInterrupt  # the tool is the server's; here it is only looked at what it would have found

    road.held = lambda kind: kind is ToolUnknown
    with pytest.raises(KeyboardInterrupt):
        open_gate(road, ASKS, reviewer(road, *moves or (("lena", "approve"),))).call(action, execute, run=RUN)
    road.held = lambda kind: False
    return seen[0]


def test_a_call_that_people_cleared_is_admitted_once() -> None:
    road = Road()
    begun = through_the_gate(road)
    door = admission(road, ASKS)
    assert admit(door, begun) == begun
    assert refusal(door, begun) == 6


def test_a_call_without_a_start_on_record_is_refused() -> None:
    road = Road()
    start(road)
    with pytest.raises(NotAdmitted) as caught:
        admission(road).admit(ACTION, run=RUN, start=uuid4())
    assert caught.value.rule == 1


def test_a_start_in_another_run_is_none() -> None:
    road = Road()
    assert refusal(admission(road), start(road), run="run-2") == 1


def test_another_event_than_a_start_is_none() -> None:
    road = Road()
    begun = road.record(ToolFinished, run=RUN, call="call-1", tool=ACTION.tool, milliseconds=1)
    assert refusal(admission(road), begun) == 1


def test_the_start_of_another_agent_is_none() -> None:
    road = Road()
    road.ledger.register("deploy", "agent", "tom")
    begun = road.ledger.write("deploy", ToolStarted, run=RUN, call="call-1", **TARGET)
    assert refusal(admission(road), begun) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("tool", "terraform.plan"), ("resource", "stack:other"), ("digest", "e" * 64)]
)
def test_a_start_of_another_tool_resource_or_of_other_arguments_is_refused(name: str, value: str) -> None:
    road = Road()
    door, begun = admission(road), start(road)
    asked = replace(ACTION, **{name: value})
    assert refusal(door, begun, asked) == 2


@pytest.mark.parametrize("end", [ToolFinished, ToolFailed, ToolUnknown])
def test_a_start_whose_call_is_over_is_refused(end: type[Event]) -> None:
    road = Road()
    begun = start(road)
    fields: dict[str, Any] = {ToolFinished: {"milliseconds": 1}, ToolFailed: {"why": "error"}}.get(end, {})
    road.record(end, run=RUN, call="call-1", tool=ACTION.tool, **fields)
    assert refusal(admission(road), begun) == 3


def test_a_second_start_of_the_same_call_is_refused_and_so_is_the_first() -> None:
    road = Road()
    first, second = start(road), start(road)
    assert [refusal(admission(road), one) for one in (first, second)] == [3, 3]


def test_a_start_is_good_for_so_many_seconds_and_no_longer() -> None:
    road = Road()
    recorded = road.ledger.now
    begun = start(road)
    road.ahead = timedelta(seconds=START_SECONDS_MAX) - (road.ledger.now - recorded)
    assert admit(admission(road), begun) == begun
    road.ahead += timedelta(seconds=1)
    assert refusal(admission(road), begun) == 3


def test_nothing_is_tried_again_blind() -> None:
    road = Road()
    start(road)
    road.record(ToolUnknown, run=RUN, call="call-1", tool=ACTION.tool)
    assert refusal(admission(road), start(road, call="call-2")) == 3


def test_what_policy_forbids_is_refused_whatever_the_agent_recorded_as_its_answer() -> None:
    road = Road()
    road.record(PolicyDecided, run=RUN, call="call-1", effect="allow", rules=("mine",), bundle="b" * 64, engine="mine/1", obligation="none")
    assert refusal(admission(road, FixedPolicy(effect="deny")), start(road)) == 4


def test_an_agent_whose_key_was_revoked_is_not_admitted_any_more() -> None:
    road = Road()
    begun = start(road)
    road.ledger.write("root", KeyRevoked, subject="infra", subject_key_id=begun.key_id, reason="compromised")
    assert refusal(admission(road), begun) == 4


def test_where_policy_wants_people_a_start_without_an_approval_is_refused() -> None:
    road = Road()
    assert refusal(admission(road, ASKS), start(road)) == 5


def test_the_risks_that_the_server_sees_want_people_even_where_policy_does_not() -> None:
    road = Road()
    assert refusal(admission(road), start(road), replace(ACTION, risks=("iam",))) == 5


def asked_and(road: Road, then: Callable[[Any], None], *moves: tuple[str, str]) -> Event:
    """The agent asks people by its gate; then it spends the approval itself, whatever they say, and puts a start on record."""
    asked = open_gate(road, ASKS).request(ACTION, run=RUN)
    for who, _ in moves:
        road.approve(who, asked)
    then(asked)
    consumed = road.record(ApprovalConsumed, run=RUN, cause=(asked.id,), approval=asked.approval, digest=asked.digest, call=asked.call)
    return start(road, call=asked.call, cause=(consumed.id,))


def test_an_approval_that_nobody_gave_is_not_spent_by_saying_so() -> None:
    road = Road()
    assert refusal(admission(road, ASKS), asked_and(road, lambda asked: None)) == 5


def test_an_approval_that_was_withdrawn_before_it_was_spent_is_refused() -> None:
    road = Road()

    def withdraw(asked: Any) -> None:
        road.ledger.write("lena", ApprovalRevoked, approval=asked.approval, reason="mistake")

    assert refusal(admission(road, ASKS), asked_and(road, withdraw, ("lena", "approve"))) == 5


def test_an_approval_that_had_expired_is_refused() -> None:
    road = Road()

    def wait(asked: Any) -> None:
        road.ledger.now += timedelta(seconds=QUICK.approval_seconds + 1)

    assert refusal(admission(road, ASKS), asked_and(road, wait, ("lena", "approve"))) == 5


def test_an_approval_is_admitted_where_it_was_given_and_spent_in_time() -> None:
    road = Road()
    begun = asked_and(road, lambda asked: None, ("lena", "approve"))
    assert admit(admission(road, ASKS), begun) == begun


def test_the_approval_of_another_call_clears_nothing() -> None:
    road = Road()
    consumed = next(iter(through_the_gate(road).cause))
    assert refusal(admission(road, ASKS), start(road, call="call-other", cause=(consumed,))) == 5


def test_risks_that_people_were_not_told_of_are_not_cleared() -> None:
    road = Road()
    begun = through_the_gate(road)
    assert refusal(admission(road, ASKS), begun, replace(ACTION, risks=("production", "iam"))) == 5


def test_an_approval_under_another_initiator_is_refused() -> None:
    road = Road()
    begun = through_the_gate(road)
    assert refusal(admission(road, ASKS), begun, replace(ACTION, initiator="lena")) == 5


def test_people_who_were_asked_for_one_vote_do_not_clear_what_wants_two() -> None:
    road = Road()
    begun = through_the_gate(road)
    assert refusal(admission(road, FixedPolicy("approval_and_one_more")), begun) == 5


def test_a_ledger_that_is_away_admits_nothing() -> None:
    road = Road()
    begun = start(road)

    class Away(MemoryFollower):
        def pages(self) -> Any:
            raise Busy("The ledger is away.")

    spent = Memory()
    with pytest.raises(Busy):
        admit(admission(road, spent=spent, follower=Away(road.ledger, payloads=False)), begun)
    assert not spent.calls


def test_what_was_refused_is_not_spent() -> None:
    road = Road()
    spent = Memory()
    assert refusal(admission(road, ASKS, spent), start(road)) == 5
    assert not spent.calls


OFF: dict[str, str] = {"_demand_under_way": "over", "_demand_cleared": "uncleared"}


@pytest.mark.parametrize("check", sorted(OFF))
def test_with_a_check_switched_off_its_attack_gets_through(check: str) -> None:
    """So it is this check, and no other, that stops the attack."""
    road = Road()
    without = type("Without", (Admission,), {check: lambda *_: None})
    if OFF[check] == "over":
        begun, policy = start(road), ALLOWS
        road.record(ToolFinished, run=RUN, call="call-1", tool=ACTION.tool, milliseconds=1)
    else:
        begun, policy = start(road), ASKS
    refusal(admission(road, policy), begun)
    assert admit(admission(road, policy, kind=without), begun) == begun


def test_without_a_memory_of_what_is_spent_a_start_would_be_good_twice() -> None:
    road = Road()
    begun = start(road)

    class Forgetful:
        def spend(self, agent: str, call: str) -> None:
            """Nothing is remembered."""

    door = admission(road, spent=Forgetful())
    assert admit(door, begun) == admit(door, begun)
    assert isinstance(begun.id, UUID)

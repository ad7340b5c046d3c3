"""Outcomes that nobody knows: never retried blind, ended by a person's word and by nothing that the agent says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tenuto.approvals import Approvals
from tenuto.documents import Result
from tenuto.events import ReviewerEnrolled, ToolFailed, ToolFinished, ToolReconciled, ToolStarted, ToolUnknown
from tenuto.gate import ActionRefused, OutcomeUnknown
from tenuto.outcomes import Outcomes

from tests.unit.gate.road import ACTION, ASKS, FixedPolicy, Road, Tool, open_gate, refused, reviewer
from tests.unit.projections.written import MemoryFollower

TARGET = {"tool": ACTION.tool, "resource": ACTION.resource, "digest": ACTION.digest}


def lose() -> Result:
    raise OutcomeUnknown("the connection broke")


def lost_call(road: Road) -> str:
    """Let one call end with an unknown outcome and return its name."""
    with pytest.raises(OutcomeUnknown):
        open_gate(road, FixedPolicy()).run(ACTION, lose, run="run-1")
    return str(road.last(ToolUnknown).call)


def reconcile(road: Road, call: str, /, by: str = "lena", outcome: str = "not_done", **changed: str) -> None:
    said = {"agent": "infra", "call": call, "tool": ACTION.tool} | changed
    road.ledger.write(by, ToolReconciled, outcome=outcome, **said)


def folded(road: Road) -> Outcomes:
    approvals = Approvals()
    outcomes = Outcomes(approvals.roster)
    for page in MemoryFollower(road.ledger, payloads=False).pages():
        for verified in page:
            approvals.apply(verified)
            outcomes.apply(verified)
    return outcomes


def test_what_may_have_happened_is_not_tried_again_before_policy_is_even_asked():
    road, policy = Road(), FixedPolicy()
    call = lost_call(road)
    error = refused(open_gate(road, policy), Tool())
    assert f"tenuto reconcile {call}" in str(error)
    assert policy.asked == []
    assert road.kinds()[-2:] == ["tool.requested", "tool.failed"]
    assert road.last(ToolFailed).why == "refused"


def test_a_request_for_later_is_refused_as_well():
    road = Road()
    lost_call(road)
    with pytest.raises(ActionRefused, match="blind"):
        open_gate(road, ASKS).request(ACTION, run="run-2")


@pytest.mark.parametrize("outcome", ["done", "not_done", "mended"])
def test_after_a_person_has_said_how_it_ended_the_agent_goes_on(outcome):
    road = Road()
    reconcile(road, lost_call(road), outcome=outcome)
    tool = Tool()
    open_gate(road, FixedPolicy()).run(ACTION, tool, run="run-2")
    assert tool.touched == 1


def test_another_tool_or_another_resource_is_not_held_up():
    road = Road()
    lost_call(road)
    for action in (replace(ACTION, tool="terraform.plan"), replace(ACTION, resource="stack:other")):
        tool = Tool()
        open_gate(road, FixedPolicy()).run(action, tool, run="run-2")
        assert tool.touched == 1


def test_one_agent_that_lost_a_call_holds_up_no_other():
    road = Road()
    lost_call(road)
    road.ledger.register("infra-2", "agent", "ada")
    road.author, tool = "infra-2", Tool()
    open_gate(road, FixedPolicy()).run(ACTION, tool, run="run-2")
    assert tool.touched == 1


@pytest.mark.parametrize("kind", [ToolFinished, ToolFailed, ToolUnknown])
def test_nothing_that_the_agent_says_afterwards_ends_it(kind):
    road = Road()
    call = lost_call(road)
    more = {ToolFinished: {"milliseconds": 1}, ToolFailed: {"why": "error"}}.get(kind, {})
    road.ledger.write("infra", kind, call=call, tool=ACTION.tool, **more)
    refused(open_gate(road, FixedPolicy()), Tool())


@pytest.mark.parametrize(
    ("by", "changed", "sentence"),
    [("ada-key", {}, "ada answers for the agent"), ("idle", {}, "idle is not an active reviewer"),
     ("lena", {"call": "call-9"}, "no such call"), ("lena", {"tool": "terraform.plan"}, "no such call"),
     ("lena", {"agent": "otto"}, "no such call")],
)  # fmt: skip
def test_a_word_that_does_not_count_says_why_and_lets_nothing_through(by, changed, sentence):
    road = Road()
    call = lost_call(road)
    road.ledger.register("ada-key", "reviewer", "ada")
    road.ledger.register("idle", "reviewer", "idle")
    road.ledger.write("root", ReviewerEnrolled, reviewer="idle", roles=("sre",), active=False)
    reconcile(road, call, by, **changed)
    [said] = folded(road).said(changed.get("agent", "infra"), changed.get("call", call))
    assert sentence in said.sentence
    refused(open_gate(road, FixedPolicy()), Tool())


def test_a_process_that_died_with_the_tool_in_its_hand_leaves_an_unknown_outcome():
    road = Road()
    road.ledger.write("infra", ToolStarted, call="call-1", run="run-1", **TARGET)
    assert folded(road).unknown() == (), "it may still be at work"
    road.ledger.open("infra")
    [lost] = folded(road).unknown()
    assert (lost.call, lost.resource, lost.told) == ("call-1", ACTION.resource, False)
    refused(open_gate(road, FixedPolicy()), Tool())
    road.ledger.write("infra", ToolFinished, call="call-1", tool=ACTION.tool, milliseconds=1)
    assert folded(road).unknown() == (), "its end came after all"


def test_a_call_that_ended_is_not_unknown_whatever_session_follows():
    road = Road()
    open_gate(road, ASKS, reviewer(road, ("lena", "approve"))).run(ACTION, Tool(), run="run-1")
    road.ledger.open("infra")
    assert folded(road).unknown() == ()


def test_a_keeper_finishes_the_very_same_call_by_repeating_its_command():
    road = Road()
    road.ledger.register("keeper", "keeper", "kim")
    road.ledger.write("keeper", ToolStarted, call="call-1", **TARGET)
    road.ledger.write("keeper", ToolUnknown, call="call-1", tool=ACTION.tool)
    road.ledger.write("keeper", ToolFailed, call="call-1", tool=ACTION.tool, why="error")
    assert [lost.call for lost in folded(road).unknown()] == ["call-1"]
    road.ledger.write("keeper", ToolFinished, call="call-1", tool=ACTION.tool, milliseconds=1)
    assert folded(road).unknown() == ()


def test_what_people_cleared_is_resumed_as_it_was_asked_and_once():
    """A plan swapped after the approval, and a second use, by the very author who asked."""
    road = Road()
    gate, tool = open_gate(road, ASKS), Tool()
    asked = gate.request(ACTION, run="run-1")
    road.approve("lena", asked)
    for other in (replace(ACTION, digest="e" * 64), replace(ACTION, resource="stack:other"), replace(ACTION, tool="terraform.adopt")):
        with pytest.raises(ActionRefused, match="asked about another"):
            gate.resume(asked, other, tool)
    assert tool.touched == 0
    gate.resume(asked, ACTION, tool)
    with pytest.raises(ActionRefused, match="good for one execution"):
        gate.resume(asked, ACTION, tool)
    assert tool.touched == 1

"""What goes through the gate, in which order it is on record, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tenuto.approvals.pieces import list_digest
from tenuto.documents import ApprovalCard, PlannedChange, Result, to_payload
from tenuto.errors import Busy, Refused
from tenuto.events import (
    PAYLOAD_BYTES_MAX,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    PolicyDecided,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from tenuto.gate import OutcomeUnknown
from tenuto.policy import load_policy
from tenuto.policy.history import questions
from tenuto.seeing import LedgerView

from tests.unit.gate.road import (
    ACTION,
    ASKED,
    ASKS,
    ASKS_TWO,
    BUNDLE,
    DIGEST,
    REQUESTED,
    RUN,
    FixedPolicy,
    Road,
    Tool,
    open_gate,
    refused,
    reviewer,
)  # fmt: skip
from tests.unit.projections.written import MemoryFollower

ROLE = PlannedChange(address="aws_iam_role.x", type="aws_iam_role", actions=("update",), risks=("iam",), before={"a": 1}, after={"a": 2})
GRAVE_CARD = ApprovalCard(title="Change a role", sentence="One role is changed.", changes=(ROLE,))


def test_an_allowed_call_runs_once_its_start_is_on_record():
    road = Road()
    seen = []
    gate = open_gate(road, FixedPolicy())
    tool = Tool(lambda: seen.extend(one.event.kind for one in gate.events_of(RUN)) or Result(text="done"))
    outcome = gate.run(ACTION, tool, run=RUN)
    assert (outcome.result.text, outcome.approval, tool.touched) == ("done", None, 1)
    assert seen == [*REQUESTED, "tool.started"], "the start was under a checkpoint before the tool ran"
    assert road.kinds() == [*REQUESTED, "tool.started", "tool.finished"]
    assert {event.call for event in road.ledger.events[road.before :]} == {outcome.call}


def test_what_was_asked_decided_and_done_is_on_record():
    road = Road()
    policy = FixedPolicy(rules=("one", "two"))
    open_gate(road, policy).run(ACTION, Tool(), run=RUN, cause=(road.ledger.events[0].id,))
    requested, decided, finished = road.last(ToolRequested), road.last(PolicyDecided), road.last(ToolFinished)
    assert (requested.tool, requested.resource, requested.digest) == ("terraform.apply", "stack:shop", DIGEST)
    assert (requested.run, requested.refs, requested.cause) == (RUN, ("R2",), (road.ledger.events[0].id,))
    assert road.document(ToolRequested).values == {"resources": ["one"]}
    assert (decided.effect, decided.rules, decided.bundle, decided.engine) == ("allow", ("one", "two"), BUNDLE, "fixed/1")
    assert decided.cause == (requested.id,)
    assert finished.cause == (road.last(ToolStarted).id,)
    assert road.document(ToolFinished).text == "applied"


def test_policy_is_asked_with_the_role_that_the_ledger_knows():
    policy = FixedPolicy()
    open_gate(Road(), policy).run(ACTION, Tool(), run=RUN)
    asked = policy.asked[0]
    assert (asked.principal, asked.role, asked.tool, asked.risks) == ("infra", "agent", "terraform.apply", ("production",))
    assert (asked.initiator, asked.subject, asked.arguments) == ("mara", "terraform.plan", {"resources": ["one"]})


def test_an_approved_call_spends_its_approval_before_it_starts():
    road = Road()
    gate = open_gate(road, ASKS, reviewer(road, ("lena", "approve")))
    tool = Tool()
    outcome = gate.run(ACTION, tool, run=RUN)
    assert road.kinds() == [
        *ASKED, "approval.signed", "approval.granted", "approval.consumed", "tool.started", "tool.finished",
    ]  # fmt: skip
    asked = road.last(ApprovalRequested)
    assert (asked.approval, asked.quorum, asked.initiator, asked.digest) == (outcome.approval, 1, "mara", DIGEST)
    assert asked.expires - asked.at == timedelta(seconds=600)
    assert road.document(ApprovalRequested).policy_rules == ("rule",)
    assert gate.approvals.consumed_by(asked.approval) == outcome.call
    assert tool.touched == 1


def test_one_more_approval_waits_for_two_people():
    road = Road()
    gate = open_gate(road, ASKS_TWO, reviewer(road, ("lena", "approve"), ("lena", "approve"), ("otto", "approve")))
    gate.run(ACTION, Tool(), run=RUN)
    assert road.kinds().count("approval.signed") == 3
    assert road.last(ApprovalRequested).quorum == 2
    assert road.kinds().index("approval.granted") > max(i for i, kind in enumerate(road.kinds()) if kind == "approval.signed")


def test_the_reference_bundle_decides_through_the_gate():
    road = Road("infrastructure")
    gate = open_gate(road, load_policy(), reviewer(road, ("lena", "approve")))
    action = replace(ACTION, risks=("security_group",), card=GRAVE_CARD, arguments={"resources": ["one"], "open_to_world": 0})
    gate.run(action, Tool(), run=RUN)
    assert road.last(ApprovalRequested).quorum == 1
    assert road.document(ApprovalRequested).policy_rules == ("infrastructure.applies", "infrastructure.exposes")
    other = Road("code-review")
    assert "no_permit" in str(refused(open_gate(other, load_policy()), Tool(), action))


@pytest.mark.parametrize(("risk", "people"), [("security_group", 1), ("iam", 1), ("public_endpoint", 1), ("deletion", 2)])
def test_a_grave_risk_asks_people_even_where_policy_demands_nobody(risk, people):
    road = Road()
    votes = (("lena", "approve"), ("otto", "approve"))[:people]
    gate = open_gate(road, FixedPolicy("none"), reviewer(road, *votes))
    gate.run(replace(ACTION, risks=(risk,), card=GRAVE_CARD), Tool(), run=RUN)
    assert road.last(ApprovalRequested).quorum == people
    assert road.kinds().count("approval.signed") == people


def test_what_has_to_be_seen_is_on_record_before_anybody_is_asked():
    road = Road()
    open_gate(road, ASKS, reviewer(road, ("lena", "approve"))).run(replace(ACTION, card=GRAVE_CARD), Tool(), run=RUN)
    asked, pieces = road.last(ApprovalRequested), road.last(ApprovalListed)
    assert pieces.names == ("aws_iam_role.x", "summary")
    assert (pieces.approval, pieces.digest) == (asked.approval, DIGEST)
    entries = zip(pieces.pieces, pieces.names, pieces.risks, pieces.milliseconds, strict=True)
    assert (asked.pieces, asked.pieces_count) == (list_digest(entries), 2)
    assert asked.review_milliseconds == sum(pieces.milliseconds)
    assert asked.call == road.last(ToolRequested).call


def test_two_calls_after_each_other_ask_twice():
    road = Road()

    def before():
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        signed = {event.approval for event in road.ledger.events if isinstance(event, ApprovalSigned)}
        for event in asked:
            if event.approval not in signed:
                road.approve("lena", event)

    gate, tool = open_gate(road, ASKS, before), Tool()
    first, second = (gate.run(ACTION, tool, run=RUN) for _ in range(2))
    assert first.approval != second.approval
    assert first.call != second.call
    assert tool.touched == 2


def raising(error):
    def how():
        raise error

    return how


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("no such stack"), ToolFailed), (Refused("stale plan"), ToolFailed), (Busy("away"), ToolFailed),
     (OutcomeUnknown("it timed out"), ToolUnknown), (KeyboardInterrupt("stop"), ToolUnknown)],
)  # fmt: skip
def test_how_a_tool_fails_is_on_record_and_raised_again(error, kind):
    road = Road()
    tool = Tool(raising(error))
    with pytest.raises(type(error)) as caught:
        open_gate(road, FixedPolicy()).run(ACTION, tool, run=RUN)
    assert caught.value is error
    assert tool.touched == 1
    assert road.kinds() == [*REQUESTED, "tool.started", kind.__struct_config__.tag]
    assert str(error) in road.document(kind).text
    assert kind is ToolUnknown or road.last(ToolFailed).why == "error"


def test_a_result_that_cannot_be_written_down_still_ends_the_call():
    road = Road()
    result = Result(values={"handle": object()})
    assert open_gate(road, FixedPolicy()).run(ACTION, Tool(lambda: result), run=RUN).result is result
    assert road.kinds()[-1] == "tool.finished"
    assert "cannot be written down" in road.document(ToolFinished).text


def test_a_result_of_exactly_the_limit_is_kept_and_one_above_it_still_ends_the_call():
    room = PAYLOAD_BYTES_MAX - len(to_payload(Result(text="x"))[1]) + 1
    road = Road()
    open_gate(road, FixedPolicy()).run(ACTION, Tool(lambda: Result(text="x" * room)), run=RUN)
    assert len(road.document(ToolFinished).text) == room
    open_gate(road, FixedPolicy()).run(ACTION, Tool(lambda: Result(text="x" * (room + 1))), run=RUN)
    assert "at most" in road.document(ToolFinished).text


def test_a_view_looks_no_more_often_than_it_was_told(monkeypatch):
    road = Road()
    naps = []
    monkeypatch.setattr("tenuto.seeing.time.sleep", naps.append)
    view = LedgerView(MemoryFollower(road.ledger, payloads=False), ledger_seconds=1, poll_seconds=0.07)
    looks = iter([None, None, "there"])
    assert view.wait_for(lambda: next(looks)) == "there"
    assert naps == [0.07, 0.07]


def test_what_policy_was_asked_is_on_record_so_that_it_can_be_asked_again():
    road, policy = Road(), FixedPolicy()
    open_gate(road, policy).run(ACTION, Tool(), run=RUN)
    (asked,) = questions(road.ledger.verified())
    assert asked.request == policy.asked[0]

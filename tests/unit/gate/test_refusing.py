"""Policy or people say no: each way leaves the tool untouched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tenuto.approvals.coverage import first_coverage, next_coverage
from tenuto.errors import Refused
from tenuto.events import (
    ApprovalConsumed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    KeyRevoked,
    PolicyDecided,
    ToolFailed,
)

from tests.reviewing import CONSOLE, shown
from tests.unit.gate.road import (
    ACTION,
    ASKED,
    ASKS,
    ASKS_TWO,
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


def test_a_denied_call_is_refused_with_the_rules_that_deny():
    road = Road()
    error = refused(open_gate(road, FixedPolicy(effect="deny", rules=("plan.over_limit",))), Tool())
    assert "plan.over_limit" in str(error)
    assert error.reason == "policy"
    assert road.kinds() == [*REQUESTED, "tool.failed"]
    assert road.last(ToolFailed).why == "refused"
    assert "plan.over_limit" in road.document(ToolFailed).text


def test_a_policy_that_raises_is_a_deny_on_record():
    road = Road()
    policy = FixedPolicy()
    policy.decide = lambda request: 1 / 0
    error = refused(open_gate(road, policy), Tool())
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert road.kinds() == [*REQUESTED, "tool.failed"]
    assert (road.last(PolicyDecided).effect, road.last(PolicyDecided).rules) == ("deny", ("error",))


def test_an_engine_that_breaks_down_ends_everything_but_not_unrecorded():
    class Panic(BaseException):
        pass

    road = Road()
    policy = FixedPolicy()

    def panic(request):
        raise Panic

    policy.decide = panic
    refused(open_gate(road, policy), Tool(), error=Panic)
    assert road.last(PolicyDecided).rules == ("error",)


def test_an_undefined_answer_starts_nothing():
    refused(open_gate(Road(), FixedPolicy(effect="perhaps")), Tool(), error=Refused)
    refused(open_gate(Road(), FixedPolicy(obligation="a nod")), Tool(), error=Refused)
    policy = FixedPolicy()
    policy.decide = lambda request: None
    refused(open_gate(Road(), policy), Tool(), error=AttributeError)


def test_an_author_whose_key_was_revoked_does_nothing_more():
    road = Road()
    road.held = lambda kind: True
    key = next(event for event in road.ledger.events if getattr(event, "subject", "") == "infra")
    road.ledger.write(
        "root", KeyRevoked, subject="infra", subject_key_id=key.subject_key_id, reason="compromised"
    )
    error = refused(open_gate(road, FixedPolicy()), Tool(), error=Refused)
    assert "no valid key" in str(error)


@pytest.mark.parametrize(
    ("action", "says"),
    [(replace(ACTION, card=None), "no card"), (replace(ACTION, initiator=""), "no initiator"), (replace(ACTION, risks=("bad luck",)), "bad luck")],
)
@pytest.mark.parametrize("policy", [ASKS, ASKS_TWO])
def test_an_approval_that_cannot_be_asked_for_is_refused_and_not_skipped(action, says, policy):
    road = Road()
    error = refused(open_gate(road, policy), Tool(), action)
    assert says in str(error)
    assert road.kinds() == [*REQUESTED, "tool.failed"]


def test_a_denied_approval_refuses_with_the_rule():
    road = Road()
    error = refused(open_gate(road, ASKS, reviewer(road, ("otto", "deny"))), Tool())
    assert error.reason == "not_approved"
    assert "Rule 5" in str(error)
    assert "otto" in str(error)
    assert road.kinds() == [*ASKED, "approval.signed", "approval.denied", "tool.failed"]
    assert road.last(ToolFailed).why == "not_approved"


def test_a_revoked_request_refuses():
    road = Road()

    def revoke():
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        if asked and "approval.revoked" not in road.kinds():
            road.ledger.write("lena", ApprovalRevoked, approval=asked[0].approval, reason="mistake")

    error = refused(open_gate(road, ASKS, revoke), Tool())
    assert "Rule 6" in str(error)
    assert road.kinds() == [*ASKED, "approval.revoked", "tool.failed"]


@pytest.mark.parametrize("clock", ["the ledger's", "the gate's"])
def test_a_request_that_nobody_answers_expires(clock):
    road = Road()

    def wait():
        if "approval.requested" not in road.kinds():
            return
        if clock == "the gate's":
            road.ahead += timedelta(minutes=6)
        else:
            road.ledger.now += timedelta(minutes=6)
            road.ledger.open("root")

    error = refused(open_gate(road, ASKS, wait), Tool())
    assert "Rule 6" in str(error)
    assert road.kinds()[-2:] == ["approval.expired", "tool.failed"]


@pytest.mark.parametrize(("who", "digest"), [("lena", "e" * 64), ("ada-key", DIGEST), ("mara", DIGEST)])
def test_an_approval_that_does_not_count_clears_nothing(who, digest):
    road = Road()
    road.ledger.register("ada-key", "reviewer", "ada")
    road.ledger.register("mara", "reviewer", "mara")
    signs = reviewer(road, (who, "approve"), digest=digest)

    def before():
        signs()
        road.ahead += timedelta(minutes=1)

    refused(open_gate(road, ASKS, before), Tool())
    assert road.kinds()[-7:] == [*ASKED, "approval.signed", "approval.expired", "tool.failed"]


def test_an_approval_spent_by_a_copy_of_the_call_first_is_not_spent_again():
    road = Road()
    sign = reviewer(road, ("lena", "approve"))
    record = road.record

    def race(kind, **fields):
        if kind is ApprovalConsumed:
            road.ledger.write("infra", ApprovalConsumed, approval=fields["approval"], digest=DIGEST, call=fields["call"])
        return record(kind, **fields)

    road.record = race
    error = refused(open_gate(road, ASKS, sign), Tool())
    assert road.last(ApprovalConsumed).call in str(error)
    assert "Rule 7" in str(error)
    assert road.kinds()[-4:] == ["approval.granted", "approval.consumed", "approval.consumed", "tool.failed"]


def test_an_approval_is_not_spent_on_a_call_that_it_was_not_asked_for():
    road = Road()
    record = road.record

    def steal(kind, **fields):
        if kind is ApprovalConsumed:
            road.ledger.write("infra", ApprovalConsumed, approval=fields["approval"], digest=DIGEST, call="call-other")
        return record(kind, **fields)

    road.record = steal
    gate, tool = open_gate(road, ASKS, reviewer(road, ("lena", "approve"))), Tool()
    outcome = gate.run(ACTION, tool, run=RUN)
    assert tool.touched == 1
    assert gate.approvals.consumed_by(outcome.approval) == outcome.call


@pytest.mark.parametrize("spoil", ["revoke", "deny", "expire"])
def test_an_approval_that_is_gone_before_it_was_spent_starts_nothing(spoil):
    road = Road()
    record = road.record

    def late(kind, **fields):
        if kind is ApprovalConsumed and spoil == "expire":
            road.ledger.now += timedelta(hours=1)
        elif kind is ApprovalConsumed and spoil == "revoke":
            road.ledger.write("otto", ApprovalRevoked, approval=fields["approval"], reason="emergency")
        elif kind is ApprovalConsumed:
            road.ledger.write("otto", ApprovalSigned, approval=fields["approval"], digest=DIGEST, decision="deny")
        return record(kind, **fields)

    road.record = late
    error = refused(open_gate(road, ASKS, reviewer(road, ("lena", "approve"))), Tool())
    assert error.reason == "not_approved"
    assert "tool.started" not in road.kinds()


def test_an_approval_by_a_direct_call_clears_nothing_and_says_what_was_not_opened():
    road = Road()

    def script():
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        if asked and "approval.signed" not in road.kinds():
            road.ledger.write("lena", ApprovalSigned, approval=asked[0].approval, digest=DIGEST, decision="approve")
        road.ahead += timedelta(minutes=1)

    gate = open_gate(road, ASKS, script)
    refused(gate, Tool())
    [vote] = gate.approvals.standing(road.last(ApprovalRequested).approval, road.now()).votes
    assert (vote.counts, vote.rule, vote.sentence) == (False, 3, "1 of 1 pieces was not opened, the first: summary.")


def test_an_approval_that_skipped_one_piece_clears_nothing():
    road = Road()

    def hurried():
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        if asked and "approval.signed" not in road.kinds():
            views, _ = shown(road.ledger.events, asked[0], "lena")
            view = views[0] | {"milliseconds": views[0]["milliseconds"] - 1}
            road.ledger.write(CONSOLE, ApprovalViewed, **view)
            coverage = next_coverage(first_coverage(asked[0].approval, DIGEST, "lena"), view["piece"], view["milliseconds"])
            road.ledger.write("lena", ApprovalSigned, approval=asked[0].approval, digest=DIGEST, decision="approve", coverage=coverage)
        road.ahead += timedelta(minutes=1)

    gate = open_gate(road, ASKS, hurried)
    refused(gate, Tool())
    [vote] = gate.approvals.standing(road.last(ApprovalRequested).approval, road.now()).votes
    assert (vote.rule, vote.counts) == (3, False)

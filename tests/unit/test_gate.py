"""The gate's steps in their order, and that each way to be refused leaves the tool untouched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tenuto.documents import Result, to_payload
from tenuto.errors import Busy, Refused, TenutoError
from tenuto.events import (
    PAYLOAD_BYTES_MAX,
    ApprovalConsumed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    KeyRevoked,
    PolicyDecided,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from tenuto.gate import ActionRefused, OutcomeUnknown
from tenuto.policy import load_policy
from tenuto.seeing import LedgerView
from tenuto.verification import VerificationFailed

from tests.unit.projections.written import ForgingFollower, MemoryFollower
from tests.unit.road import (
    ACTION,
    BUNDLE,
    DIGEST,
    RUN,
    FixedPolicy,
    Road,
    Tool,
    WatchedFollower,
    open_gate,
    reviewer,
)  # fmt: skip

ASKS, ASKS_TWO = FixedPolicy("approval"), FixedPolicy("approval_and_one_more")
REQUESTED = ["tool.requested", "policy.decided"]
ASKED = [*REQUESTED, "approval.requested"]


def refused(gate, tool, action=ACTION, error=ActionRefused):
    with pytest.raises(error) as caught:
        gate.run(action, tool, run=RUN)
    assert tool.touched == 0
    return caught.value


# --- what goes through ----------------------------------------------------------------------------------------------------


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
    assert (asked.principal, asked.role, asked.tool, asked.risks) == ("infra", "agent", "terraform.apply", ("security_group",))
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
    gate.run(ACTION, Tool(), run=RUN)
    assert road.last(ApprovalRequested).quorum == 1
    assert road.document(ApprovalRequested).policy_rules == ("infrastructure.applies", "infrastructure.exposes")
    other = Road("code-review")
    assert "no_permit" in str(refused(open_gate(other, load_policy()), Tool()))


def test_two_calls_after_each_other_ask_twice():
    road = Road()

    def before():
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        signed = {event.approval for event in road.ledger.events if isinstance(event, ApprovalSigned)}
        for event in asked:
            if event.approval not in signed:
                road.ledger.write("lena", ApprovalSigned, approval=event.approval, digest=DIGEST, decision="approve")

    gate, tool = open_gate(road, ASKS, before), Tool()
    first, second = (gate.run(ACTION, tool, run=RUN) for _ in range(2))
    assert first.approval != second.approval
    assert first.call != second.call
    assert tool.touched == 2


# --- policy says no --------------------------------------------------------------------------------------------------------


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


# --- people say no ---------------------------------------------------------------------------------------------------------


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
    assert road.kinds()[-6:] == [*ASKED, "approval.signed", "approval.expired", "tool.failed"]


def test_an_approval_spent_by_another_call_first_is_not_spent_again():
    road = Road()
    sign = reviewer(road, ("lena", "approve"))
    record = road.record

    def race(kind, **fields):
        if kind is ApprovalConsumed:
            road.ledger.write("infra", ApprovalConsumed, approval=fields["approval"], digest=DIGEST, call="call-other")
        return record(kind, **fields)

    road.record = race
    error = refused(open_gate(road, ASKS, sign), Tool())
    assert "call-other" in str(error)
    assert "Rule 7" in str(error)
    assert road.kinds()[-4:] == ["approval.granted", "approval.consumed", "approval.consumed", "tool.failed"]


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


# --- the ledger is away ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "kind"),
    [(FixedPolicy(), ToolStarted), (ASKS, ApprovalRequested), (ASKS, ApprovalConsumed), (ASKS, ToolStarted)],
)
def test_what_does_not_get_on_record_starts_nothing(policy, kind):
    road = Road()
    road.held = lambda recorded: recorded is kind
    error = refused(open_gate(road, policy, reviewer(road, ("lena", "approve"))), Tool(), error=Busy)
    assert kind.__struct_config__.tag in str(error)
    assert road.last(ToolFailed).why == "timeout"
    assert ("approval.revoked" in road.kinds()) is (kind is ApprovalRequested), "nobody waits for the answer any more"


class AwayFollower(WatchedFollower):
    """The ledger's database does not answer any more after the first page, for so many looks."""

    def __init__(self, ledger, times):
        super().__init__(ledger, lambda: None)
        self._times = times

    def pages(self):
        for page in super().pages():
            yield page
            self._answer()
        self._answer()

    def _answer(self):
        if self._times > 0:
            self._times -= 1
            raise Busy("The ledger database does not answer.")


def test_a_ledger_that_was_away_for_a_moment_loses_nothing():
    road = Road()
    gate = open_gate(road, ASKS, follower=AwayFollower(road.ledger, 2))
    assert len(road.ledger.events) > 6
    sign = reviewer(road, ("lena", "approve"))
    record = road.record

    def recording(kind, **fields):
        event = record(kind, **fields)
        if kind is ApprovalRequested:
            sign()
        return event

    road.record = recording
    gate.run(ACTION, Tool(), run=RUN)
    assert [one.event.kind for one in gate.events_of(RUN)] == [kind for kind in road.kinds() if kind != "approval.signed"]


def test_a_ledger_that_stays_away_starts_nothing():
    road = Road()
    refused(open_gate(road, FixedPolicy(), follower=AwayFollower(road.ledger, 10**6)), Tool(), error=Busy)
    assert road.kinds() == ["tool.requested", "tool.failed"]


def test_a_ledger_that_goes_away_during_the_effect_does_not_undo_it():
    road = Road()

    def effect():
        road.held = lambda kind: True
        return Result(text="applied")

    assert open_gate(road, FixedPolicy()).run(ACTION, Tool(effect), run=RUN).result.text == "applied"
    assert road.recorded[-1][0] is ToolFinished, "it lies in the recorder's spool"


# --- the ledger is not what it claims to be ----------------------------------------------------------------------------------


def test_nothing_is_done_on_a_log_that_fails_verification():
    road = Road()
    gate = open_gate(road, FixedPolicy(), follower=ForgingFollower(road.ledger))
    refused(gate, Tool(), error=VerificationFailed)
    assert gate._view.events_of(RUN) == [], "pages whose root was not compared are not known"
    refused(gate, Tool(), error=VerificationFailed)
    with pytest.raises(VerificationFailed):
        gate.events_of(RUN)
    with pytest.raises(VerificationFailed):
        gate.approvals


class Stopping(BaseException):
    """As raised by a signal handler."""


def test_a_signal_while_waiting_for_people_goes_through_and_touches_nothing():
    road = Road()

    def stop():
        if "approval.requested" in road.kinds():
            raise Stopping

    gate, tool = open_gate(road, ASKS, stop), Tool()
    refused(gate, tool, error=Stopping)
    with pytest.raises(TenutoError, match="interrupted"):
        gate.events_of(RUN)


def test_a_signal_between_two_looks_leaves_the_gate_usable(monkeypatch):
    road = Road()
    gate = open_gate(road, ASKS)

    def stop(seconds):
        raise Stopping

    monkeypatch.setattr("tenuto.seeing.time.sleep", stop)
    refused(gate, Tool(), error=Stopping)
    assert [one.event.kind for one in gate.events_of(RUN)] == ASKED


# --- how it ends -------------------------------------------------------------------------------------------------------------


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

"""The ledger is away, or is not what it claims to be: nothing starts, and nothing that happened is lost."""

from __future__ import annotations

import pytest
from tenuto.documents import Result
from tenuto.errors import Busy, TenutoError
from tenuto.events import (
    ApprovalConsumed,
    ApprovalRequested,
    ToolFailed,
    ToolFinished,
    ToolStarted,
)
from tenuto.verification import VerificationFailed

from tests.unit.gate.road import (
    ACTION,
    ASKED,
    ASKS,
    DIGEST,
    RUN,
    FixedPolicy,
    Road,
    Tool,
    WatchedFollower,
    open_gate,
    refused,
    reviewer,
)  # fmt: skip
from tests.unit.projections.written import ForgingFollower


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
    earlier = [
        road.ledger.write("infra", ToolStarted, call=f"c{number}", tool="t", resource="r:x", digest=DIGEST, run="earlier")
        for number in range(7)
    ]
    gate = open_gate(road, ASKS, follower=AwayFollower(road.ledger, 3))
    sign = reviewer(road, ("lena", "approve"))
    record = road.record

    def recording(kind, **fields):
        event = record(kind, **fields)
        if kind is ApprovalRequested:
            sign()
        return event

    road.record = recording
    gate.run(ACTION, Tool(), run=RUN)
    assert [one.event for one in gate.events_of("earlier")] == earlier, "three pages came in before the root was compared"
    assert [one.event.kind for one in gate.events_of(RUN)][-2:] == ["tool.started", "tool.finished"]


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


def test_a_log_that_failed_once_is_not_believed_again():
    road = Road()
    faults = [VerificationFailed(9, "the log signed 9 events before and only 8 now")]

    def fail_once():
        if faults:
            raise faults.pop()

    gate, tool = open_gate(road, FixedPolicy(), fail_once), Tool()
    refused(gate, tool, error=VerificationFailed)
    refused(gate, tool, error=VerificationFailed)


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

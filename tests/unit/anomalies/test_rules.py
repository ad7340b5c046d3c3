"""Every rule finds its attack, says who and on which evidence, and keeps quiet on the ordinary way to production."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tenuto.events import (
    ApprovalSigned,
    RunFinished,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto_projections.anomalies.brake import FINDINGS_PER_HOUR_MAX
from tenuto_projections.anomalies.finding import CERTAIN, RULES
from tenuto_projections.anomalies.history import SKEW_MAX
from tenuto_projections.anomalies.pace import BURST_FACTOR, BURST_MESSAGES_MIN, TEACHES_AFTER
from tenuto_projections.anomalies.rules import JUDGES
from tenuto_projections.anomalies.sources import LEARNING_MESSAGES

from tests.unit.projections.written import DIGEST, WrittenLedger

from .attacks import ATTACKS, ATTACKS_IN_A_ROW, SECOND, a_message_goes_to_a_stranger, an_author_floods, began, chatter
from .road_story import (
    found_in,
    names,
    new_ledger,
    recorded_after,
    refuse,
    review,
    send,
    whole_run,
)


@pytest.mark.parametrize(("attack", "rules", "suspect"), ATTACKS, ids=lambda value: getattr(value, "__name__", None))
def test_each_attack_is_found_by_its_rule_alone(
    attack: Callable[[WrittenLedger], None], rules: list[str], suspect: str
) -> None:
    ledger = new_ledger()
    attack(ledger)
    findings = found_in(ledger)
    assert [finding.rule for finding in findings] == rules
    for finding in findings:
        assert finding.suspect == suspect
        assert finding.score == CERTAIN
        assert finding.evidence[-1] == ledger.events[finding.position].id
        assert finding.alert == f"message-rules/{finding.rule}/{finding.position}"
        assert suspect in finding.sentence and finding.sentence.endswith(".")


def test_every_rule_has_an_attack_that_it_finds_and_every_judge_its_rule() -> None:
    assert {rule for _, rules, _ in ATTACKS for rule in rules} == {judge.__name__ for judge in JUDGES}
    assert {judge.__name__ for judge in JUDGES} | {"outlier", "overdue_check"} == set(RULES)


@pytest.mark.parametrize("page_events", [1, 7, 500])
def test_the_ordinary_way_to_production_raises_nothing(page_events: int) -> None:
    ledger = new_ledger()
    for number in range(12):
        whole_run(ledger, f"r{number}")
        ledger.now += timedelta(minutes=11)
    assert found_in(ledger, page_events) == []


def test_where_pages_begin_and_end_makes_no_difference() -> None:
    ledger = new_ledger()
    for attack, _, _ in ATTACKS_IN_A_ROW:
        attack(ledger)
        ledger.now += timedelta(minutes=11)
    whole = found_in(ledger)
    assert len(whole) > len(ATTACKS) // 2 and len({finding.rule for finding in whole}) > len(JUDGES) // 2
    assert found_in(ledger, 1) == found_in(ledger, 7) == whole


def test_no_rule_names_one_position_twice() -> None:
    ledger = new_ledger()
    for attack, _, _ in ATTACKS_IN_A_ROW:
        attack(ledger)
    alerts = [finding.alert for finding in found_in(ledger)]
    assert len(alerts) == len(set(alerts))


def test_a_new_source_is_no_news_while_the_ledger_is_young() -> None:
    ledger = new_ledger()
    chatter(ledger, LEARNING_MESSAGES - 1)
    send(ledger, "mallory", "deployment", "chat.note", None)
    assert names(ledger) == []
    send(ledger, "mallory", "deployment", "chat.note", None)
    assert names(ledger) == []


def test_a_minute_at_the_limit_is_no_burst_and_one_more_message_is() -> None:
    ledger = new_ledger()
    for _ in range(BURST_MESSAGES_MIN):
        send(ledger, "mallory", "deployment", "chat.note", None)
    assert names(ledger) == []
    send(ledger, "mallory", "deployment", "chat.note", None)
    assert names(ledger) == ["burst"]


def test_a_busy_author_may_be_busy_up_to_a_multiple_of_its_own_history() -> None:
    ledger = new_ledger()
    ledger.now = ledger.now.replace(second=0) + timedelta(minutes=1)
    for _ in range(10):
        send(ledger, "mallory", "deployment", "chat.note", None)
    ledger.now += TEACHES_AFTER + timedelta(minutes=1)
    for _ in range(BURST_FACTOR * 10):
        send(ledger, "mallory", "deployment", "chat.note", None)
    assert names(ledger) == []


def test_nobody_works_his_way_up_within_the_hour() -> None:
    ledger = new_ledger()
    for _ in range(2):
        for _ in range(BURST_MESSAGES_MIN):
            send(ledger, "mallory", "deployment", "chat.note", None)
        ledger.now += timedelta(minutes=5)
    an_author_floods(ledger)
    assert names(ledger) == ["burst"]


def test_a_burst_does_not_excuse_the_next_one() -> None:
    ledger = new_ledger()
    for _ in range(3):
        an_author_floods(ledger)
        ledger.now += timedelta(hours=2)
    assert names(ledger) == ["burst"] * 3


def test_a_backlog_after_an_outage_is_late_but_no_burst() -> None:
    ledger = new_ledger()
    for _ in range(BURST_MESSAGES_MIN * 2):
        send(ledger, "mallory", "deployment", "chat.note", None)
        ledger.now -= SECOND
    recorded_after(ledger, timedelta(0))
    late = timedelta(minutes=10)
    first = next(place for place, event in enumerate(ledger.events) if event.kind == "message.sent")
    for place in range(first, len(ledger.entries)):
        entry = ledger.entries[place]
        ledger.entries[place] = type(entry)(place, entry.recorded_at + late, entry.state, entry.payload)
    assert names(ledger) == ["clock_behind"]


def test_a_late_message_does_not_take_a_minute_over_its_limit() -> None:
    ledger = new_ledger()
    for _ in range(BURST_MESSAGES_MIN):
        send(ledger, "mallory", "deployment", "chat.note", None)
    ledger.now -= timedelta(minutes=6)
    send(ledger, "mallory", "deployment", "chat.note", None)
    recorded_after(ledger, timedelta(minutes=6))
    assert names(ledger) == ["clock_behind"]


@pytest.mark.parametrize(("over", "found"), [(timedelta(0), []), (SECOND, ["clock_behind"])])
def test_a_clock_may_be_off_by_the_limit_and_not_a_second_more(over: timedelta, found: list[str]) -> None:
    ledger = new_ledger()
    send(ledger, "code-review", "infrastructure", "chat.note", None)
    recorded_after(ledger, SKEW_MAX + over)
    assert names(ledger) == found


def test_a_refusal_that_names_nobody_accuses_nobody() -> None:
    ledger = new_ledger()
    for _ in range(5):
        refuse(ledger, None)
    assert names(ledger) == []


def test_two_refusals_are_not_yet_repeated_and_three_in_an_hour_neither() -> None:
    ledger = new_ledger()
    for _ in range(3):
        refuse(ledger, "mallory", "malformed")
        ledger.now += timedelta(minutes=6)
    assert names(ledger) == []


def test_an_author_without_a_gate_may_record_its_tools() -> None:
    ledger = new_ledger()
    ledger.write("mallory", ToolRequested, call="c1", tool="shell.run", resource="host", digest=DIGEST)
    ledger.write("mallory", ToolStarted, call="c1", tool="shell.run", resource="host", digest=DIGEST)
    ledger.write("mallory", ToolFinished, call="c1", tool="shell.run", milliseconds=1)
    assert names(ledger) == []


def test_an_agent_that_refuses_work_in_an_ended_run_is_not_accused() -> None:
    ledger = new_ledger()
    whole_run(ledger)
    ledger.write("deployment", RunFinished, run="r1", outcome="refused")
    assert names(ledger) == []
    ledger.write("deployment", RunFinished, run="r1", outcome="succeeded")
    assert names(ledger) == ["after_the_end"]


def test_a_denial_needs_no_opening() -> None:
    ledger = new_ledger()
    ledger.write("demo-reviewer", ApprovalSigned, approval="a1", digest=DIGEST, decision="deny")
    assert names(ledger) == []


def test_a_decision_of_another_run_clears_nothing() -> None:
    ledger = new_ledger()
    review(ledger, run="r2")
    began(ledger)
    send(ledger, "code-review", "infrastructure", "review.verdict")
    assert names(ledger) == ["unreviewed"]


@pytest.mark.parametrize("attempts", [FINDINGS_PER_HOUR_MAX, FINDINGS_PER_HOUR_MAX + 30])
def test_one_suspect_cannot_drown_the_others_in_alarms(attempts: int) -> None:
    ledger = new_ledger()
    for _ in range(attempts):
        a_message_goes_to_a_stranger(ledger)
        ledger.now += timedelta(seconds=10)
    send(ledger, "mallory", "nobody-here", "chat.note", None)
    findings = found_in(ledger)
    assert [finding.suspect for finding in findings] == ["code-review"] * FINDINGS_PER_HOUR_MAX + ["mallory"]
    assert "not raised again" in findings[FINDINGS_PER_HOUR_MAX - 1].sentence
    assert "not raised again" not in findings[FINDINGS_PER_HOUR_MAX - 2].sentence
    ledger.now += timedelta(hours=1)
    a_message_goes_to_a_stranger(ledger)
    assert len(found_in(ledger)) == FINDINGS_PER_HOUR_MAX + 2

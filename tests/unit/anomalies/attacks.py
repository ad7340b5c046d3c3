"""The attacks that the rules are there for, told on a ledger: what is done, which rule finds it, and whom it names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tenuto.events import (
    ApprovalSigned,
    KeyRevoked,
    MessageRefused,
    PolicyDecided,
    RecordEquivocation,
    RunFinished,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto_projections.anomalies.history import SKEW_MAX
from tenuto_projections.anomalies.pace import BURST_MESSAGES_MIN
from tenuto_projections.anomalies.sources import LEARNING_MESSAGES

from tests.unit.projections.written import DIGEST, WrittenLedger, start_run, uuid

from .road_story import approve, ask, back, call, claim_ahead, recorded_after, refuse, review, send

SECOND = timedelta(seconds=1)


def chatter(ledger: WrittenLedger, messages: int, seconds: int = 30) -> None:
    """Messages between two agents that no rule has anything to say about."""
    for _ in range(messages):
        send(ledger, "code-review", "infrastructure", "chat.note", None)
        ledger.now += timedelta(seconds=seconds)


def began(ledger: WrittenLedger) -> None:
    start_run(ledger, "r1")
    send(ledger, "pipeline", "code-review", "review.requested")


def reviewed(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger)
    send(ledger, "code-review", "infrastructure", "review.verdict")


def a_stranger_takes_a_leg_of_the_road(ledger: WrittenLedger) -> None:
    reviewed(ledger)
    send(ledger, "mallory", "deployment", "infrastructure.applied")


def a_verdict_goes_past_the_infrastructure(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger)
    send(ledger, "code-review", "deployment", "review.verdict")


def a_new_source_speaks(ledger: WrittenLedger) -> None:
    chatter(ledger, LEARNING_MESSAGES)
    send(ledger, "mallory", "deployment", "chat.note", None)


def a_message_goes_to_a_stranger(ledger: WrittenLedger) -> None:
    send(ledger, "code-review", "nobody-here", "chat.note", None)


def a_message_goes_to_a_revoked_author(ledger: WrittenLedger) -> None:
    key = next(key for key in ledger.walk_keys() if key.author == "mallory")
    ledger.write("root", KeyRevoked, subject="mallory", subject_key_id=key.key_id, reason="compromised")
    send(ledger, "code-review", "mallory", "chat.note", None)


def a_message_goes_to_nobody(ledger: WrittenLedger) -> None:
    send(ledger, "code-review", None, "chat.note", None)


def an_author_floods(ledger: WrittenLedger) -> None:
    for _ in range(BURST_MESSAGES_MIN + 5):
        send(ledger, "mallory", "deployment", "chat.note", None)


def a_verdict_comes_before_its_request(ledger: WrittenLedger) -> None:
    start_run(ledger, "r1")
    review(ledger)
    send(ledger, "code-review", "infrastructure", "review.verdict")


def a_request_comes_without_a_run(ledger: WrittenLedger) -> None:
    send(ledger, "pipeline", "code-review", "review.requested", None)


def a_plan_is_applied_that_nobody_made(ledger: WrittenLedger) -> None:
    reviewed(ledger)
    call(ledger, "infrastructure", "terraform.apply", "c1")


def a_deployment_runs_ahead_of_the_infrastructure(ledger: WrittenLedger) -> None:
    reviewed(ledger)
    call(ledger, "deployment", "deploy.production", "c1")


def work_goes_on_in_a_run_that_was_refused(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger)
    ledger.write("code-review", RunFinished, run="r1", outcome="refused")
    send(ledger, "code-review", "infrastructure", "review.verdict")


def a_tool_starts_without_being_asked_for(ledger: WrittenLedger) -> None:
    ledger.write("mallory", ToolStarted, call="c1", tool="shell.run", resource="host", digest=DIGEST, run="r1")


def a_gated_author_goes_around_its_gate(ledger: WrittenLedger) -> None:
    call(ledger, "mallory", "shell.run", "c0")
    ledger.write("mallory", ToolRequested, call="c1", tool="shell.run", resource="host", digest=DIGEST, run="r1")
    ledger.write("mallory", ToolStarted, call="c1", tool="shell.run", resource="host", digest=DIGEST, run="r1")


def a_tool_starts_although_policy_denied(ledger: WrittenLedger) -> None:
    ledger.write(
        "mallory", PolicyDecided, call="c1", effect="deny", rules=(), bundle=DIGEST, engine="cedar", run="r1"
    )
    ledger.write("mallory", ToolStarted, call="c1", tool="shell.run", resource="host", digest=DIGEST, run="r1")


def a_tool_returns_that_never_started(ledger: WrittenLedger) -> None:
    ledger.write("mallory", ToolFinished, call="c1", tool="shell.run", milliseconds=1, run="r1")


def a_verdict_is_handed_over_without_a_decision(ledger: WrittenLedger) -> None:
    began(ledger)
    send(ledger, "code-review", "infrastructure", "review.verdict")


def a_verdict_is_handed_over_after_a_rejection(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger)
    review(ledger, verdict="reject")
    send(ledger, "code-review", "infrastructure", "review.verdict")


def a_verdict_is_handed_over_against_the_analysis(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger, diverges=True)
    send(ledger, "code-review", "infrastructure", "review.verdict")


def somebody_else_decides_in_the_name_of_the_review(ledger: WrittenLedger) -> None:
    start_run(ledger, "r1")
    ask(ledger, "infrastructure", "a1", "terraform.apply")


def production_is_asked_for_outside_of_any_run(ledger: WrittenLedger) -> None:
    ask(ledger, "deployment", "a1", "deploy.production", None)


def a_reviewer_signs_unseen(ledger: WrittenLedger) -> None:
    began(ledger)
    review(ledger)
    ask(ledger, "infrastructure", "a1", "terraform.apply")
    approve(ledger, "a1", opened=False)


def a_reviewer_signs_another_digest_than_was_opened(ledger: WrittenLedger) -> None:
    approve(ledger, "a1")
    ledger.write("demo-reviewer", ApprovalSigned, approval="a1", digest="e" * 64, decision="approve")


def a_record_is_forged(ledger: WrittenLedger) -> None:
    refuse(ledger, "deployment")
    refuse(ledger, "deployment")


def malformed_records_pour_in(ledger: WrittenLedger) -> None:
    for _ in range(5):
        refuse(ledger, "mallory", "malformed")


def an_agent_probes_the_policy(ledger: WrittenLedger) -> None:
    for number in range(4):
        ledger.write(
            "mallory", PolicyDecided, call=f"c{number}", effect="deny", rules=(), bundle=DIGEST, engine="cedar"
        )


def receivers_refuse_one_sender(ledger: WrittenLedger) -> None:
    for _ in range(3):
        sent = send(ledger, "mallory", "deployment", "chat.note", None)
        ledger.write(
            "deployment", MessageRefused, position=len(ledger.events) - 1, reason="entitlement", cause=(sent.id,)
        )


def an_author_equivocates(ledger: WrittenLedger) -> None:
    ledger.write(
        "ingest", RecordEquivocation, claimed_author="mallory", gap_session=uuid("x"), at_seq=1,
        recorded_header=DIGEST, other_header="e" * 64,
    )  # fmt: skip


def a_clock_is_ahead(ledger: WrittenLedger) -> None:
    for _ in range(3):
        claim_ahead(ledger, SKEW_MAX + SECOND)
        send(ledger, "code-review", "infrastructure", "chat.note", None)
        back(ledger, SKEW_MAX + SECOND)


def events_are_late(ledger: WrittenLedger) -> None:
    for _ in range(3):
        send(ledger, "code-review", "infrastructure", "chat.note", None)
        recorded_after(ledger, SKEW_MAX + SECOND)


ATTACKS: tuple[tuple[Callable[[WrittenLedger], None], list[str], str], ...] = (
    (a_stranger_takes_a_leg_of_the_road, ["wrong_sender"], "mallory"),
    (a_verdict_goes_past_the_infrastructure, ["wrong_sender"], "code-review"),
    (a_new_source_speaks, ["new_source"], "mallory"),
    (a_message_goes_to_a_stranger, ["unknown_receiver"], "code-review"),
    (a_message_goes_to_a_revoked_author, ["unknown_receiver"], "code-review"),
    (a_message_goes_to_nobody, ["unknown_receiver"], "code-review"),
    (an_author_floods, ["burst"], "mallory"),
    (a_verdict_comes_before_its_request, ["out_of_order"], "code-review"),
    (a_request_comes_without_a_run, ["out_of_order"], "pipeline"),
    (a_plan_is_applied_that_nobody_made, ["out_of_order"], "infrastructure"),
    (a_deployment_runs_ahead_of_the_infrastructure, ["out_of_order"], "deployment"),
    (work_goes_on_in_a_run_that_was_refused, ["after_the_end"], "code-review"),
    (a_tool_starts_without_being_asked_for, ["ungated_call"], "mallory"),
    (a_gated_author_goes_around_its_gate, ["ungated_call"], "mallory"),
    (a_tool_starts_although_policy_denied, ["ungated_call"], "mallory"),
    (a_tool_returns_that_never_started, ["ungated_call"], "mallory"),
    (a_verdict_is_handed_over_without_a_decision, ["unreviewed"], "code-review"),
    (a_verdict_is_handed_over_after_a_rejection, ["unreviewed"], "code-review"),
    (a_verdict_is_handed_over_against_the_analysis, ["unreviewed"], "code-review"),
    (somebody_else_decides_in_the_name_of_the_review, ["unreviewed"], "infrastructure"),
    (production_is_asked_for_outside_of_any_run, ["unreviewed"], "deployment"),
    (a_reviewer_signs_unseen, ["unopened"], "demo-reviewer"),
    (a_reviewer_signs_another_digest_than_was_opened, ["unopened"], "demo-reviewer"),
    (a_record_is_forged, ["refused_record"], "deployment"),
    (malformed_records_pour_in, ["repeated_refusals"], "mallory"),
    (an_agent_probes_the_policy, ["repeated_refusals"], "mallory"),
    (receivers_refuse_one_sender, ["repeated_refusals"], "mallory"),
    (an_author_equivocates, ["equivocation"], "mallory"),
    (a_clock_is_ahead, ["clock_ahead"], "code-review"),
    (events_are_late, ["clock_behind"], "code-review"),
)  # fmt: skip
# Whose key was revoked says nothing more, so that one comes last.
ATTACKS_IN_A_ROW = sorted(ATTACKS, key=lambda row: row[0] is a_message_goes_to_a_revoked_author)

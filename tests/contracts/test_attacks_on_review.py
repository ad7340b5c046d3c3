"""Every attack on review that we name, each on the whole road: nothing was done, and the refusal is on record.

A real gate waits for people behind a real broker, ingest, sealer and Postgres. Somebody tries to get it open: with an
approval for something else, one that nobody looked for, a stolen, forged or repeated one, or by taking the ledger away.
What is tried before anybody approved stands in `attacks`; the tests below try it with an approval that was really given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from tenuto.cli import reconcile
from tenuto.documents import Result
from tenuto.embedded import EmbeddedPostgres
from tenuto.errors import Busy, NotConfigured
from tenuto.events import (
    ApprovalConsumed,
    ApprovalGranted,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    ToolFailed,
    ToolFinished,
    ToolReconciled,
    ToolRequested,
    ToolStarted,
)
from tenuto.gate import ActionRefused, OutcomeUnknown
from tenuto.recorder import RecordRefusedByLedger
from tenuto.settings import EVENTS_TOPIC
from tenuto_agents.statehome import LocalState
from tenuto_agents.terraform import Plan, PlanSwapped, Terraform, Workspace, file_digest

from tests.conftest import TEMPLATE, Database
from tests.contracts.attacked import (
    AGENT,
    HONEST,
    OTHER,
    PEOPLE,
    QUICK,
    WARDEN,
    Siege,
    Tool,
    Wait,
    digest_of,
    other_digest,
)  # fmt: skip
from tests.contracts.attacks import AT_THE_DOOR, VOTES, Attack
from tests.road import SECONDS_MAX, Road, until

NAME = "attacked"


@pytest.fixture(scope="module")
def siege(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """One road for all attacks: what one leaves behind is there while the next is tried."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")
    database = Database(postgres, NAME)
    with Road(tmp_path_factory.mktemp("attacked") / "home", database) as road, road.working():
        road.register(*PEOPLE)
        with ExitStack() as stack:
            yield Siege(road, stack, postgres.url)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


@pytest.mark.parametrize(("attack", "rule"), VOTES, ids=[attack.__name__ for attack, _ in VOTES])
def test_opens_nothing_and_stands_on_record_with_the_rule_it_breaks(
    attack: Attack, rule: int, siege: Siege
) -> None:
    wait = siege.waiting(*(("deletion",) if rule == 5 else ()))
    attack(siege, wait)
    vote = siege.standing(wait).votes[-1]
    assert (vote.counts, vote.rule) == (False, rule), vote.sentence
    siege.demand_refused(wait)


@pytest.mark.parametrize(("attack", "reason"), AT_THE_DOOR, ids=[attack.__name__ for attack, _ in AT_THE_DOOR])
def test_an_approval_signed_with(attack: Attack, reason: str, siege: Siege) -> None:
    """It does not enter; that it was tried is an event."""
    wait, before = siege.waiting(), siege.road.size()
    attack(siege, wait)
    assert reason in siege.refused(before)
    assert siege.standing(wait).votes == ()
    siege.demand_refused(wait)


def test_an_approval_that_the_agent_grants_itself_is_a_word_and_nothing_more(siege: Siege) -> None:
    wait = siege.waiting()
    siege.say(AGENT, ApprovalGranted, votes=1, **wait.about)
    siege.say(AGENT, ApprovalConsumed, call=wait.asked.call, **wait.about)
    assert siege.read()[0].consumed_by(wait.asked.approval) is None
    siege.demand_refused(wait)


def test_an_approval_that_is_sent_again_byte_for_byte_does_not_come_back_after_its_withdrawal(siege: Siege) -> None:
    wait = siege.waiting("deletion")
    signed = siege.approve(wait)
    siege.say(HONEST, ApprovalSigned, decision="withdraw", **wait.about)
    key, value, headers = siege.raw_record_of(signed)
    with siege.road.bus.publisher() as publisher:
        publisher.publish(EVENTS_TOPIC, key, value, headers)
        publisher.flush(SECONDS_MAX)
    # What is recorded behind it in the same partition has passed ingest only after the replayed record did.
    siege.say(HONEST, ApprovalViewed, **wait.about, piece=digest_of("nothing"), milliseconds=1)
    events = siege.read()[1]
    assert [one.event.id for one in events].count(signed.id) == 1
    assert siege.standing(wait).votes == ()
    siege.demand_refused(wait)


def test_an_approval_that_was_revoked_clears_nothing_however_often_it_is_signed(siege: Siege) -> None:
    wait = siege.waiting()
    siege.say(WARDEN, ApprovalRevoked, approval=wait.asked.approval, reason="emergency", run=wait.asked.run)
    assert isinstance(wait.outcome.exception(SECONDS_MAX), ActionRefused)
    siege.approve(wait)
    standing = siege.standing(wait)
    assert (standing.state, standing.votes[-1].rule) == ("revoked", 6)
    assert siege.failure(wait.asked) == "not_approved"
    assert wait.tool.touched == 0


def granted(siege: Siege) -> tuple[Wait, Tool]:
    """A call that people cleared, and that its agent has not gone on with."""
    action, tool = siege.new_action(), Tool()
    asked = siege.gate.request(action, run=f"run-{siege.number}")
    wait = Wait(action, asked, None, tool)  # type: ignore[arg-type]
    siege.approve(wait)
    assert siege.standing(wait).state == "granted"
    return wait, tool


def test_a_plan_swapped_after_the_approval_is_refused_by_the_gate(siege: Siege) -> None:
    wait, tool = granted(siege)
    with pytest.raises(ActionRefused, match="asked about another digest"):
        siege.gate.resume(wait.asked, other_digest(wait.action), tool)
    assert siege.failure(wait.asked) == "not_approved"
    assert (tool.touched, siege.standing(wait).state) == (0, "granted")


def test_a_plan_file_swapped_after_the_approval_is_not_applied(siege: Siege, tmp_path: Path) -> None:
    """The digest that people approved is that of the file's bytes; the tool hashes the bytes that it applies."""
    started = tmp_path / "terraform-was-started"
    program = Terraform((sys.executable, "-c", f"open({str(started)!r}, 'w')"), "stand-in")
    file = tmp_path / "the.tfplan"
    file.write_bytes(b"what people looked at")
    plan = Plan(file, file_digest(file), True, "", {})
    workspace = Workspace(program, tmp_path, LocalState("swapped", tmp_path / "state"))
    action, before = siege.new_action(), siege.road.size()
    asked = siege.gate.request(replace(action, digest=plan.digest), run=f"run-{siege.number}")
    siege.approve(Wait(action, asked, None, Tool()))  # type: ignore[arg-type]
    file.write_bytes(b"what the attacker wants")
    with pytest.raises(PlanSwapped):
        siege.gate.resume(asked, replace(action, digest=plan.digest), lambda: Result(text=workspace.apply(plan)))
    siege.door(AGENT).flush(SECONDS_MAX)
    assert not started.exists()
    kinds = [type(one.event) for one in siege.read()[1][before:] if one.event.run == asked.run]
    assert kinds[-2:] == [ToolStarted, ToolFailed]
    file.write_bytes(b"what people looked at")
    workspace.apply(plan)
    assert started.exists(), "the same call with the right bytes would have started the program"


def test_an_approval_is_good_for_one_execution(siege: Siege) -> None:
    wait, tool = granted(siege)
    siege.gate.resume(wait.asked, wait.action, tool)
    for gate in (siege.gate, siege.open_gate()):
        with pytest.raises(ActionRefused, match="good for one execution"):
            gate.resume(wait.asked, wait.action, tool)
    siege.say(AGENT, ApprovalConsumed, call="call-again", **wait.about)
    approvals, events = siege.read()
    assert approvals.consumed_by(wait.asked.approval) == wait.asked.call
    assert tool.touched == 1
    assert sum(isinstance(one.event, ToolStarted) and one.event.run == wait.asked.run for one in events) == 1


def test_an_approval_stolen_by_another_agent_is_not_spent_and_opens_no_gate_of_its_own(siege: Siege) -> None:
    wait, tool = granted(siege)
    thief = siege.open_gate("deployment")
    with pytest.raises(ActionRefused, match="is not a request of deployment"):
        thief.resume(wait.asked, wait.action, tool)
    siege.say("deployment", ApprovalConsumed, call=wait.asked.call, **wait.about)
    with pytest.raises(ActionRefused, match="Policy does not allow terraform.apply"):
        thief.run(wait.action, tool, run=wait.asked.run or "")
    assert tool.touched == 0
    siege.door("deployment").flush(SECONDS_MAX)
    assert [event.why for event in siege.said("deployment", ToolFailed)] == ["refused"]  # type: ignore[attr-defined]
    siege.gate.resume(wait.asked, wait.action, tool)
    assert tool.touched == 1, "the thief has not used it up either"


@contextmanager
def ingest_away(siege: Siege) -> Iterator[None]:
    """Nothing is taken in; the broker takes what authors send."""
    with siege.road.standing_still():
        yield


@contextmanager
def broker_away(siege: Siege) -> Iterator[None]:
    """The broker is gone, with all that it ever acknowledged."""
    with siege.road.standing_still():
        siege.road.lose_the_broker()
        try:
            yield
        finally:
            siege.road.bring_the_broker_back()
            siege.road.let_ingest_die_and_come_back()


@contextmanager
def database_away(siege: Siege) -> Iterator[None]:
    """Postgres lets nobody at the ledger, and ends every connection that was open."""
    with siege.road.standing_still(), psycopg.connect(siege.owner, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false")
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (NAME,))
        try:
            yield
        finally:
            owner.execute(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("away", [ingest_away, broker_away, database_away], ids=lambda away: away.__name__)
def test_without_the_ledger_nothing_is_done(away: Callable[[Siege], AbstractContextManager[None]], siege: Siege) -> None:
    tool, before, gate = Tool(), siege.road.size(), siege.open_gate(patience=QUICK)
    assert gate.approvals.requests(), "the gate knows the ledger before it goes away"
    with away(siege), pytest.raises(Busy):
        gate.run(siege.new_action(), tool, run=f"run-{siege.number}")
    siege.door(AGENT).flush(SECONDS_MAX)
    events = [one.event for one in siege.read()[1][before:] if one.event.run == f"run-{siege.number}"]
    assert [event.why for event in events if isinstance(event, ToolFailed)] == ["timeout"]
    assert not any(isinstance(event, ToolStarted) for event in events)
    assert tool.touched == 0


def lose() -> Result:
    raise OutcomeUnknown("the connection to the cloud broke")


def unknown_call(siege: Siege) -> tuple[Wait, str]:
    """A call that people cleared, and of which its agent cannot say whether it had its effect."""
    wait, _ = granted(siege)
    with pytest.raises(OutcomeUnknown):
        siege.gate.resume(wait.asked, wait.action, lose)
    siege.door(AGENT).flush(SECONDS_MAX)
    return wait, str(wait.asked.call)


def test_an_unknown_outcome_is_not_tried_again_whatever_the_agent_says_about_it(siege: Siege) -> None:
    wait, call = unknown_call(siege)
    siege.say(AGENT, ToolFinished, call=call, tool=wait.action.tool, milliseconds=1, run=wait.asked.run)
    with pytest.raises(RecordRefusedByLedger):
        siege.say("code-review", ToolReconciled, agent=AGENT, call=call, tool=wait.action.tool, outcome="not_done")
    tool = Tool()
    with pytest.raises(ActionRefused, match=f"tenuto reconcile {call}"):
        siege.gate.run(wait.action, tool, run=f"again-{siege.number}")
    siege.door(AGENT).flush(SECONDS_MAX)
    events = [one.event for one in siege.read()[1] if one.event.run == f"again-{siege.number}"]
    assert [type(event) for event in events] == [ToolRequested, ToolFailed]
    assert tool.touched == 0


def test_a_person_reconciles_an_unknown_outcome_by_command_and_the_agent_goes_on(
    siege: Siege, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wait, call = unknown_call(siege)
    siege.door(OTHER).close()
    siege.door("ada-key").close()
    monkeypatch.setattr(reconcile, "load_settings", lambda: siege.road.settings)
    reconcile.reconcile()
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith(call)]
    assert f"terraform.apply on {wait.action.resource}  by {AGENT} in {wait.asked.run}" in line
    with pytest.raises(NotConfigured, match="--outcome done|not_done|mended --reason"):
        reconcile.reconcile(call, "done")
    with pytest.raises(NotConfigured, match="does not count: ada answers for the agent"):
        reconcile.reconcile(call, "not_done", "I am sure.", "ada-key")
    reconcile.reconcile(call, "not_done", "The provider's log has no such request.", OTHER)
    assert f"{call} is reconciled as not_done" in capsys.readouterr().out
    with pytest.raises(NotConfigured, match=f"No call {call} is unknown"):
        reconcile.reconcile(call, "done", "Again.", OTHER)
    tool = Tool()
    again = siege.pool.submit(siege.gate.run, wait.action, tool, run=f"again-{siege.number}")
    asked = until(lambda: siege.asked_in(f"again-{siege.number}"))
    siege.approve(Wait(wait.action, asked, again, tool))
    again.result(SECONDS_MAX)
    assert tool.touched == 1

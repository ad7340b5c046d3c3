"""A replay shows the run as it was, from verified events only, and says where the live read model differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tenuto.verification import VerificationFailed
from tenuto_projections.inbox import Inbox
from tenuto_projections.replay.asking import _permission_lines
from tenuto_projections.replay.links import Links, NothingFound, Permission
from tenuto_projections.replay.records import line, printable, record, stamp
from tenuto_projections.replay.selection import AsOf, Selection, as_of, moment
from tenuto_projections.replay.state import Replayed, differences, replay, state_of
from tenuto_projections.runs import Runs
from tenuto_projections.walked import Walked, event_ticks

from . import story
from .story import HOSTILE, tell
from .written import START, ForgingFollower, MemoryFollower, WrittenLedger, apply_in_pages, memory_engine, uuid

WHOLE = ("start", "decide", "call", "request", "open", "approve", "consume", "apply", "finish")


def replayed(ledger: WrittenLedger, until: AsOf | None = None) -> Replayed:
    return replay(MemoryFollower(ledger, 4), Walked(ledger.trust, opens_payloads=True), "r1", until or AsOf())


def test_a_replay_agrees_with_the_read_model_that_saw_the_same_events() -> None:
    ledger = tell(*WHOLE)
    models = Runs(), Inbox()
    with memory_engine(*(model.tables for model in models)).begin() as connection:
        for model in models:
            apply_in_pages(connection, model, ledger.verified(), 9)
        live = state_of(connection, "r1")
    result = replayed(ledger)
    assert live is not None and result.state == live
    assert differences(result.state, live) == ()
    assert [verified.position for verified in result.events] == [step.position for step in live.steps]


def test_a_replay_as_of_an_earlier_position_shows_what_people_saw_then() -> None:
    ledger = tell(*WHOLE)
    signed = next(place for place, event in enumerate(ledger.events) if event.kind == "approval.signed")
    before, after = replayed(ledger, AsOf(signed - 1)).state, replayed(ledger, AsOf(signed)).state
    assert before is not None and after is not None
    assert (before.approvals[0].item.state, before.run.stage) == ("open", "approval")
    assert (after.approvals[0].item.state, len(after.approvals[0].votes)) == ("granted", 1)
    assert len(after.steps) == len(before.steps) + 1
    assert differences(before, after) == ("the run itself", "its timeline", "its approvals")


def test_a_replay_as_of_a_time_ends_with_the_last_event_recorded_by_then() -> None:
    ledger = tell(*WHOLE)
    result = replayed(ledger, AsOf(time=ledger.entries[20].recorded_at + timedelta(microseconds=1)))
    assert result.last_position == 20


def test_a_replay_before_the_run_began_knows_no_run() -> None:
    result = replayed(tell(*WHOLE), AsOf(3))
    assert (result.state, result.events) == (None, ())


def test_a_replay_of_a_log_that_fails_later_fails() -> None:
    ledger = tell(*WHOLE)
    with pytest.raises(VerificationFailed, match="Step 6"):
        replay(ForgingFollower(ledger), Walked(ledger.trust, opens_payloads=True), "r1", AsOf(12))


def test_the_ticks_of_an_event_say_what_was_checked_on_it() -> None:
    result = replayed(tell(*WHOLE))
    ticks = {tick.step: tick for tick in event_ticks(result.events[0], result.walk)}
    assert [ticks[step].state for step in range(1, 10)] == ["passed"] * 7 + ["not_done", "not_done"]
    assert "no witness" in ticks[8].sentence
    assert "pipeline's" in ticks[2].sentence


def test_without_the_storage_key_step_5_is_not_ticked() -> None:
    ledger = tell(*WHOLE)
    result = replay(
        MemoryFollower(ledger, payloads=False), Walked(ledger.trust, opens_payloads=False), "r1", AsOf()
    )  # fmt: skip
    assert [tick.state for tick in event_ticks(result.events[0], result.walk)][4] == "not_done"
    assert [tick.state for tick in result.walk.ticks][4] == "not_done"


def test_a_causal_chain_goes_back_to_its_root_and_names_what_allowed_it() -> None:
    ledger = story.new_ledger()
    story.request(ledger, call="c1")
    story.vote(ledger)
    story.consume(ledger, call="c1")
    last = story.call(ledger, "terraform.apply")
    links = Links()
    links.walk(MemoryFollower(ledger, 5), str(last.id), Walked(ledger.trust, opens_payloads=True))
    chain = list(links.chain())
    assert [link.kind for link in chain] == ["tool.finished", "tool.started", "policy.decided", "tool.requested"]
    assert [link.depth for link in chain] == [0, 1, 2, 3]
    allowed = links.permission(chain)
    assert [policy.rules for policy in allowed.policies] == [("r",), ("tools.apply",)]
    assert [(standing.state, standing.votes[0].reviewer) for standing in allowed.approvals] == [("consumed", "bob")]


def test_an_approval_in_the_chain_is_shown_with_its_votes() -> None:
    ledger = story.new_ledger()
    story.request(ledger)
    story.vote(ledger, "ann")
    story.vote(ledger)
    used = story.consume(ledger)
    links = Links()
    links.walk(MemoryFollower(ledger), str(len(ledger.events) - 1), Walked(ledger.trust, opens_payloads=True))
    (standing,) = links.permission(links.chain()).approvals
    assert standing.state == "consumed"
    assert [(vote.reviewer, vote.counts) for vote in standing.votes] == [("ann", False), ("bob", True)]
    said = [str(one) for one in _permission_lines(Permission((), (standing,)))]
    assert [one.endswith("[insecure demo key]") for one in said[-2:]] == [False, True], "ann's key is none, bob's is"
    assert links.target is not None and links.target.event == used


def test_a_cause_that_is_not_in_the_log_is_called_missing() -> None:
    ledger = story.new_ledger()
    event = ledger.write("infra", type(story.decide(ledger)), cause=(uuid("nowhere"),), subject="commit",
                         subject_digest="d" * 64, verdict="approve", model="scripted")  # fmt: skip
    links = Links()
    links.walk(MemoryFollower(ledger), str(event.id), Walked(ledger.trust, opens_payloads=True))
    assert [link.missing for link in links.chain()] == [False, True]


def test_causes_that_form_a_circle_end() -> None:
    ledger = story.new_ledger()
    own = uuid("event", len(ledger.entries))
    decision = type(story.decide(story.new_ledger()))
    fields = {"subject": "commit", "subject_digest": "d" * 64, "verdict": "approve", "model": "scripted"}
    event = ledger.write("infra", decision, cause=(own,), **fields)
    links = Links()
    links.walk(MemoryFollower(ledger), str(event.id), Walked(ledger.trust, opens_payloads=True))
    assert [(link.depth, link.again) for link in links.chain()] == [(0, False), (1, True)]


def test_an_event_that_is_not_there_is_not_found() -> None:
    ledger = tell("start")
    with pytest.raises(NothingFound, match="No event 999"):
        Links().walk(MemoryFollower(ledger), "999", Walked(ledger.trust, opens_payloads=True))


def test_a_terminal_never_obeys_hostile_text() -> None:
    shown = printable(HOSTILE)
    assert "\x1b" not in shown and "\u202e" not in shown and "\0" not in shown
    assert "[red]\\x1b[2Jboo" in shown
    assert printable("plain\n\ttext äöü 漢字") == "plain\n\ttext äöü 漢字"


def test_records_have_one_key_order_and_utc_times() -> None:
    verified = tell("start", "decide").verified()
    keys = [list(record(event)) for event in verified]
    assert all(names == keys[0] for names in keys)
    assert record(verified[0])["recorded_at"] == "2026-03-01T12:00:00.000000Z"
    assert "starts a session" in line(verified[0]).plain
    assert stamp(datetime.fromisoformat("2026-03-01T13:00:00+01:00")) == "2026-03-01T12:00:00.000000Z"


def test_times_are_durations_or_rfc_3339() -> None:
    assert moment("15m", START) == START - timedelta(minutes=15)
    assert moment("2h", START) == START - timedelta(hours=2)
    assert moment("2026-03-01T12:00:00Z", START) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert as_of("17", START) == AsOf(position=17)
    assert as_of("1d", START) == AsOf(time=START - timedelta(days=1))
    for said in ("soon", "2026-03-01T12:00:00", "-5m", "999999999d"):
        with pytest.raises(ValueError, match=r"neither|offset"):
            moment(said, START)


def test_filters_must_all_hold() -> None:
    events = tell(*WHOLE).verified()
    assert {verified.event.kind for verified in events if Selection(kind="approval").takes(verified, "r1")} == {
        "approval.listed", "approval.requested", "approval.opened", "approval.viewed", "approval.signed", "approval.consumed",
    }  # fmt: skip
    took = [
        verified
        for verified in events
        if Selection(run="r1", author="infra", kind="run.finished").takes(verified, "r1")
    ]
    assert [verified.position for verified in took] == [events[-1].position]
    assert not any(Selection(run="r2").takes(verified, "r1") for verified in events)
    late = Selection(since=events[5].recorded_at, until=events[7].recorded_at)
    assert [verified.position for verified in events if late.takes(verified, None)] == [5, 6, 7]

"""What the read models say of decisions, second looks and the people behind them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from tenuto.approvals.spotcheck import OVERDUE_AFTER, Quality
from tenuto_projections.inbox import Inbox, approval, named, similar
from tenuto_projections.reviewed import DECISIONS_MAX, WINDOW, Record, looked, looks_at, qualities, records, wanted
from tenuto_projections.reviewing import Reviewing

from .story import HOSTILE, consume, draw, new_ledger, request, tell, vote
from .test_read_models import built
from .written import WrittenLedger

SPENT = ("request", "approve", "consume")


def models(*moves: str) -> tuple[WrittenLedger, Connection]:
    ledger = tell(*moves)
    return ledger, built(ledger, Reviewing())


def test_what_was_spent_waits_for_its_draw_and_is_overdue_without_one() -> None:
    ledger, connection = models(*SPENT)
    [one] = wanted(connection)
    assert (one.check.approval, one.check.approved_by, one.ticket) == ("a1", ("bob",), None)
    assert one.check.excluded == {"bob", "ann"}
    assert one.check.state(ledger.now) == "waiting"
    assert one.check.state(one.check.at + OVERDUE_AFTER) == "waiting"
    assert one.check.state(one.check.at + OVERDUE_AFTER + timedelta(microseconds=1)) == "due"


def test_what_was_drawn_wants_a_look_and_what_was_spared_does_not() -> None:
    ledger, connection = models(*SPENT, "draw")
    [one] = wanted(connection)
    assert (one.check.state(ledger.now), one.ticket) == ("due", "0" * 64)
    spared = tell(*SPENT)
    draw(spared, ticket="f" * 64)
    connection = built(spared, Reviewing())
    assert wanted(connection) == ()
    assert looks_at(connection, ["a1", "a2"])["a1"].check.state(spared.now) == "spared"


@pytest.mark.parametrize(("move", "state", "quality"), [("agree", "agreed", Quality(1, 0)), ("look again", "disagreed", Quality(0, 1))])
def test_a_second_look_ends_it_and_says_something_about_who_approved(move: str, state: str, quality: Quality) -> None:
    ledger, connection = models(*SPENT, "draw", move)
    assert wanted(connection) == ()
    [one] = looked(connection)
    assert (one.check.state(ledger.now), one.check.by) == (state, "eve")
    assert one.reason == HOSTILE.replace("\0", "\N{SYMBOL FOR NULL}")
    assert one.event_id == str(ledger.events[-1].id)
    assert qualities(connection) == {"bob": quality}
    assert records(connection, ledger.now)["bob"].quality == quality


def test_neither_the_first_reviewer_nor_a_third_look_counts() -> None:
    ledger, connection = models(*SPENT, "draw", "own look")
    assert [one.check.state(ledger.now) for one in wanted(connection)] == ["due"]
    ledger, connection = models(*SPENT, "draw", "agree", "look again")
    [one] = looked(connection)
    assert (one.check.finding, one.signed) == ("agree", len(ledger.entries) - 2)


def test_a_purge_takes_the_reason_of_a_second_look_and_leaves_the_look() -> None:
    _, connection = models(*SPENT, "draw", "look again", "purge")
    [one] = looked(connection)
    assert (one.check.finding, one.reason) == ("disagree", None)


def test_a_record_counts_what_was_seen_and_how_long_it_took() -> None:
    ledger = new_ledger()
    for number in range(2):
        request(ledger, f"a{number}", call=f"c{number}")
        vote(ledger, "bob", ("approve", "deny")[number], f"a{number}")
    vote(ledger, "ann", "deny", "a0")  # she answers for the agent, so it counts for nothing
    found = records(built(ledger, Reviewing()), ledger.now)
    bob = found["bob"]
    assert (bob.approved, bob.denied, bob.void, bob.decided) == (1, 1, 0, 2)
    assert (bob.demanded, bob.opened) == (2, 2)
    assert bob.shown_ms == bob.least_ms > 0
    assert bob.seconds == (1.0, 3.0)
    assert (found["ann"].decided, found["ann"].void) == (0, 1)


def test_the_latency_runs_from_the_assignment_where_there_is_one() -> None:
    ledger = tell("request", "wait", "assign", "deny")
    assert records(built(ledger, Reviewing()), ledger.now)["eve"].seconds == (1.0,)


def test_the_window_ends_and_its_bounds_are_named() -> None:
    ledger, connection = models("request", "deny")
    at = ledger.now - timedelta(seconds=1)
    assert records(connection, at + WINDOW - timedelta(microseconds=1))["eve"].denied == 1
    assert records(connection, at + WINDOW) == {}
    assert DECISIONS_MAX == 5_000


@pytest.mark.parametrize(("count", "half", "most"), [(0, None, None), (1, 1, 1), (2, 1, 2), (10, 5, 9), (11, 6, 10), (70, 35, 63)])
def test_quantiles_are_by_nearest_rank(count: int, half: Any, most: Any) -> None:
    seconds = tuple(float(number) for number in range(1, count + 1))
    record = Record("bob", "bob", count, 0, 0, seconds, 0, 0, 0, 0, Quality())
    assert (record.within(50), record.within(90)) == (half, most)


def test_similar_decisions_are_those_before_about_the_same_thing() -> None:
    ledger = new_ledger()
    for number in range(4):
        request(ledger, f"a{number}", call=f"c{number}")
        if number in (0, 2):
            vote(ledger, "bob", "approve", f"a{number}")
    consume(ledger, "a0", "c0")
    connection = built(ledger, Inbox())
    now, first = approval(connection, "a3"), approval(connection, "a0")
    assert now is not None
    assert first is not None
    assert [(one.item.approval, one.item.state) for one in similar(connection, now.item)] == [("a2", "granted"), ("a0", "consumed")]
    assert similar(connection, now.item, 1)[0].item.approval == "a2"
    assert similar(connection, first.item) == ()
    assert set(named(connection, ["a1", "a3", "nothing"])) == {"a1", "a3"}

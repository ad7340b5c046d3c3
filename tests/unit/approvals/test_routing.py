"""Who gets a request, who does not, and until when it waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.approvals.desk import Desk
from tenuto.approvals.roster import CAP_WINDOW, DECISIONS_PER_HOUR_MAX, ESCALATE_SECONDS
from tenuto.approvals.routing import Assign, Waits, moves
from tenuto.events import KeyRevoked, ReviewerEnrolled, ReviewerLimited

from tests.unit.approvals.histories import AGENT_OWNER, INITIATOR, START, History


class Office:
    """A history with a desk on it; `route` records what the router decides."""

    def __init__(self, *reviewers: str) -> None:
        self.desk = Desk()
        self.history = History(self.desk)
        self.history.register(*reviewers)

    def moves(self) -> list[Assign | Waits]:
        return moves(self.desk, self.history.now)

    def route(self) -> list[Assign | Waits]:
        found = self.moves()
        for move in found:
            if isinstance(move, Assign):
                self.history.assign(move.reviewer, move.approval, move.why, relieves=move.relieves)
        return found

    def has(self, approval: str = "a1") -> list[str]:
        standing = self.desk.approvals.standing(approval, self.history.now)
        return [one.reviewer for one in self.desk.live(standing)]


def given_to(found: list[Assign | Waits]) -> list[tuple[str, str, str]]:
    return [(move.approval, move.reviewer, move.why) for move in found if isinstance(move, Assign)]


def test_a_request_goes_to_who_has_the_fewest_open():
    office = Office("lena", "otto")
    for number in range(4):
        office.history.request(f"a{number}")
    assert given_to(office.route()) == [
        ("a0", "lena", "next_free"), ("a1", "otto", "next_free"), ("a2", "lena", "next_free"), ("a3", "otto", "next_free")
    ]  # fmt: skip
    office.history.sign("otto", approval="a1")
    office.history.request("a9")
    assert given_to(office.route()) == [("a9", "otto", "next_free")]
    assert office.moves() == []


def test_author_initiator_and_owner_of_the_agent_get_nothing():
    office = Office("otto")
    office.history.register("mara-key", owner=INITIATOR)
    office.history.register("ada-key", owner=AGENT_OWNER)
    office.history.register(INITIATOR, owner="somebody")
    office.history.request(quorum=2)
    found = office.route()
    assert given_to(found) == [("a1", "otto", "next_free")]
    assert isinstance(found[1], Waits)
    assert found[1].until is None


def test_a_second_vote_goes_to_another_person_not_to_another_key():
    office = Office("lena")
    office.history.register("lenas-other-key", owner="lena")
    office.history.request(quorum=2)
    assert given_to(office.route()) == [("a1", "lena", "next_free")]
    office.history.register("otto")
    assert given_to(office.route()) == [("a1", "otto", "second_vote")]


def test_a_risk_goes_to_who_has_its_role():
    office = Office("lena", "otto")
    office.history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",))
    office.history.root(ReviewerEnrolled, reviewer="otto", roles=("sre", "security"))
    office.history.request(risks=("iam",))
    assert given_to(office.route()) == [("a1", "otto", "next_free")]


@pytest.mark.parametrize(("start", "end", "on"), [(480, 960, True), (0, 540, False), (540, 541, True), (1320, 600, True), (1320, 540, False)])
def test_a_shift_begins_at_its_minute_ends_before_its_end_and_may_run_past_midnight(start, end, on):
    office = Office("lena")
    office.history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",), shift_start=start, shift_end=end)
    office.history.request()
    assert START.hour * 60 == 540
    [move] = office.moves()
    assert isinstance(move, Assign) == on


def test_who_is_off_shift_is_waited_for_until_the_shift_begins():
    office = Office("lena")
    office.history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",), shift_start=600, shift_end=960)
    office.history.request(minutes=600)
    [waits] = office.moves()
    assert (waits.until, "off shift until 10:00" in waits.sentence) == (START.replace(hour=10), True)
    office.history.now = waits.until - timedelta(microseconds=1)
    assert isinstance(office.moves()[0], Waits)
    office.history.now = waits.until
    assert isinstance(office.moves()[0], Assign)


def test_over_the_cap_it_overflows_to_the_next_with_the_reason():
    office = Office("lena", "otto")
    for number in range(DECISIONS_PER_HOUR_MAX):
        office.history.request(f"b{number}", minutes=600)
        office.history.sign("lena", approval=f"b{number}")
    office.history.request("a1")
    [move] = office.route()
    assert (move.reviewer, move.why) == ("otto", "overflow")
    assert move.sentence == "lena has no place left: 10 decisions in the last 60 minutes and 0 open, of 10."


def test_what_lies_on_a_desk_takes_a_place_and_the_rest_waits_for_a_decision():
    office = Office("lena")
    for number in range(DECISIONS_PER_HOUR_MAX + 3):
        office.history.request(f"a{number}", minutes=600)
    found = office.route()
    assert len(given_to(found)) == DECISIONS_PER_HOUR_MAX
    assert [move.approval for move in found if isinstance(move, Waits)] == ["a10", "a11", "a12"]
    assert found[-1].until is None
    assert "when one of the open requests is decided" in found[-1].sentence


def test_nobody_left_it_waits_until_the_first_decision_leaves_the_hour_and_then_goes_on_by_itself():
    office = Office("lena")
    for number in range(DECISIONS_PER_HOUR_MAX):
        office.history.request(f"b{number}", minutes=600)
        office.history.sign("lena", approval=f"b{number}")
        office.history.wait(minutes=1)
    office.history.request("a1", minutes=600)
    [waits] = office.route()
    assert waits.until == START + CAP_WINDOW
    assert "10:00:00" in waits.sentence
    office.history.now = waits.until - timedelta(microseconds=1)
    assert isinstance(office.route()[0], Waits)
    office.history.now = waits.until
    assert given_to(office.route()) == [("a1", "lena", "next_free")]


def test_an_unanswered_request_goes_on_at_the_bound_and_not_before_and_who_had_it_may_still_decide():
    office = Office("lena", "otto")
    office.history.request()
    office.route()
    office.history.wait(seconds=ESCALATE_SECONDS, microseconds=-1)
    assert office.route() == []
    office.history.wait(microseconds=1)
    [move] = office.route()
    assert (move.reviewer, move.why, move.relieves) == ("otto", "escalation", "lena")
    assert office.has() == ["otto"]
    office.history.wait(seconds=ESCALATE_SECONDS)
    assert office.route() == [], "lena had it already, and there is nobody else"
    office.history.sign("lena")
    assert office.history.state() == "granted"


def test_the_root_moves_cap_and_bound():
    office = Office("lena", "otto")
    office.history.root(ReviewerLimited, decisions_per_hour=1, escalate_seconds=60)
    for name in ("a1", "a2", "a3"):
        office.history.request(name)
    assert [move.reviewer for move in office.route() if isinstance(move, Assign)] == ["lena", "otto"]
    office.history.sign("lena", "deny", "a1")
    office.history.wait(seconds=60)
    assert office.route() == [Waits("a3", office.moves()[0].until, office.moves()[0].sentence)], "both have had their one"


def test_two_routers_at_once_give_one_place_away_once():
    office = Office("lena", "otto")
    office.history.request()
    first, second = office.moves(), office.moves()
    assert first == second
    office.history.assign("lena", router="router")
    office.history.assign("otto", router="another-router")
    office.history.assign("lena", router="another-router")
    assert office.has() == ["lena"]
    assert office.moves() == []


def test_two_routers_that_escalate_at_once_relieve_once():
    office = Office("lena", "otto", "paul")
    office.history.request()
    office.route()
    office.history.wait(seconds=ESCALATE_SECONDS)
    office.history.assign("otto", why="escalation", relieves="lena")
    office.history.assign("paul", why="escalation", relieves="lena")
    assert office.has() == ["otto"]


@pytest.mark.parametrize("how", ["early", "excluded", "no router", "full", "unknown", "closed"])
def test_an_assignment_that_does_not_fit_is_none(how):
    office = Office("lena", "otto")
    office.history.register("mara-key", owner=INITIATOR)
    office.history.request()
    if how == "early":
        office.route()
        office.history.assign("otto", why="escalation", relieves="lena")
        assert office.has() == ["lena"]
        return
    if how == "full":
        office.history.root(ReviewerLimited, decisions_per_hour=1)
        office.history.request("b1")
        office.history.assign("lena", "b1")
    if how == "closed":
        office.history.sign("otto", "deny")
    who = {"excluded": "mara-key", "unknown": "nobody"}.get(how, "lena")
    if how == "no router":
        from tenuto.events import ApprovalAssigned

        office.history.add(ApprovalAssigned, "console", as_role="console", approval="a1", reviewer="lena", why="next_free")
    else:
        office.history.assign(who)
    assert office.has() == []


def test_a_crash_between_deciding_and_recording_loses_nothing_and_doubles_nothing():
    office = Office("lena", "otto")
    office.history.request()
    decided = office.moves()
    again = Desk()
    for verified in office.history.events:
        again.apply(verified)
    assert moves(again, office.history.now) == decided, "the next life decides the same"
    assert moves(again, office.history.now, decided) == [], "what is on its way counts as done"


def test_a_reviewer_who_is_gone_gives_the_request_back():
    office = Office("lena", "otto")
    office.history.request()
    office.route()
    office.history.root(KeyRevoked, subject="lena", subject_key_id="key-of-lena", reason="owner_left")
    assert office.has() == []
    assert given_to(office.route()) == [("a1", "otto", "next_free")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nothing_starves_no_cap_is_passed_and_the_oldest_goes_first(seed):
    dice = Random(seed)
    office = Office(*(f"r{number}" for number in range(dice.randint(1, 3))))
    cap = dice.randint(1, 4)
    office.history.root(ReviewerLimited, decisions_per_hour=cap, escalate_seconds=86_400)
    total = dice.randint(1, 14)
    order: list[str] = []
    decisions: dict[str, list[datetime]] = {}
    for step in range(400):
        if step < total:
            office.history.request(f"a{step}", minutes=60_000)
        order += [move.approval for move in office.route() if isinstance(move, Assign)]
        for standing in list(office.desk.undecided(office.history.now)):
            name = standing.request.event.approval
            for reviewer in office.has(name):
                if dice.random() < 0.5:
                    office.history.sign(reviewer, dice.choice(("approve", "deny")), name)
                    decisions.setdefault(reviewer, []).append(office.history.now)
        office.history.wait(minutes=dice.choice((1, 5, 30)))
        if step >= total and not list(office.desk.undecided(office.history.now)):
            break
    assert order == [f"a{number}" for number in range(total)], "each once, in the order of asking"
    assert all(office.history.broken_rules(f"a{number}") == [0] for number in range(total)), "what was routed counts"
    for made in decisions.values():
        assert all(sum(moment - CAP_WINDOW < other <= moment for other in made) <= cap for moment in made)

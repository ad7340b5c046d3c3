"""The numbered rules of the approvals fold, each at its border, and what no history can bring about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tenuto.approvals import NotGranted
from tenuto.approvals.roster import CAP_WINDOW, DECISIONS_PER_HOUR_MAX
from tenuto.events import ReviewerEnrolled, ReviewerLimited

from tests.unit.approvals.histories import AGENT, AGENT_OWNER, INITIATOR, OTHER_DIGEST, START, History


def refused(history: History, asked: object, rule: int) -> str:
    with pytest.raises(NotGranted) as caught:
        history.fold.verify_granted(asked, history.now)
    assert caught.value.rule == rule
    return str(caught.value)


def test_one_independent_approval_grants():
    history = History()
    asked = history.request()
    history.sign("lena")
    assert [vote.reviewer for vote in history.fold.verify_granted(asked, history.now)] == ["lena"]
    assert history.state() == "granted"


# --- rule 1 -------------------------------------------------------------------------------------------------------------


def test_rule_1_a_vote_over_another_digest_does_not_count():
    history = History()
    asked = history.request()
    history.sign(digest=OTHER_DIGEST)
    assert history.broken_rules() == [1]
    refused(history, asked, 5)


@pytest.mark.parametrize(
    "changes",
    [{"digest": OTHER_DIGEST}, {"tool": "deploy.production"}, {"resource": "stack:bank"}, {"subject": "artifact"},
     {"initiator": "zoe"}, {"risks": ("iam",)}, {"quorum": 2}, {"expires": START + timedelta(days=9)}],
)  # fmt: skip
def test_rule_1_an_approval_of_something_else_is_refused(changes):
    asked_for, about_to_do = History(), History()
    asked_for.request()
    asked_for.sign()
    refused(asked_for, about_to_do.request(**changes), 1)


def test_rule_1_an_unknown_approval_is_refused():
    history, other = History(), History()
    refused(history, other.request(), 1)
    with pytest.raises(NotGranted):
        history.fold.standing("a1", history.now)


def test_rule_1_the_first_request_of_a_name_stands():
    history = History()
    asked = history.request()
    replaced = history.request(digest=OTHER_DIGEST)
    history.sign(digest=OTHER_DIGEST)
    refused(history, replaced, 1)
    refused(history, asked, 5)


# --- rule 2 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reviewer", "owner"),
    [(AGENT_OWNER, AGENT_OWNER), ("second-key", AGENT_OWNER), (INITIATOR, "somebody"), ("alias", INITIATOR), (AGENT, "x")],
)
def test_rule_2_author_initiator_and_owner_may_not_approve(reviewer, owner):
    history = History()
    asked = history.request()
    history.sign(reviewer, owner=owner)
    assert history.broken_rules() == [2]
    refused(history, asked, 5)


def test_rule_2_a_signature_of_another_role_does_not_count():
    history = History()
    history.request()
    history.sign("helpful-agent", role="agent")
    assert history.broken_rules() == [2]


def test_rule_2_who_is_excluded_cannot_deny_either():
    history = History()
    history.request()
    history.sign(INITIATOR, "deny")
    assert history.state() == "open"


# --- rule 4 -------------------------------------------------------------------------------------------------------------


def voted(times: int) -> History:
    history = History()
    for number in range(times + 1):
        history.request(f"a{number}", minutes=600)
    for number in range(times):
        history.sign("lena", approval=f"a{number}")
    return history


def test_rule_4_ten_decisions_in_an_hour_count():
    history = voted(DECISIONS_PER_HOUR_MAX)
    assert DECISIONS_PER_HOUR_MAX == 10
    assert all(history.state(f"a{number}") == "granted" for number in range(10))


def test_rule_4_the_eleventh_in_an_hour_does_not_count():
    history = voted(DECISIONS_PER_HOUR_MAX)
    history.sign("lena", approval="a10")
    assert history.broken_rules("a10") == [4]
    history.sign("otto", approval="a10")
    assert history.state("a10") == "granted", "somebody else is not held up"


def test_rule_4_the_hour_slides():
    history = voted(DECISIONS_PER_HOUR_MAX)
    history.now = START + CAP_WINDOW - timedelta(microseconds=1)
    history.sign("lena", approval="a10")
    assert history.broken_rules("a10") == [4]
    history.now = START + CAP_WINDOW
    history.sign("lena", approval="a10")
    assert history.broken_rules("a10") == [4, 0]


def test_rule_4_counts_a_person_and_not_a_key():
    history = voted(DECISIONS_PER_HOUR_MAX)
    history.sign("lenas-other-key", owner="lena", approval="a10")
    assert history.broken_rules("a10") == [4]


def test_rule_4_a_decision_that_does_not_count_uses_nothing_up():
    history = voted(DECISIONS_PER_HOUR_MAX - 1)
    for _ in range(5):
        history.sign("lena", approval="a9", digest=OTHER_DIGEST)
    history.sign("lena", approval="a9")
    assert history.state("a9") == "granted"


def test_rule_4_a_denial_counts_toward_the_cap_and_is_never_held_up_by_it():
    history = History()
    for number in range(DECISIONS_PER_HOUR_MAX + 2):
        history.request(f"a{number}")
    for number in range(DECISIONS_PER_HOUR_MAX + 1):
        history.sign("lena", "deny", f"a{number}")
    history.sign("lena", approval="a11")
    assert history.state("a10") == "denied"
    assert history.broken_rules("a11") == [4]


def test_rule_4_an_emergency_stop_is_never_held_up_by_the_cap_and_uses_nothing_of_it():
    history = voted(DECISIONS_PER_HOUR_MAX)
    history.sign("otto", approval="a10")
    assert history.state("a10") == "granted"
    history.revoke("lena", "a10")
    assert history.state("a10") == "revoked"
    assert len(history.fold.decisions("lena", history.now)) == DECISIONS_PER_HOUR_MAX


# --- rule 5 -------------------------------------------------------------------------------------------------------------


def test_rule_5_two_are_needed_where_two_were_asked_for():
    history = History()
    asked = history.request(quorum=2)
    history.sign("lena")
    assert "1 of 2" in refused(history, asked, 5)
    history.sign("otto")
    assert len(history.fold.verify_granted(asked, history.now)) == 2


@pytest.mark.parametrize("second", ["lena", "lenas-other-key"])
def test_rule_5_nobody_counts_twice(second):
    history = History()
    history.request(quorum=2)
    history.sign("lena", owner="lena")
    history.sign(second, owner="lena")
    assert history.broken_rules() == [0, 5]
    assert history.state() == "open"


def test_rule_5_one_denial_wins_over_any_number_of_approvals():
    history = History()
    asked = history.request()
    history.sign("lena")
    history.sign("otto")
    history.sign("paul", "deny")
    assert history.state() == "denied"
    assert "paul" in refused(history, asked, 5)


def test_rule_5_who_approved_may_still_deny():
    history = History()
    history.request()
    history.sign("lena")
    history.sign("lena", "deny")
    assert history.state() == "denied"
    history.sign("lena")
    assert history.state() == "denied", "an approval after it changes nothing"


def test_rule_5_a_withdrawn_vote_is_gone_and_may_be_given_anew():
    history = History()
    history.request()
    history.sign("lena")
    history.sign("lena", "withdraw")
    assert history.state() == "open"
    history.sign("lena")
    assert history.state() == "granted"


def test_rule_5_a_reviewer_withdraws_nobody_elses_vote():
    history = History()
    history.request()
    history.sign("lena", "deny")
    history.sign("otto", "withdraw")
    assert history.state() == "denied"


# --- rule 6 -------------------------------------------------------------------------------------------------------------


def test_rule_6_a_vote_at_the_last_moment_counts_and_one_after_it_does_not():
    history = History()
    asked = history.request(minutes=30)
    history.now = asked.expires
    history.sign("lena")
    assert history.state() == "granted"
    history.wait(microseconds=1)
    assert history.state() == "expired"
    refused(history, asked, 6)

    late = History()
    late.request(minutes=30)
    late.now = asked.expires + timedelta(microseconds=1)
    late.sign("lena")
    assert late.broken_rules() == [6]


@pytest.mark.parametrize(("author", "role"), [("otto", "reviewer"), (AGENT, "agent")])
def test_rule_6_a_reviewer_or_who_asked_may_revoke(author, role):
    history = History()
    asked = history.request()
    history.sign("lena")
    history.revoke(author, role=role)
    assert history.state() == "revoked"
    refused(history, asked, 6)
    history.sign("paul")
    assert history.broken_rules() == [0, 6]


def test_rule_6_another_agent_cannot_revoke():
    history = History()
    history.request()
    history.sign("lena")
    history.revoke("deployment", role="agent")
    assert history.state() == "granted"


# --- rule 7 -------------------------------------------------------------------------------------------------------------


def test_rule_7_it_is_consumed_once():
    history = History()
    asked = history.request()
    history.sign("lena")
    history.consume()
    position = history.positions - 1
    history.consume()
    assert history.fold.consumed_by("a1") == "call-of-a1"
    assert history.state() == "consumed"
    assert f"the call call-of-a1 consumed it at position {position}" in refused(history, asked, 7)


@pytest.mark.parametrize("how", [{"author": "deployment"}, {"digest": OTHER_DIGEST}, {"call": "another-call"}])
def test_rule_7_only_who_asked_consumes_and_only_what_was_asked_for(how):
    history = History()
    history.request()
    history.sign("lena")
    history.consume(**how)
    assert history.fold.consumed_by("a1") is None
    assert history.state() == "granted"


@pytest.mark.parametrize("spoiled", ["unsigned", "denied", "revoked", "expired"])
def test_rule_7_what_is_not_granted_cannot_be_consumed(spoiled):
    history = History()
    history.request(minutes=10)
    if spoiled != "unsigned":
        history.sign("lena", "deny" if spoiled == "denied" else "approve")
    if spoiled == "revoked":
        history.revoke()
    if spoiled == "expired":
        history.wait(minutes=11)
    history.consume()
    assert history.fold.consumed_by("a1") is None


def test_rule_7_after_it_was_consumed_nothing_changes():
    history = History()
    history.request()
    history.sign("lena")
    history.consume()
    before = [rule for rule in history.fold.standing("a1", history.now).rules if rule.rule != 2]
    history.sign("otto", "deny")
    history.sign("lena", "withdraw")
    history.revoke()
    after = history.fold.standing("a1", history.now)
    assert [rule for rule in after.rules if rule.rule != 2] == before
    assert history.broken_rules() == [0, 7]


# --- what the root says about reviewers ------------------------------------------------------------------------------------


def test_rule_2_a_reviewer_who_is_not_active_does_not_count_and_counts_again_once_he_is():
    history = History()
    history.register("lena", "otto")
    history.request(quorum=2)
    history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",), active=False)
    history.sign("lena")
    assert history.broken_rules() == [2]
    history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",))
    history.sign("lena")
    assert history.broken_rules() == [2, 0]


def test_rule_2_a_risk_that_asks_for_a_role_is_approved_by_nobody_without_it_and_denied_by_anybody():
    history = History()
    history.register("lena", "otto", "paul")
    history.root(ReviewerEnrolled, reviewer="lena", roles=("sre",))
    history.root(ReviewerEnrolled, reviewer="otto", roles=("sre", "security"))
    history.request(risks=("iam",))
    history.sign("lena")
    assert history.broken_rules() == [2]
    history.sign("otto")
    assert history.state() == "granted"
    history.sign("lena", "deny")
    assert history.state() == "denied"


def test_rule_4_only_the_root_moves_the_cap_and_from_then_on():
    history = voted(3)
    history.root(ReviewerLimited, decisions_per_hour=3)
    history.sign("lena", approval="a3")
    assert history.broken_rules("a3") == [4]
    assert [history.state(f"a{number}") for number in range(3)] == ["granted"] * 3, "what counted stays counted"
    history.root(ReviewerLimited, decisions_per_hour=4)
    history.sign("lena", approval="a3")
    assert history.broken_rules("a3") == [4, 0]

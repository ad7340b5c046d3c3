"""Votes that come late or are taken back, and requests that end under them: each has its rule, and none grants anything."""

from __future__ import annotations

from datetime import timedelta

from tenuto.approvals.roster import DECISIONS_PER_HOUR_MAX

from tests.unit.approvals.histories import History
from tests.unit.approvals.test_fold import refused, voted


def test_rule_5_a_denial_that_is_withdrawn_denies_no_longer():
    history = History()
    history.request()
    history.sign("otto")
    history.sign("lena", "deny")
    history.sign("lena", "withdraw")
    assert history.state() == "granted"


def test_rule_5_a_vote_withdrawn_before_the_spending_takes_the_quorum_away_and_one_withdrawn_after_it_does_not():
    before, after = History(), History()
    for history in (before, after):
        history.request(quorum=2)
        history.sign("lena")
        history.sign("otto")
    before.sign("otto", "withdraw")
    before.consume()
    assert (before.state(), before.fold.consumed_by("a1")) == ("open", None)
    after.consume()
    after.sign("otto", "withdraw")
    assert [vote.reviewer for vote in after.fold.standing("a1", after.now).counting] == ["lena", "otto"]


def test_rule_5_it_waits_for_the_last_of_the_quorum_and_not_for_a_moment_longer():
    history = History()
    history.request(quorum=3)
    for number, reviewer in enumerate(("lena", "otto", "paul"), 1):
        assert history.state() == "open", f"after {number - 1} of 3"
        history.sign(reviewer)
    assert history.state() == "granted"


def test_rule_4_a_withdrawn_decision_still_took_its_place_in_the_hour():
    history = voted(DECISIONS_PER_HOUR_MAX)
    history.sign("lena", "withdraw", approval="a0")
    history.sign("lena", approval="a0")
    assert history.broken_rules("a0") == [4]


def test_rule_6_the_last_vote_of_a_quorum_that_comes_late_grants_nothing_and_neither_does_one_after_a_revocation():
    late, revoked = History(), History()
    asked = late.request(quorum=2, minutes=30), revoked.request(quorum=2, minutes=30)
    for history in (late, revoked):
        history.sign("lena")
    late.now = asked[0].expires + timedelta(microseconds=1)
    revoked.revoke()
    for history, request in zip((late, revoked), asked, strict=True):
        history.sign("otto")
        assert history.broken_rules() == [0, 6]
        refused(history, request, 6)
        history.consume()
        assert history.fold.consumed_by("a1") is None
    assert (late.state(), revoked.state()) == ("expired", "revoked")


def test_rule_6_nothing_brings_a_revoked_request_back():
    history = History()
    history.request()
    history.revoke("otto")
    history.request()
    history.sign("otto", "withdraw")
    history.sign("lena")
    assert history.state() == "revoked"

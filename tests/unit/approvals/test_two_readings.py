"""Over random histories: the fold and a second reading of the rules agree at every event, and nothing is granted for free."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.approvals import NotGranted
from tenuto.approvals.fold import Approvals
from tenuto.events import ApprovalRequested, ReviewerEnrolled, ReviewerLimited

from tests.unit.approvals.histories import AGENT_OWNER, DIGEST, INITIATOR, OTHER_DIGEST, PIECES, History
from tests.unit.approvals.second import Reading

PEOPLE = {"lena": "lena", "lena-2": "lena", "otto": "otto", "paul": "paul", "ada-key": AGENT_OWNER, "mara-key": INITIATOR}
WHO, WHICH = st.sampled_from(sorted(PEOPLE)), st.sampled_from(["a1", "a1", "a2"])
DIGESTS = st.sampled_from([DIGEST, DIGEST, DIGEST, OTHER_DIGEST])
ASK = st.tuples(
    st.just("ask"), WHICH, st.integers(1, 2), st.sampled_from(["approval", "approval", "approval_and_one_more", "none"]),
    st.sampled_from([(), (), ("iam",), ("deletion",)]), st.sampled_from(["allow", "allow", "allow", "deny"]),
)  # fmt: skip
SIGN = st.tuples(
    st.just("sign"), WHICH, WHO, st.sampled_from(["approve", "approve", "approve", "deny", "withdraw"]), DIGESTS,
    st.sampled_from(["reviewer", "reviewer", "reviewer", "agent"]), st.sampled_from([True, True, True, False]),
)  # fmt: skip
LOOK = st.tuples(st.just("look"), WHICH, WHO, st.integers(0, len(PIECES)), st.sampled_from([0.5, 1.0]), DIGESTS)
OTHERS = st.one_of(
    st.tuples(st.just("consume"), WHICH, DIGESTS), st.tuples(st.just("revoke"), WHICH), st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("limit"), st.integers(1, 3)), st.tuples(st.just("enrol"), WHO, st.booleans(), st.booleans()),
)  # fmt: skip
MOVES = st.lists(st.one_of(SIGN, SIGN, SIGN, LOOK, OTHERS, ASK), max_size=10)


def play(history: History, move: tuple) -> None:
    match move:
        case ("ask", approval, quorum, obligation, risks, effect):
            history.request(approval, quorum=quorum, obligation=obligation, risks=risks, effect=effect)
        case ("sign", approval, who, decision, digest, role, looks):
            history.sign(who, decision, approval, owner=PEOPLE[who], digest=digest, role=role, looks=looks)
        case ("look", approval, who, count, times, digest):
            history.view(who, approval, pieces=PIECES[:count], times=times, digest=digest)
        case ("consume", approval, digest):
            history.consume("", approval, digest=digest)
        case ("revoke", approval):
            history.revoke(approval=approval)
        case ("wait", minutes):
            history.wait(minutes=minutes)
        case ("limit", decisions):
            history.root(ReviewerLimited, decisions_per_hour=decisions)
        case ("enrol", who, active, security):
            history.register(who, owner=PEOPLE[who])
            history.root(ReviewerEnrolled, reviewer=who, roles=("security",) if security else ("sre",), active=active)
    history.wait(seconds=1)


def told(moves: list[tuple]) -> History:
    history = History()
    history.request("a1")
    for move in moves:
        play(history, move)
    return history


@settings(max_examples=120, deadline=None)
@given(MOVES)
def test_two_readings_of_the_rules_agree_after_every_event(moves):
    history = told(moves)
    fold = Approvals()
    for index, verified in enumerate(history.events, 1):
        fold.apply(verified)
        if index < len(history.events) and index % 3 and not isinstance(verified.event, ApprovalRequested):
            continue  # the second reading is slow; every third prefix, every request and the end are enough
        reading = Reading(history.events[:index])
        for approval in fold.requests():
            for now in (verified.recorded_at, verified.recorded_at + timedelta(hours=2)):
                standing = fold.standing(approval, now)
                assert standing.state == reading.state(approval, now)
            counted = {vote.position for vote in standing.votes if vote.counts}
            assert counted == {vote.position for vote in reading.standing_votes(approval)}
            spent = reading.spent(approval)
            assert fold.consumed_by(approval) == (spent and spent.event.call)


@settings(max_examples=250, deadline=None)
@given(MOVES)
def test_nothing_is_granted_without_enough_independent_people_who_saw_and_signed_exactly_this(moves):
    history = told(moves)
    for approval in history.fold.requests():
        asked = history.fold.request(approval).event
        signed = {
            one.key.owner for one in history.events
            if one.event.kind == "approval.signed" and one.key.role == "reviewer" and one.event.approval == approval
            and one.event.decision == "approve" and one.event.digest == asked.digest
            and covered(history, approval, one.event.author) >= {piece[0] for piece in PIECES if piece[2] != "none"}
        } - {AGENT_OWNER, INITIATOR}  # fmt: skip
        least = max(asked.quorum, 2 if "deletion" in asked.risks else 1)
        if history.state(approval) in ("granted", "consumed"):
            assert len(signed) >= least
        try:
            votes = history.fold.verify_granted(asked, history.now)
        except NotGranted:
            continue
        assert len({vote.owner for vote in votes}) == len(votes) >= least
        assert {vote.owner for vote in votes} <= signed
        assert history.now <= asked.expires
        assert history.fold.consumed_by(approval) is None


def covered(history: History, approval: str, reviewer: str) -> set[str]:
    """The pieces of a request that anything on record says this reviewer had on screen."""
    return {
        one.event.piece for one in history.events
        if one.event.kind == "approval.viewed" and (one.event.approval, one.event.reviewer) == (approval, reviewer)
    }  # fmt: skip

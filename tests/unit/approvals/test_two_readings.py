"""Over random histories: the fold and a second reading of the rules agree at every event, and nothing is granted for free."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.approvals import NotGranted
from tenuto.approvals.desk import Desk
from tenuto.approvals.fold import Approvals
from tenuto.events import ApprovalRequested, ReviewerEnrolled, ReviewerLimited
from tenuto.seeing import LedgerView
from tenuto.verification import Verified

from tests.unit.approvals.histories import AGENT_OWNER, DIGEST, INITIATOR, OTHER_DIGEST, PIECES, History
from tests.unit.approvals.second import Reading

PEOPLE = {"lena": "lena", "lena-2": "lena", "otto": "otto", "paul": "paul", "ada-key": AGENT_OWNER, "mara-key": INITIATOR}
USUAL = ("lena", "otto", "paul")
SEEDS = st.integers(0, 2**32 - 1)
"""A history is told by a seed: moves drawn one by one reach the far corners more often than hypothesis' own lists do."""


def moves_of(seed: int) -> list[tuple]:
    """Between 8 and 22 moves; what matters (looking, signing, spending) is frequent, what spoils it is there."""
    dice = Random(seed)

    def often(usual: Any, *others: Any) -> Any:
        return usual if dice.random() < 0.85 else dice.choice(others)

    def move() -> tuple:
        which, who = dice.choice(("a1", "a1", "a2")), often(dice.choice(USUAL), *PEOPLE)
        digest = often(DIGEST, OTHER_DIGEST)
        sign = ("sign", which, who, often("approve", "deny", "withdraw"), digest, often("reviewer", "agent"), often(True, False))
        look = ("look", which, who, dice.randint(0, len(PIECES)), dice.choice((0.5, 1.0)), digest, dice.choice(("operations", who)))
        ask = (
            "ask", which, dice.choice((1, 1, 2)), dice.choice(("approval", "approval_and_one_more", "none")),
            dice.choice(((), ("iam",), ("deletion",))), often("allow", "deny"),
        )  # fmt: skip
        rest = (
            ("revoke", which), ("wait", dice.randint(1, 40)), ("limit", dice.randint(1, 2)),
            ("enrol", who, dice.random() < 0.5, dice.random() < 0.5),
        )  # fmt: skip
        consume = ("consume", which, digest, often("", "call-of-a1"))
        return dice.choices((sign, look, consume, dice.choice(rest), ask), (10, 4, 3, 2, 1))[0]

    return [move() for _ in range(dice.randint(8, 22))]


def play(history: History, move: tuple) -> None:
    match move:
        case ("ask", approval, quorum, obligation, risks, effect):
            history.request(approval, quorum=quorum, obligation=obligation, risks=risks, effect=effect)
        case ("sign", approval, who, decision, digest, role, looks):
            history.sign(who, decision, approval, owner=PEOPLE[who], digest=digest, role=role, looks=looks)
        case ("look", approval, who, count, times, digest, owner):
            history.view(who, approval, pieces=PIECES[:count], times=times, digest=digest, owner=owner)
        case ("consume", approval, digest, call):
            history.consume(call, approval, digest=digest)
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
    dice = Random(len(moves))
    history.request("a1", risks=dice.choice(((), ("deletion",))))
    history.request("a2", obligation=dice.choice(("approval", "approval_and_one_more")))
    for move in moves:
        play(history, move)
    return history


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_two_readings_of_the_rules_agree_after_every_event(seed):
    history = told(moves_of(seed))
    fold = Approvals()
    for index, verified in enumerate(history.events, 1):
        fold.apply(verified)
        if index < len(history.events) and index % 7 and not isinstance(verified.event, ApprovalRequested):
            continue  # the second reading is slow; every seventh prefix, every request and the end are enough
        reading = Reading(history.events[:index])
        for approval in fold.requests():
            for now in (verified.recorded_at, verified.recorded_at + timedelta(hours=2)):
                standing = fold.standing(approval, now)
                assert standing.state == reading.state(approval, now)
            counted = {vote.position for vote in standing.votes if vote.counts}
            assert counted == {vote.position for vote in reading.standing_votes(approval)}
            spent = reading.spent(approval)
            assert fold.consumed_by(approval) == (spent and spent.event.call)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_router_gate_and_fold_give_the_same_answer_wherever_the_pages_of_a_replay_end(seed):
    """Three consumers of the one fold, each with a replay of its own that keeps the order: event by event, all at once, in pages."""
    history, dice = told(moves_of(seed)), Random(seed)
    pages = Pages(history.events, dice)
    desk, gate = Desk(), LedgerView(pages, ledger_seconds=0.0, poll_seconds=0.0)  # type: ignore[arg-type]
    for verified in history.events:
        desk.apply(verified)
    while pages.rest:
        gate.settle()
    again = Approvals()
    for verified in history.events:
        again.apply(verified)
    for approval in history.fold.requests():
        answers = [fold.standing(approval, history.now) for fold in (history.fold, again, desk.approvals, gate.approvals)]
        assert all(answer == answers[0] for answer in answers)
        assert len({fold.consumed_at(approval) for fold in (history.fold, again, desk.approvals, gate.approvals)}) == 1


class Pages:
    """A follower that hands out a history in pages of any length, several or none at a time."""

    def __init__(self, events: list[Verified], dice: Random) -> None:
        self.rest, self._dice = list(events), dice

    def pages(self) -> Iterator[list[Verified]]:
        for _ in range(self._dice.randint(0, 3)):
            size = self._dice.randint(1, 9)
            page, self.rest = self.rest[:size], self.rest[size:]
            if page:
                yield page


@settings(max_examples=250, deadline=None)
@given(SEEDS)
def test_nothing_is_granted_without_enough_independent_people_who_saw_and_signed_exactly_this(seed):
    history = told(moves_of(seed))
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

"""Spot checks: the draw is what its definition says, within the bounds of chance, and nobody looks at his own work."""

from __future__ import annotations

import base64
import hashlib
import math
from datetime import timedelta
from typing import Any

import pytest
from tenuto.approvals.spotcheck import CHANCE_PERCENT, OVERDUE_AFTER, Spotchecks, is_drawn, redraw, ticket_of
from tenuto.events import ReviewerLimited, SpotcheckDrawn, SpotcheckSigned
from tenuto.log.archive import NotCovered
from tenuto.log.checkpoint import Checkpoint
from tenuto.log.note import Cosigner

from tests.unit.log.test_archive import DRAW, ORIGIN, POLICY, folder, keep, note  # noqa: F401

from .histories import AGENT_OWNER, DIGEST, INITIATOR, OTHER_DIGEST, History

DRAWN, SPARED = "0" * 64, "f" * 64


class Checked(History):
    """A history with its spot checks beside it; the approval `a1` was granted by lena and spent."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = Spotchecks(self.fold)
        self.register("lena", "otto", "pia")
        self.spend("a1")

    def add(self, *arguments: Any, **fields: Any) -> Any:
        event = super().add(*arguments, **fields)
        if hasattr(self, "checks"):
            self.checks.apply(self.events[-1])
        return event

    def spend(self, approval: str, reviewer: str = "lena") -> None:
        self.request(approval)
        self.sign(reviewer, approval=approval)
        self.consume(approval=approval)

    def draw(self, ticket: str = DRAWN, approval: str = "a1", *, role: str = "router", **changes: Any) -> None:
        check = self.checks.find(approval)
        fields = {
            "approval": approval, "position": check.position if check else 0, "size": self.positions,
            "ticket": ticket, "drawn": is_drawn(ticket),
        } | changes  # fmt: skip
        self.add(SpotcheckDrawn, "router", as_role=role, as_owner="operations", **fields)

    def look(self, reviewer: str = "otto", finding: str = "agree", *, role: str = "reviewer", owner: str = "", **changes: Any) -> None:
        fields = {"approval": "a1", "digest": DIGEST, "finding": finding} | changes
        self.add(SpotcheckSigned, reviewer, as_role=role, as_owner=owner, **fields)

    def state(self, approval: str = "a1") -> str:
        check = self.checks.find(approval)
        return check.state(self.now) if check else ""


@pytest.fixture
def spent() -> Checked:
    return Checked()


def test_the_chance_is_exactly_fifteen_percent_of_all_tickets():
    edge = CHANCE_PERCENT * 2**256 // 100
    assert is_drawn(f"{edge:064x}")  # 15 % of 2^256 is no whole number; the last whole one below it is drawn
    assert not is_drawn(f"{edge + 1:064x}")


def test_ten_thousand_draws_are_within_the_bounds_of_chance():
    tickets = (ticket_of(hashlib.sha256(f"{number}".encode()).digest() * 2, f"approval-{number}") for number in range(10_000))
    drawn = sum(map(is_drawn, tickets))
    assert abs(drawn - 1500) < 4 * math.sqrt(10_000 * 0.15 * 0.85)


def test_ten_thousand_approvals_drawn_by_a_real_witness_are_within_the_bounds_of_chance():
    """One checkpoint covers ten of them, as under load, so that names alone have to tell their tickets apart."""
    witness = Cosigner("w1.example", b"1" * 32)
    drawn = 0
    for number in range(10_000):
        if number % 10 == 0:
            text = Checkpoint(ORIGIN, number + 1, hashlib.sha256(f"{number}".encode()).digest()).text()
            cosignature = parse_signature(witness.cosign(text, 1_790_000_000 + number))
        drawn += is_drawn(ticket_of(cosignature, f"approval-{number}"))
    assert abs(drawn - 1500) < 4 * math.sqrt(10_000 * 0.15 * 0.85)


def parse_signature(line: bytes) -> bytes:
    """Timestamp and signature out of a note's signature line, without the four bytes that name the key."""
    return base64.b64decode(line.split()[-1])[4:]


def test_the_ticket_is_the_hash_of_cosignature_and_name():
    assert ticket_of(b"cosigned", "a1") == hashlib.sha256(b"cosigneda1").hexdigest()


def test_a_draw_can_be_repeated_from_the_published_log_alone(spent, folder):  # noqa: F811
    check = spent.checks.find("a1")
    with pytest.raises(NotCovered):
        redraw(folder, check, POLICY, ORIGIN)
    keep(folder, note(check.position, DRAW), note(check.position + 3, DRAW), note(600, DRAW))
    covering, ticket = redraw(folder, check, POLICY, ORIGIN)
    assert covering.checkpoint.size == check.position + 3
    assert ticket == ticket_of(covering.cosignature.signature, "a1")
    assert len(covering.cosignature.signature) == 8 + 64


def test_an_approval_that_was_spent_waits_for_its_draw_and_one_that_was_not_does_not(spent):
    spent.request("a2")
    spent.sign("otto", approval="a2")
    assert [(check.approval, check.approved_by) for check in spent.checks.undrawn()] == [("a1", ("lena",))]
    assert (spent.state("a1"), spent.state("a2")) == ("waiting", "")


def test_a_second_spending_draws_no_second_time(spent):
    first = spent.checks.find("a1").position
    spent.consume("another-call")
    assert spent.checks.find("a1").position == first


@pytest.mark.parametrize(("ticket", "state"), [(DRAWN, "due"), (SPARED, "spared")])
def test_the_ticket_decides(spent, ticket, state):
    spent.draw(ticket)
    assert spent.state() == state
    assert spent.checks.undrawn() == ()
    assert bool(spent.checks.open(spent.now)) is (state == "due")


@pytest.mark.parametrize(
    "changes",
    [{"ticket": SPARED, "drawn": True}, {"ticket": DRAWN, "drawn": False}, {"position": 1}, {"size": 3}, {"role": "console"},
     {"role": "reviewer"}],
    ids=str,
)  # fmt: skip
def test_a_draw_that_contradicts_itself_or_comes_from_elsewhere_is_none(spent, changes):
    spent.draw(**changes)
    assert spent.state() == "waiting"


def test_the_first_draw_stands(spent):
    spent.draw(DRAWN)
    spent.draw(SPARED)
    assert spent.state() == "due"


def test_a_draw_that_does_not_come_counts_as_drawn(spent):
    spent.wait(seconds=OVERDUE_AFTER.total_seconds() - 60)
    assert spent.state() == "waiting"
    spent.wait(seconds=120)
    assert spent.state() == "due"
    spent.look("otto", "disagree")
    assert spent.state() == "disagreed"


def test_a_check_that_nobody_takes_is_overdue(spent):
    spent.draw()
    spent.wait(hours=25)
    assert spent.state() == "overdue"
    spent.look()
    assert spent.state() == "agreed"


def test_the_bound_is_the_ledgers_word_at_the_spending_and_holds_to_the_second(spent):
    spent.root(ReviewerLimited, decisions_per_hour=10, spotcheck_seconds=600)
    spent.spend("a2")
    spent.draw(approval="a2")
    spent.root(ReviewerLimited, decisions_per_hour=10, spotcheck_seconds=86_400)
    drawn_at = spent.now
    spent.now = drawn_at + timedelta(seconds=600)
    assert spent.state("a2") == "due"
    spent.wait(microseconds=1)
    assert spent.state("a2") == "overdue"
    assert spent.checks.find("a2").overdue_from == drawn_at + timedelta(seconds=600)
    assert spent.state("a1") == "waiting", "what was spent under the longer bound keeps it"


def test_withholding_the_draw_does_not_keep_a_check_from_being_overdue(spent):
    spent.wait(seconds=2 * OVERDUE_AFTER.total_seconds())
    assert spent.state() == "due"
    spent.wait(seconds=1)
    assert spent.state() == "overdue"


def test_what_was_spared_is_never_overdue(spent):
    spent.draw(SPARED)
    spent.wait(days=90)
    assert (spent.state(), spent.checks.find("a1").overdue_from) == ("spared", None)


@pytest.mark.parametrize(
    "by",
    [{"reviewer": "lena"}, {"reviewer": "lena-too", "owner": "lena"}, {"reviewer": "mara", "owner": INITIATOR},
     {"reviewer": "ada-r", "owner": AGENT_OWNER}, {"reviewer": "bot", "role": "agent"}, {"digest": OTHER_DIGEST}],
    ids=str,
)  # fmt: skip
def test_nobody_takes_the_second_look_who_had_a_part_in_it(spent, by):
    spent.draw()
    spent.look(**by)
    assert spent.state() == "due"


def test_a_look_at_what_was_not_drawn_counts_for_nothing(spent):
    spent.look()
    assert spent.state() == "waiting"
    spent.draw(SPARED)
    spent.look(finding="disagree")
    assert spent.state() == "spared"


def test_disagreement_lowers_the_quality_of_who_approved_and_of_nobody_else(spent):
    assert spent.checks.quality("lena").score == 1.0
    spent.draw()
    spent.look(finding="disagree")
    spent.spend("a2")
    spent.draw(approval="a2")
    spent.look(approval="a2")
    assert (spent.checks.quality("lena").agreed, spent.checks.quality("lena").disagreed) == (1, 1)
    assert spent.checks.quality("lena").score == 0.5
    assert spent.checks.quality("otto").score == 1.0


def test_the_first_finding_stands(spent):
    spent.draw()
    spent.look("otto", "disagree")
    spent.look("pia", "agree")
    assert (spent.state(), spent.checks.find("a1").by) == ("disagreed", "otto")

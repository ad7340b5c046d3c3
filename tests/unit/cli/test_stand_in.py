"""The insecure reviewer of an unattended demonstration is under the hourly cap like anybody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tenuto.approvals.roster import CAP_WINDOW, DECISIONS_PER_HOUR_MAX
from tenuto.cli.demo import UNATTENDED, VOTES_ROOM, free_stand_in
from tenuto.events import ApprovalSigned

from tests.unit.projections.written import DIGEST, WrittenLedger

ROOM = DECISIONS_PER_HOUR_MAX - VOTES_ROOM


def signed_by(*authors: str) -> WrittenLedger:
    ledger = WrittenLedger()
    for author in dict.fromkeys(authors):
        ledger.register(author, "reviewer", insecure_demo=True)
    for number, author in enumerate(authors):
        ledger.write(author, ApprovalSigned, approval=f"a{number}", digest=DIGEST, decision="approve")
    return ledger


@pytest.mark.parametrize(
    ("votes", "name"),
    [(0, UNATTENDED), (ROOM, UNATTENDED), (ROOM + 1, f"{UNATTENDED}-2"), (DECISIONS_PER_HOUR_MAX, f"{UNATTENDED}-2")],
)
def test_a_reviewer_that_comes_near_its_cap_is_relieved(votes: int, name: str) -> None:
    events = signed_by(*[UNATTENDED] * votes).verified()
    assert free_stand_in(events, events[-1].recorded_at if events else WrittenLedger().verified()[-1].recorded_at) == name


def test_the_third_comes_when_the_second_is_busy_too() -> None:
    events = signed_by(*[UNATTENDED] * 10, *[f"{UNATTENDED}-2"] * 10).verified()
    assert free_stand_in(events, events[-1].recorded_at) == f"{UNATTENDED}-3"


def test_after_an_hour_the_first_is_free_again() -> None:
    events = signed_by(*[UNATTENDED] * 10).verified()
    assert free_stand_in(events, events[-1].recorded_at + CAP_WINDOW + timedelta(seconds=1)) == UNATTENDED


def test_votes_of_others_do_not_count() -> None:
    events = signed_by(*["demo-reviewer"] * 10).verified()
    assert free_stand_in(events, events[-1].recorded_at) == UNATTENDED

"""The pages about reviewers and about policy: figures with their denominators, and errors that nobody overlooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenuto.approvals.spotcheck import Quality
from tenuto.events.key import KeyRevoked
from tenuto.events.policy import PolicyDecided
from tenuto_dashboard import session
from tenuto_dashboard.crew import FEW, crew, spent
from tenuto_dashboard.rulebook import read_rulebook
from tenuto_dashboard.sheet import Node
from tenuto_projections.reviewed import JUDGED_FROM, Record
from tenuto_projections.reviewing import Room

from tests.console import story
from tests.console.pages import drawn, page
from tests.console.planted import Planted
from tests.console.test_decisions import RecordingDoor

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
ROOM = Room("bob", "bob", ("sre",), "22:00-06:00", active=True, keys=1, cap=2, on_desk=3, decided=())


def record(approved: int, denied: int) -> Record:
    seconds = tuple(float(60 * number) for number in range(1, approved + denied + 1))
    return Record("bob", "bob", approved, denied, 0, seconds, 4 * approved, 4 * approved - 1, 9000, 3000, Quality())


def said(room: Room = ROOM, found: Record | None = None, quality: Quality = Quality()) -> str:
    return texts(crew({"bob": room}, {} if found is None else {"bob": found}, {"bob": quality}, NOW))


def texts(node: Node | str) -> str:
    return node if isinstance(node, str) else " ".join(texts(child) for child in node.children)


def test_few_cases_are_shown_and_not_judged_and_one_more_is() -> None:
    few, enough = said(found=record(JUDGED_FROM - 2, 1)), said(found=record(JUDGED_FROM - 1, 1))
    assert "1 of 9" in few
    assert FEW in few
    assert "10 %" in enough
    assert f"1 of {JUDGED_FROM} decisions" in enough
    assert "5 min" in enough
    assert "90 % within 9 min" in enough


def test_coverage_and_quality_stand_on_their_own_numbers() -> None:
    text = said(found=record(12, 0), quality=Quality(9, 1))
    assert "47 of 48 pieces" in text
    assert "3.0 times the least time" in text
    assert "90 %" in text
    assert "10 second looks" in text
    assert "1 disagreed" in text
    assert "none yet" in said(found=record(12, 0))


def test_a_full_desk_says_when_a_place_frees_and_a_revoked_reviewer_decides_nothing() -> None:
    decided = (NOW - timedelta(minutes=50), NOW - timedelta(minutes=20))
    full = said(Room("bob", "bob", (), "", active=True, keys=1, cap=2, on_desk=0, decided=decided))
    assert "2 of 2" in full
    assert "2026-03-01 03:10:00 UTC" in full
    gone = said(Room("bob", "bob", (), "", active=True, keys=0, cap=2, on_desk=0, decided=()))
    assert "no valid key" in gone
    assert "decides nothing" in gone
    assert "not active" in said(Room("bob", "bob", (), "", active=False, keys=1, cap=2, on_desk=0, decided=()))


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min")])
def test_a_latency_is_said_as_people_do(seconds: float, shown: str) -> None:
    assert spent(seconds) == shown


def test_the_reviewers_page_tells_everybody_apart(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    planted.register("zoe", "reviewer", "zoe")
    key = planted.key_of("zoe")
    planted.write("root", KeyRevoked, subject="zoe", subject_key_id=key, reason="owner_left")
    text = drawn(page("reviewers"))
    for expected in ("second-reviewer", "zoe", "no valid key", "1 of 10", "1 disagreed", FEW, "2 of 2 pieces", "1 of 3"):
        assert expected in text, expected


def test_the_policy_page_shows_the_bundle_its_rules_and_what_they_did(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("policy"))
    for expected in (
        "The rules below are this bundle's", "infrastructure.deletes", "An agent that nobody knows is denied each of ",
        "1 denial in the last 7 days came from no rule", "nothing permits the call", "forbid(principal, action",
    ):  # fmt: skip
        assert expected in text, expected
    assert text.index("Denied") < text.index("Allowed")


def test_rules_of_another_bundle_are_not_taken_for_those_that_decide(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    planted.write("infrastructure-agent", PolicyDecided, call="x-1", effect="deny", rules=("house.rule",), bundle="7" * 64, engine="opa/1.9.0")
    text = drawn(page("policy"))
    assert "NOT this bundle's" in text
    assert "house.rule" in text
    assert "is not among the rules of this machine" in text


def test_a_bundle_whose_canaries_fail_is_said_in_red(
    planted: Planted, door: RecordingDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "open.cedar"
    story.tell(planted)
    file.write_text('@id("open.door")\npermit(principal, action == Action::"git.diff", resource);\n')
    monkeypatch.setattr(session, "rulebook", lambda: read_rulebook(str(file), NOW))
    text = drawn(page("policy"))
    assert "They fail." in text
    assert "lets an agent that nobody knows call git.diff" in text
    assert "The rules of this machine cannot be used" in text


def test_a_review_says_what_policy_said_and_how_it_went_before(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("review", approval=story.GRAVEST))
    for expected in (
        "Policy allows the call once two people approve, by infrastructure.deletes, infrastructure.applies.",
        "Of the last 4 about terraform.apply on stack/payments:", "Nobody asked for the whole internet.",
        "The agent's card names other rules: replacement-needs-two-people", "The range is twice what the ticket asks for.",
        "Pieces, gravest first", "aws_iam_role_policy.payments_reader",
    ):  # fmt: skip
        assert expected in text, expected


def test_the_pieces_are_chosen_by_name_and_the_keys_go_on_to_what_was_not_seen(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("review", approval=story.GRAVEST)
    assert "1 of 8 is open" in drawn(test)
    for expected in ("2 of 8 is open", "3 of 8 is open"):
        next(button for button in test.button if button.label == "Next piece").click().run()
        assert expected in drawn(test)
    next(button for button in test.button if button.label == "Previous").click().run()
    assert "2 of 8 is open" in drawn(test)

"""The page of the second looks: whose they are, what is shown of them, and what is signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import streamlit as st
from tenuto.approvals.spotcheck import Spotcheck
from tenuto.documents import Reason
from tenuto.events.approval import ApprovalViewed
from tenuto.events.spotcheck import SpotcheckSigned
from tenuto_dashboard.decisions import REASON_CHARACTERS_MAX, NotSigned
from tenuto_dashboard.second_look import sign_look, why_not_mine
from tenuto_projections.reviewed import Looked
from tenuto_projections.reviewing import Room

from tests.console import hostile, story
from tests.console.pages import checked, drawn, page
from tests.console.planted import Planted, digest
from tests.console.test_decisions import ALL, ITEM, MARK, NOW, RecordingDoor

DUE = Spotcheck("apply-1", MARK, 9, NOW, ("ada",), frozenset({"ada", "mara"}), drawn=True, drawn_at=NOW)
ROOM = Room("bob", "bob", (), "", active=True, keys=1, cap=10, on_desk=0, decided=())


def signed(finding: Any = "agree", reason: str = "", *, shown: str = MARK, **given: Any) -> RecordingDoor:
    door, check = RecordingDoor(), given.get("check", DUE)
    look = Looked(check, None, None, None, None, None, None)
    try:
        sign_look(
            door, look, ITEM, finding, reason=reason, shown_digest=shown, room=given.get("room", ROOM), seen=given.get("seen", ALL),
            now=given.get("now", NOW),
        )  # fmt: skip
    except NotSigned:
        assert not door.recorded, "a refused finding was recorded"
        raise
    return door


def test_a_finding_is_one_signed_event_over_what_was_shown() -> None:
    [(event, document)] = signed("disagree", "  twice the range ").recorded
    assert isinstance(event, SpotcheckSigned)
    assert (event.approval, event.digest, event.finding, event.run) == ("apply-1", MARK, "disagree", "run-1")
    assert document == Reason(text="twice the range")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shown": digest("swapped")}, "another digest"), ({"finding": "disagree", "reason": " "}, "needs a reason"),
        ({"reason": "x" * (REASON_CHARACTERS_MAX + 1)}, "at most"), ({"seen": None}, "nothing of it was opened"),
        ({"seen": replace(ALL, sentence="2 of 7 pieces were not opened.")}, "2 of 7"), ({"room": None}, "not an active reviewer"),
        ({"room": replace(ROOM, keys=0)}, "not an active reviewer"), ({"room": replace(ROOM, active=False)}, "not an active reviewer"),
        ({"room": replace(ROOM, owner="ada")}, "ada approved this"), ({"room": replace(ROOM, owner="mara")}, "mara started this"),
        ({"check": replace(DUE, drawn=False)}, "not drawn"), ({"check": replace(DUE, finding="agree")}, "agreed"),
        ({"check": replace(DUE, drawn=None, drawn_at=None)}, "waits for the draw"),
    ],
)  # fmt: skip
def test_what_could_not_count_is_not_signed(given: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSigned, match=said):
        signed(**given)


def test_what_was_not_seen_can_be_disagreed_with_and_an_overdue_look_still_counts() -> None:
    assert len(signed("disagree", "I did not even look.", seen=None).recorded) == 1
    assert len(signed(now=NOW + timedelta(days=3)).recorded) == 1
    assert len(signed(reason="x" * REASON_CHARACTERS_MAX).recorded) == 1
    assert why_not_mine(DUE, ROOM) == ""


def test_the_list_shows_mine_first_and_says_of_the_others_whose_they_are_not(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("spotchecks")
    text = drawn(test)
    assert "Let payments write its reports" in text
    assert "Overdue" in text
    assert "the 24 hours for it ended" in text
    assert "Limit requests per partner" not in text
    every = drawn(checked(test.button_group[0].set_value("All").run()))
    assert every.index("Let payments write its reports") < every.index("Limit requests per partner")
    assert "demo approved this, so the second look is somebody else's." in every
    done = drawn(checked(test.button_group[0].set_value("Done").run()))
    assert "Open egress to the card network" in done
    assert "Disagreed" in done


def test_one_shows_the_draw_the_votes_and_the_very_pieces(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("spotchecks", approval=story.OVERDUE))
    for expected in (
        "tenuto spotcheck verify reports-1", "among the lowest 15 %", "read the policy line by line", "Pieces, gravest first",
        "What you have seen", "Your second look",
    ):  # fmt: skip
        assert expected in text, expected


def test_a_finding_is_signed_through_the_door_and_stands_as_on_its_way(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    story.look(planted, story.OVERDUE)
    planted.seal()
    test = page("spotchecks", approval=story.OVERDUE)
    test.text_area[0].input("The bucket is the right one.")
    checked(next(button for button in test.button if button.label == "Agree").click().run())
    event, document = door.recorded[-1]
    assert isinstance(event, SpotcheckSigned)
    assert (event.approval, event.digest, event.finding) == (story.OVERDUE, digest(story.OVERDUE), "agree")
    assert document == Reason(text="The bucket is the right one.")
    assert "Your agreement is signed and on its way to the ledger" in drawn(test)
    assert not test.text_area
    planted.take(replace_author(event), document)
    st.cache_resource.clear()
    text = drawn(checked(test.run()))
    assert "demo agrees" in text
    assert "on its way" not in text


def replace_author(event: SpotcheckSigned) -> SpotcheckSigned:
    """The same finding, by the reviewer whom the console signs for; the door of the test signs as somebody else."""
    from msgspec.structs import replace as changed

    return changed(event, author=story.REVIEWER)


def test_agree_is_off_until_everything_was_seen_and_disagree_never(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("spotchecks", approval=story.OVERDUE)
    assert next(button for button in test.button if button.label == "Agree").disabled
    assert not next(button for button in test.button if button.label == "Disagree").disabled
    viewed = [event for event, _ in door.recorded if isinstance(event, ApprovalViewed)]
    assert all((event.approval, event.reviewer) == (story.OVERDUE, story.REVIEWER) for event in viewed)


def test_who_approved_is_offered_no_finding(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("spotchecks", approval="rate-limit-1")
    assert not test.text_area
    assert "demo approved this, so the second look is somebody else's." in drawn(test)


def test_a_second_look_at_a_hostile_card_is_text_and_nothing_else(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    hostile.spend(planted)
    for test in (page("spotchecks"), page("spotchecks", approval=hostile.NAME), page("review", approval=hostile.AGAIN)):
        assert hostile.SCRIPT in drawn(test)
        others = [element for element in test if element.type != "bidi_component" and hasattr(element, "proto")]
        assert not any("evil.example" in str(element.proto) or "pwned" in str(element.proto) for element in others)


def test_what_was_never_spent_has_no_second_look(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    assert "No such spot check" in drawn(page("spotchecks", approval=story.GRAVEST))
    assert "No such spot check" in drawn(page("spotchecks", approval="<b>"))

"""The page Coverage: a reviewer asks the red team for an attack again, by a signed request, and sees that it is asked for."""

from __future__ import annotations

import pytest
from tenuto.errors import Busy
from tenuto.events import ExerciseEnded, ExerciseRequested, ExerciseStarted
from tenuto_dashboard import session

from tests.console import story
from tests.console.pages import checked, drawn, page
from tests.console.planted import Planted
from tests.console.test_decisions import RecordingDoor


def attacked(planted: Planted, *scenarios: str) -> None:
    """Attacks that were held."""
    story.cast(planted, demo=True)
    planted.register("red-team", "redteam", "red-team")
    for scenario in scenarios:
        about = {"exercise": f"exercise-{scenario}", "scenario": scenario, "refs": ("T7", "M27")}
        planted.write("red-team", ExerciseStarted, **about)
        planted.write("red-team", ExerciseEnded, **about, verdict="held", held=("M27",), evidence=(), milliseconds=1200)
    planted.seal()


def test_the_button_signs_a_request_for_the_attack_that_is_chosen(planted: Planted, door: RecordingDoor) -> None:
    attacked(planted, "forged-author", "replayed")
    test = page("coverage")
    assert "1 of 32 controls held against an attack" in drawn(test)
    assert list(test.selectbox[0].options) == ["forged-author", "replayed"]
    checked(test.selectbox[0].set_value("replayed").run())
    checked(test.button[0].click().run())
    (asked,) = [event for event, _ in door.recorded if isinstance(event, ExerciseRequested)]
    assert asked.scenario == "replayed"
    assert asked.exercise.startswith("exercise-")
    assert "replayed is asked for. It runs as soon as the red team" in drawn(test)


def test_a_request_that_cannot_be_signed_says_why(planted: Planted, door: RecordingDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> RecordingDoor:
        raise Busy("The broker does not answer.")

    attacked(planted, "replayed")
    monkeypatch.setattr(session, "door", away)
    test = page("coverage")
    checked(test.button[0].click().run())
    assert "It was not asked for: The broker does not answer." in drawn(test)
    assert door.recorded == []


def test_without_an_attack_on_record_there_is_nothing_to_ask_for(planted: Planted, door: RecordingDoor) -> None:
    attacked(planted)
    test = page("coverage")
    assert "No attack was tried" in drawn(test)
    assert not test.button

"""Every page, drawn by Streamlit's own test runner over real read models."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import sqlalchemy
import streamlit as st
from streamlit.testing.v1 import AppTest
from tenuto.documents import ApprovalCard, Reason
from tenuto.errors import Busy
from tenuto.events.approval import ApprovalAssigned, ApprovalOpened, ApprovalSigned
from tenuto_dashboard import session
from tenuto_dashboard.chain import stations
from tenuto_projections.runs import run, timeline

from tests.console import hostile, story
from tests.console.pages import checked, drawn, page
from tests.console.planted import Planted, digest
from tests.console.test_decisions import RecordingDoor

REAL_DOOR, REAL_MEASURE = session.door, session.measure


def test_the_inbox_lists_what_waits_gravest_first(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("inbox"))
    titles = ["Open the payments API", "Remove the retired staging cluster", "Raise the partner rate limit", "Shorten the TTL"]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "Limit requests per partner" not in text  # decided long ago


def test_what_was_decided_is_one_click_away(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("inbox")
    checked(test.button_group[0].set_value("Decided").run())
    assert "Limit requests per partner" in drawn(test)


def test_the_inbox_says_what_is_mine_why_it_is_and_how_much_room_is_left(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    reason = Reason(text="second-reviewer has no place left.")
    planted.write("router", ApprovalAssigned, reason, approval="cleanup-1", reviewer=story.REVIEWER, why="overflow")
    planted.write("router", ApprovalAssigned, approval="ci-role-1", reviewer="second-reviewer", why="next_free")
    planted.seal()
    test = page("inbox")
    mine = drawn(test)
    assert "9 of 10 decisions left for you in this hour, 1 on your desk." in mine
    assert "Overflow: second-reviewer has no place left." in mine
    assert "Yours" not in mine, "everything on this list is"
    assert "Let the CI role read" not in mine, "what lies on the reader's own desk is what he sees first"
    assert "With second-reviewer" in drawn(checked(test.button_group[0].set_value("All").run()))
    waiting = drawn(checked(test.button_group[0].set_value("Waiting").run()))
    assert "Shorten the TTL" in waiting
    assert "Let the CI role read" not in waiting


def test_a_settled_request_leads_on_to_what_lies_on_the_own_desk(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    planted.write("router", ApprovalAssigned, approval="cleanup-1", reviewer=story.REVIEWER, why="next_free")
    planted.seal()
    text = drawn(page("review", approval="rate-limit-1"))
    assert "1 more on your desk, next" in text
    assert "Remove the retired staging cluster" in text


def test_an_empty_inbox_says_so(planted: Planted, door: RecordingDoor) -> None:
    planted.seal()
    assert "Nothing waits for you" in drawn(page("inbox"))


def test_an_empty_desk_says_where_the_others_are(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("inbox")
    mine = drawn(checked(test.button_group[0].set_value("Mine").run()))
    assert "Nothing lies on your desk" in mine
    assert "6 requests wait with others, or for somebody who has room" in mine


def test_a_reader_who_comes_back_stands_before_the_list_and_the_page_that_he_left(planted: Planted, door: RecordingDoor) -> None:
    story.cast(planted, demo=True)
    with planted.held():
        for number in range(45):
            story.request(planted, story.Ask(f"flood-{number}", f"run-{number}", f"Request {number}.", "s", minutes=600))
    left = page("inbox")
    left.session_state["view"], left.session_state["page-Waiting"] = "Waiting", 3
    assert "Request 44." in drawn(checked(left.run()))
    back = AppTest.from_string("from tenuto_dashboard.app_pages import inbox\ninbox.draw()\n", default_timeout=60)
    for name in ("chosen view", "chosen page-Waiting"):  # Streamlit forgets what the widgets themselves held
        back.session_state[name] = left.session_state[name]
    text = drawn(checked(back.run()))
    assert "Request 44." in text
    assert "Request 0." not in text


def test_a_thousand_waiting_requests_are_shown_twenty_at_a_time(planted: Planted, door: RecordingDoor) -> None:
    story.cast(planted, demo=True)
    with planted.held():
        for number in range(1000):
            story.request(planted, story.Ask(f"flood-{number}", f"run-{number}", f"Request {number}.", "s", minutes=600))
    text = drawn(page("inbox"))
    assert "1,000" in text
    assert "Request 0." in text
    assert "Request 999." not in text
    assert text.count("infrastructure-agent") == 20


def test_the_review_page_shows_all_that_is_being_approved(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("review", approval=story.GRAVEST))
    for expected in (
        story.PARTNER.sentence, "terraform.apply", "stack/payments", "mara", "CKV_AWS_260", "replacement-needs-two-people",
        "although static analysis has 1 grave finding", "infra/network.tf", 'cidr_blocks = ["0.0.0.0/0"]', '["0.0.0.0/0"]',
        "INSECURE DEMO SIGNER", "The ticket PAY-1182 names the partner", "1 of 2",
    ):  # fmt: skip
        assert expected in text, expected


def test_opening_a_review_is_recorded_once(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    checked(page("review", approval=story.GRAVEST).run())
    [(event, _)] = door.recorded
    assert isinstance(event, ApprovalOpened)
    assert (event.approval, event.digest) == (story.GRAVEST, digest(story.GRAVEST))


def press(test: AppTest, label: str, reason: str) -> AppTest:
    test.text_area[0].input(reason)
    return checked(next(button for button in test.button if button.label == label).click().run())


@pytest.mark.parametrize(("label", "decision"), [("Approve", "approve"), ("Deny", "deny")])
def test_a_decision_is_signed_over_what_was_shown(label: str, decision: str, planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    coverage = story.look(planted, story.GRAVEST)
    test = press(page("review", approval=story.GRAVEST), label, "I asked the network team.")
    event, document = door.recorded[-1]
    assert isinstance(event, ApprovalSigned)
    assert (event.decision, event.digest) == (decision, digest(story.GRAVEST))
    assert event.coverage == (coverage if decision == "approve" else None)
    assert getattr(document, "text", None) == "I asked the network team."
    assert "is signed and on its way to the ledger" in drawn(test)
    assert not test.text_area, "a signed decision cannot be made twice"


def test_approve_is_off_and_says_why_until_everything_was_seen(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("review", approval=story.GRAVEST)
    assert next(button for button in test.button if button.label == "Approve").disabled
    assert "have not been on screen long enough, the first: aws_" in drawn(test)
    assert "What you have seen" in drawn(test)
    story.look(planted, story.GRAVEST)
    planted.seal()
    st.cache_resource.clear()
    test = page("review", approval=story.GRAVEST)
    assert not next(button for button in test.button if button.label == "Approve").disabled


def test_a_card_that_is_not_what_was_listed_cannot_be_approved(planted: Planted, door: RecordingDoor) -> None:
    story.cast(planted, demo=True)
    ask = story.ASKS[0]
    asked = story.request(planted, ask, listed_card=ApprovalCard(title="Something harmless", sentence="Nothing changes."))
    story.look(planted, asked.approval)
    planted.seal()
    test = page("review", approval=ask.name)
    assert next(button for button in test.button if button.label == "Approve").disabled
    assert "not those of the card" in drawn(test)


def test_a_denial_without_a_reason_is_not_signed(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = press(page("review", approval=story.GRAVEST), "Deny", " ")
    assert not any(isinstance(event, ApprovalSigned) for event, _ in door.recorded)
    assert "A denial needs a reason" in drawn(test)


def test_a_decided_request_offers_no_decision(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    test = page("review", approval="rate-limit-1")
    assert not test.text_area
    assert "Plan read; the limit is what was agreed." in drawn(test)
    assert not door.recorded


def test_without_a_door_reading_still_works(planted: Planted, door: RecordingDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise Busy("The broker does not answer.")

    story.tell(planted)
    story.look(planted, story.GRAVEST)
    monkeypatch.setattr(session, "door", away)
    text = drawn(page("review", approval=story.GRAVEST))
    assert "The broker does not answer." in text
    assert story.PARTNER.sentence in text


def test_a_door_that_opens_slowly_costs_a_sentence_and_not_the_page(
    planted: Planted, door: RecordingDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening: Future[Any] = Future()
    story.tell(planted)
    story.look(planted, story.GRAVEST)
    monkeypatch.setattr(session, "door", REAL_DOOR)
    monkeypatch.setattr(session, "measure", REAL_MEASURE)
    monkeypatch.setattr(session, "DOOR_SECONDS", 0.01)
    monkeypatch.setattr(session, "_opening", lambda _: opening)
    test = page("review", approval=story.GRAVEST)
    assert "is still being opened" in drawn(test)
    assert story.PARTNER.sentence in drawn(test)
    press(test, "Approve", "I asked the network team.")
    assert not door.recorded
    opening.set_result(door)
    checked(test.run())
    assert "is still being opened" not in drawn(test).split("Facts")[-1]
    assert isinstance(door.recorded[0][0], ApprovalOpened)


def test_every_station_of_a_finished_run_has_its_author(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    found = session.ask(lambda connection: run(connection, story.SHIPPED))
    assert found is not None
    passed = stations(found, session.ask(lambda connection: timeline(connection, story.SHIPPED)))
    assert [(station.state, station.who) for station in passed] == [
        ("done", "priya"), ("done", "review-agent"), ("done", "infrastructure-agent"), ("done", story.REVIEWER),
        ("done", "infrastructure-agent"), ("done", "deployment-agent"), ("done", "deployment-agent"),
    ]  # fmt: skip


def test_the_run_page_shows_the_chain_and_the_timeline(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    text = drawn(page("runs", run=story.SHIPPED))
    for expected in ("Pull request", "Health", "Succeeded", "approval.signed", "deployment.healthy", "terraform.apply returned"):
        assert expected in text


@pytest.mark.parametrize(
    ("name", "query", "expected"),
    [
        ("runs", {}, "Open the payments API"), ("runs", {"run": "no-such"}, "No such run"), ("review", {}, "No such request"),
        ("review", {"approval": "<b>"}, "No such request"), ("integrity", {}, "Witnesses cosigned it"),
        ("integrity", {}, "tenuto verify"), ("fleet", {}, "second-reviewer"), ("alerts", {}, "tool-without-review"),
    ],
)  # fmt: skip
def test_every_page_answers(name: str, query: dict[str, str], expected: str, planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    assert expected in drawn(page(name, **query))


def test_hostile_text_reaches_the_browser_as_text_and_no_other_way(planted: Planted, door: RecordingDoor) -> None:
    story.cast(planted, demo=True)
    hostile.plant(planted)
    for test in (page("inbox"), page("review", approval=hostile.NAME), page("runs", run="run-hostile"), page("runs")):
        assert hostile.SCRIPT in drawn(test)
        others = [element for element in test if element.type != "bidi_component" and hasattr(element, "proto")]
        assert not any("evil.example" in str(element.proto) or "pwned" in str(element.proto) for element in others)
        assert "\u202e" not in drawn(test)


def test_the_console_cannot_write_what_it_reads(planted: Planted, door: RecordingDoor) -> None:
    for statement in ("UPDATE read_model.approval SET state = 'granted'", "DELETE FROM ledger.entry", "INSERT INTO ledger.session_head VALUES (NULL)"):
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
            session.ask(run_statement(statement))


def run_statement(statement: str) -> Callable[[sqlalchemy.Connection], object]:
    return lambda connection: connection.execute(sqlalchemy.text(statement))

"""The read model of reviewing says what the desk says, and what a person needs to plan with it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import event
from tenuto_projections.reviewing import Reviewing, Room, pieces_on_record, queue, seen_by

from .story import HOSTILE, assign, look, new_ledger, request, tell
from .test_read_models import built
from .written import START, MemoryFollower


def test_pieces_and_what_was_seen_of_them() -> None:
    ledger = new_ledger()
    request(ledger)
    connection = built(ledger, Reviewing())
    pieces, fault = pieces_on_record(connection, "a1")
    assert [piece.name for piece in pieces] == ["aws_iam_role.x", "summary"]
    assert fault == ""
    assert seen_by(connection, "a1", "bob") is None
    coverage = look(ledger)
    seen = seen_by(built(ledger, Reviewing()), "a1", "bob")
    assert seen is not None
    assert (seen.digest, seen.missing, seen.sentence) == (coverage, 0, "")
    assert seen.milliseconds == {piece.digest: piece.milliseconds for piece in pieces}


def test_who_has_it_and_why_until_it_is_decided() -> None:
    here = queue(built(tell("request", "assign"), Reviewing()))
    assert [(one.reviewer, one.why, one.sentence) for one in here.given["a1"]] == [("eve", "next_free", HOSTILE.replace("\0", "\N{SYMBOL FOR NULL}"))]
    assert here.rooms["eve"].on_desk == 1
    assert queue(built(tell("request", "assign", "approve"), Reviewing())).given == {}
    assert len(queue(built(tell("request", "assign", "deny", "withdraw"), Reviewing())).given["a1"]) == 1


def test_what_nobody_can_take_waits_and_says_so() -> None:
    ledger = new_ledger()
    for number in range(21):
        request(ledger, f"a{number}", call=f"c{number}")
        reviewer = ("bob", "eve")[number % 2]
        if number < 20:
            assign(ledger, reviewer, f"a{number}")
    waiting = queue(built(ledger, Reviewing())).waiting
    assert list(waiting) == ["a20"]
    assert waiting["a20"].until is None
    assert "10 open" in waiting["a20"].sentence


def test_the_room_of_a_reviewer_slides_with_the_hour() -> None:
    decided = tuple(START + timedelta(minutes=number) for number in range(3))
    room = Room("bob", "bob", (), "", active=True, keys=1, cap=3, on_desk=0, decided=decided)
    now = START + timedelta(minutes=30)
    assert (room.places(now), room.frees(now)) == (0, START + timedelta(hours=1))
    assert (room.places(START + timedelta(hours=1)), room.frees(START + timedelta(hours=1))) == (1, None)


def test_a_decision_of_the_last_hour_takes_a_place() -> None:
    room = queue(built(tell("request", "approve"), Reviewing())).rooms["bob"]
    assert (room.cap, len(room.decided), room.places(room.decided[0])) == (10, 1, 9)


def test_an_event_that_changes_nothing_about_the_desks_writes_nothing_about_them() -> None:
    ledger = new_ledger()
    for number in range(30):
        request(ledger, f"a{number}", call=f"c{number}")
        if number < 20:
            assign(ledger, ("bob", "eve")[number % 2], f"a{number}")
    reviewing = Reviewing()
    connection = built(ledger, reviewing)
    assert len(queue(connection).waiting) == 10
    written: list[str] = []
    event.listen(connection.engine, "before_cursor_execute", lambda *about: written.append(about[2]))
    ledger.open("bob")
    page = [one for page in MemoryFollower(ledger, payloads=False).pages() for one in page][-1:]
    reviewing.apply(connection, page)
    assert [statement for statement in written if not statement.startswith("SELECT")] == []


def test_who_has_no_key_any_more_is_still_listed_as_that() -> None:
    rooms = queue(built(tell("leave"), Reviewing())).rooms
    assert [room.keys for name, room in rooms.items() if name.startswith("zoe")] == [0]
    assert rooms["bob"].keys == 1

"""At the door in: members of a sheaf enter one by one, like events that were signed alone."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.envelope import Envelope, parse
from tenuto.events import EVENT_CLASSES, IN_SHEAF, DecisionMade, Event, RecordEquivocation, RecordRefused, ToolStarted
from tenuto.signing import sign_headers

from tests.unit.ingest.place import Place, opened
from tests.written import Author, Written

DECISION: dict[str, Any] = {"subject": "commit", "subject_digest": "d" * 64, "verdict": "approve", "model": "m"}


@pytest.fixture
def place() -> Place:
    return Place()


def sheaf_of(author: Author, events: list[Written]) -> list[Written]:
    """The same events under one signature."""
    signatures = sign_headers(author.signer, [one.envelope.header for one in events])
    return [
        Written(one.event, Envelope(one.envelope.header, signature, one.envelope.epoch, one.envelope.sealed))
        for one, signature in zip(events, signatures, strict=True)
    ]


def decisions(author: Author, count: int = 10) -> list[Written]:
    return [author.write(DecisionMade, payload=b"because", **DECISION) for _ in range(count)]


def reasons(place: Place) -> list[str]:
    return [event.reason for event in place.said(RecordRefused)]


def test_a_sheaf_enters_in_the_order_of_its_chain(place: Place) -> None:
    author = opened(place)
    told = sheaf_of(author, decisions(author))
    assert place.bring(*told) == 10
    assert place.session(author) == list(range(11))
    states = [place.store.read(one.position, 1)[0].state for one in place.events() if one.event.session == author.session]
    assert states[1:] == [one.envelope.state for one in told]


def test_a_member_comes_back_whole_from_the_wire(place: Place) -> None:
    author = opened(place)
    for one in sheaf_of(author, decisions(author, 3)):
        assert parse(one.record) == one.envelope


def test_members_that_come_out_of_order_and_twice_enter_once_each(place: Place) -> None:
    author = opened(place)
    told = sheaf_of(author, decisions(author))
    place.publish(*told[5:], told[7], *told[:5], *told)
    while place.ingest.step():
        pass
    place.restart()
    place.bring(told[3])
    assert place.session(author) == list(range(11))
    assert place.said(RecordRefused) == place.said(RecordEquivocation) == []


def test_an_event_that_is_signed_again_alone_or_in_another_sheaf_is_delivered_again(place: Place) -> None:
    author = opened(place)
    events = decisions(author, 4)
    place.bring(*sheaf_of(author, events))
    place.bring(events[0], *sheaf_of(author, events[1:]), *sheaf_of(author, events[::-1]))
    assert place.session(author) == list(range(5))
    assert place.said(RecordRefused) == place.said(RecordEquivocation) == []


def test_another_event_for_a_place_is_an_equivocation_in_a_sheaf_as_well(place: Place) -> None:
    author = opened(place)
    twin = Author(author.name, signer=author.signer)
    twin.session, twin.seq, twin.prev = author.session, author.seq, author.prev
    place.bring(*sheaf_of(author, decisions(author, 3)))
    place.bring(*sheaf_of(twin, decisions(twin, 2)))
    assert [event.at_seq for event in place.said(RecordEquivocation)] == [1, 2]


def test_swapped_members_are_refused(place: Place) -> None:
    author = opened(place)
    one, other = sheaf_of(author, decisions(author, 2))
    swapped = [
        Envelope(here.envelope.header, there.envelope.signature, here.envelope.epoch, here.envelope.sealed).to_bytes()
        for here, there in ((one, other), (other, one))
    ]
    place.bring(*swapped)
    assert reasons(place) == ["signature", "signature"]
    assert place.bring(one, other) == 2


def test_a_kind_that_gates_is_refused_in_a_sheaf_and_its_neighbours_enter(place: Place) -> None:
    author = opened(place)
    decided, started = author.write(DecisionMade, **DECISION), author.write(ToolStarted)
    place.bring(*sheaf_of(author, [decided, started]))
    assert reasons(place) == ["signature"]
    assert place.session(author) == [0, 1]
    place.bring(started)
    assert place.session(author) == [0, 1, 2]


def test_a_sheaf_by_another_key_is_refused_member_by_member(place: Place) -> None:
    author = opened(place)
    told = sheaf_of(Author("infrastructure"), decisions(author, 3))
    place.bring(*told)
    assert reasons(place) == ["signature"] * 3
    assert place.bring(*told[:2]) == 2, "and the refusals are not remembered as anything else"
    assert reasons(place) == ["signature"] * 5


def gates(cls: type[Event]) -> bool:
    kind = str(cls.__struct_config__.tag)
    subject, _, what = kind.partition(".")
    return subject in {"key", "policy", "session", "record", "run", "spotcheck", "secret", "alert", "drift"} or (
        subject in {"approval", "tool"} and what not in {"viewed", "finished", "failed"}
    )


def test_nothing_that_permits_forbids_begins_or_warns_may_be_in_a_sheaf() -> None:
    assert {cls for cls in EVENT_CLASSES if gates(cls)}.isdisjoint(IN_SHEAF)
    assert set(EVENT_CLASSES) > IN_SHEAF

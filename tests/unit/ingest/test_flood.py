"""A flood of forged records before the root registers ingest: it is refused on record, all of it, and holds nothing up for ever."""

from __future__ import annotations

from itertools import takewhile

import pytest
from tenuto.events import KeyRegistered, KeyRevoked, RecordRefused
from tenuto.intake import search

from tests.unit.ingest.place import Place
from tests.written import Author, Written, genesis, register, signed, signer_of

BATCH, FLOOD = 8, 50
STEPS_MAX = 40


def flooded(records: list[Written | bytes], **limits: int) -> Place:
    """A place without a founded log, whose batches are smaller than the flood before the root's first event."""
    place = Place(founded=False, batch_events=BATCH, **limits)
    place.publish(*(b"forged %d" % number for number in range(FLOOD)), *records)
    return place


def settle(place: Place) -> None:
    """Step until a step brings nothing, and at most STEPS_MAX times."""
    steps = takewhile(lambda _: place.ingest.step() > 0, range(STEPS_MAX))
    assert len(list(steps)) < STEPS_MAX


def test_ingest_comes_to_its_own_registration_and_refuses_the_whole_flood() -> None:
    place = flooded([])
    place.publish(*genesis(place.root))
    settle(place)
    assert place.ingest.waiting is None
    assert [one.offset for one in place.said(RecordRefused)] == list(range(FLOOD))
    assert place.session(place.root) == [0, 1, 2, 3, 4]


def test_without_a_registration_it_waits_and_passes_nothing_until_one_comes() -> None:
    place = flooded([])
    assert place.ingest.step() == 0
    assert "the root has registered this key" in str(place.ingest.waiting)
    assert place.events() == []
    place.publish(*(b"forged later %d" % number for number in range(FLOOD)))
    assert place.ingest.step() == 0
    place.publish(*genesis(place.root))
    settle(place)
    assert len(place.said(RecordRefused)) == 2 * FLOOD


def test_a_search_that_is_longer_than_a_step_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGES_MAX", 2)
    place = flooded([])
    place.publish(*genesis(place.root))
    waited = sum(1 for _ in takewhile(lambda _: place.ingest.step() == 0, range(STEPS_MAX)))
    assert waited == FLOOD // (2 * BATCH)
    settle(place)
    assert len(place.said(RecordRefused)) == FLOOD


def test_what_only_claims_to_be_the_root_brings_nobody_in() -> None:
    root = Author("root")
    registered = register(root, "ingest", "ingest")
    forged = [signed(one.event, signer_of("mallory")) for one in (root.open(), registered)]
    place = flooded([*forged])
    for _ in range(3):
        assert place.ingest.step() == 0
    assert place.events() == []


def test_only_the_root_comes_ahead_and_only_up_to_the_registration() -> None:
    place = flooded([])
    opened, *registered = genesis(place.root)
    agent = Author("deployment")
    later = place.root.write(KeyRevoked, subject="infrastructure", subject_key_id=signer_of("infrastructure").key_id, reason="lost")
    place.publish(opened, *registered, agent.open(), later)
    assert place.ingest.step() == 2  # the root's session and ingest's key, which it registers first
    assert [type(one) for one in place.said(KeyRegistered)] == [KeyRegistered]
    settle(place)
    assert place.session(place.root) == [0, 1, 2, 3, 4, 5]
    assert place.session(agent) == [0]


def test_a_restart_in_the_middle_loses_and_repeats_nothing() -> None:
    place = flooded([])
    place.publish(*genesis(place.root))
    assert place.ingest.step() > 0
    place.restart()
    settle(place)
    assert [one.offset for one in place.said(RecordRefused)] == list(range(FLOOD))

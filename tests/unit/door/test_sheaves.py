"""At the author's door: several events under one signature, on disk together or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tenuto import header as headers
from tenuto.documents import Reason
from tenuto.envelope import parse
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.events import DecisionMade, Event, MessageSent, RunFinished, ToolStarted
from tenuto.header import HeaderRefused
from tenuto.recorder import Recorder
from tenuto.sheaf import SHEAF_HEADERS_MAX
from tenuto.signing import SIGNATURE_BYTES
from tenuto.spool import Spool
from tenuto.writing import SheafWriter

from tests.unit.door.mini_ledger import Road
from tests.unit.door.test_recorder import opened, say


def decide(sheaf: SheafWriter, number: int, **more: Any) -> UUID:
    about = {"subject": "commit", "subject_digest": "0" * 64, "verdict": "comment", "model": "m", "findings": number}
    return sheaf.record(DecisionMade, **about | more)


def kept(spool: Spool, kind: type[Event] = DecisionMade) -> list[tuple[int, int]]:
    """Number of findings and length of the signature of each event in the spool, in order."""
    envelopes = [parse(row.record) for row in spool.pending(0, 1000)]
    events = [(headers.decode(one.header), one.signature) for one in envelopes]
    return [(event.findings, len(signature)) for event, signature in events if isinstance(event, kind)]


def test_what_is_collected_is_one_sheaf_and_every_event_gets_its_receipt(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        with alice.sheaf() as sheaf:
            first = decide(sheaf, 0, document=Reason(text="because"))
            decide(sheaf, 1, cause=(first,))
        assert [event.id for event in sheaf.events][0] == first
        receipts = [alice.wait(event) for event in sheaf.events]
        assert [one.position for one in receipts] == sorted(one.position for one in receipts)
    seqs = [(event.seq, event.cause) for event in road.events("alice") if isinstance(event, DecisionMade)]
    assert seqs == [(1, ()), (2, (first,))]


def test_a_message_in_a_sheaf_reaches_its_receiver(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice, road.at_work(tmp_path, "bob") as bob:
        with alice.sheaf() as sheaf:
            for number in range(3):
                sheaf.send("bob", "talk", Reason(text=f"number {number}"))
        assert bob.mailbox is not None
        for number in range(3):
            delivered = bob.mailbox.next_message(60)
            assert delivered is not None
            assert delivered.event == sheaf.events[number]
            assert f"number {number}".encode() in (delivered.payload or b"")
            bob.mailbox.done(delivered)


def test_nothing_is_on_disk_before_the_block_ends_and_all_of_it_after(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice:
        with alice.sheaf() as sheaf:
            for number in range(3):
                decide(sheaf, number)
            assert kept(spool) == [] == sheaf.events
        assert kept(spool) == [(0, 130), (1, 130), (2, 98)]
        assert len(sheaf.events) == 3


def test_a_full_sheaf_is_put_on_record_at_once_and_a_single_event_is_signed_alone(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice:
        with alice.sheaf(2) as sheaf:
            for number in range(5):
                decide(sheaf, number)
            assert [number for number, _ in kept(spool)] == [0, 1, 2, 3]
        assert kept(spool) == [(0, 98), (1, 98), (2, 98), (3, 98), (4, SIGNATURE_BYTES)]


def test_what_is_recorded_meanwhile_stands_before_the_sheaf(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice, alice.sheaf() as sheaf:
        decide(sheaf, 1)
        say(alice, 2)
        decide(sheaf, 3)
        sheaf.flush()
        assert [number for number, _ in kept(spool)] == [2, 1, 3]
        say(alice, 4)
        assert [number for number, _ in kept(spool)] == [2, 1, 3, 4]


def test_an_error_in_the_block_takes_nothing_back(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice:
        with pytest.raises(ZeroDivisionError), alice.sheaf() as sheaf:
            decide(sheaf, 1)
            decide(sheaf, 1 // 0)
        assert [number for number, _ in kept(spool)] == [1]


def test_an_event_that_cannot_be_is_refused_where_it_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice, alice.sheaf() as sheaf:
        decide(sheaf, 1)
        with pytest.raises(HeaderRefused):
            decide(sheaf, 2, model="Not A Name")
        decide(sheaf, 3)
        sheaf.flush()
        assert [number for number, _ in kept(spool)] == [1, 3]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ToolStarted, {"call": "c", "tool": "t", "resource": "r", "digest": "d" * 64}),
        (RunFinished, {"outcome": "succeeded"}),
    ],
)
def test_a_kind_that_is_signed_alone_is_not_collected(tmp_path: Path, kind: type[Event], fields: dict[str, Any]) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "alice.db")) as alice, alice.sheaf() as sheaf:
        with pytest.raises(Refused, match="signed alone"):
            sheaf.record(kind, **fields)


@pytest.mark.parametrize("events_max", [0, SHEAF_HEADERS_MAX + 1])
def test_a_sheaf_of_none_or_of_one_too_many_is_a_mistake_of_the_caller(tmp_path: Path, events_max: int) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "alice.db")) as alice, pytest.raises(NotConfigured, match="at most 64"):
        alice.sheaf(events_max)


def test_the_largest_sheaf_is_64_events(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice, alice.sheaf() as sheaf:
        for number in range(SHEAF_HEADERS_MAX + 1):
            decide(sheaf, number)
        assert kept(spool) == [(number, SIGNATURE_BYTES + 6 * 32 + 2) for number in range(SHEAF_HEADERS_MAX)]


def test_nothing_is_collected_outside_of_the_block(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "alice.db")) as alice:
        with alice.sheaf() as sheaf:
            decide(sheaf, 1)
        with pytest.raises(NotConfigured, match="outside of the block"):
            decide(sheaf, 2)
        assert len(sheaf.events) == 1


def test_a_sheaf_for_which_there_is_no_room_is_busy_and_whole_afterwards(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db", bytes_max=4000)
    with opened(road, spool) as alice:
        alice.room_seconds = 0.0
        with alice.sheaf() as sheaf:
            for number in range(8):
                decide(sheaf, number)
            with pytest.raises(Busy):
                sheaf.flush()
            assert kept(spool) == []
            spool.bytes_max = 100_000
        assert [number for number, _ in kept(spool)] == list(range(8))


def test_a_write_that_fails_halfway_leaves_no_event_and_no_fork(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    spool = Spool(tmp_path / "alice.db")
    with opened(road, spool) as alice:
        spool._connection.executescript(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON outbox WHEN new.seq = 3 BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
        with pytest.raises(sqlite3.IntegrityError, match="no space"), alice.sheaf() as sheaf:
            for number in range(4):
                decide(sheaf, number)
        assert kept(spool) == []
        spool._connection.execute("DROP TRIGGER full")
        sheaf.flush()
        assert [number for number, _ in kept(spool)] == list(range(4))
    assert [event.findings for event in road.events("alice") if isinstance(event, DecisionMade)] == list(range(4))


def test_a_sheaf_is_what_a_recorder_makes_and_a_message_is_of_its_kind(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "alice.db")) as alice:
        assert isinstance(alice, Recorder)
        with alice.sheaf() as sheaf:
            sheaf.send("bob", "talk", Reason(text="hello"))
        (sent,) = sheaf.events
        assert isinstance(sent, MessageSent)
        assert (sent.to, sent.topic) == ("bob", "talk")

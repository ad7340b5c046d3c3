from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tenuto.bus import TopicReader
from tenuto.documents import Reason, from_payload
from tenuto.enclosure import parse_enclosure
from tenuto.errors import Busy, Refused
from tenuto.events import DecisionMade
from tenuto.mailbox import RECEIPTS_KEPT_MAX, Delivered, Mailbox
from tenuto.spool import Spool

from tests.unit.door.inboxes import BOB, deliver, inbox_records, sent, texts_in
from tests.unit.door.mini_ledger import TRUST, Road, signer


def test_a_hole_in_the_inbox_stops_it_until_it_is_filled(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "one", "two", "three")
    records = inbox_records(road)
    hole = next(place for place, record in enumerate(records) if parse_enclosure(record).envelope.sealed is not None)
    road.bus.make_anew(BOB)
    deliver(road, "bob", *records[:hole], *records[hole + 1 :])
    assert texts_in(bob) == []
    road.bus.make_anew(BOB)
    road.new_delivery().step()
    bob.pump(0)
    assert texts_in(bob) == ["one", "two", "three"]


def test_an_inbox_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    road = Road()
    spool = Spool(tmp_path / "n.db")
    mailbox = road.mailbox("newcomer", spool)
    assert mailbox.next_message(0.1) is None
    road.register("newcomer", "agent")
    sent(road, tmp_path, "welcome", to="newcomer")
    assert texts_in(mailbox) == ["welcome"]
    assert mailbox.own_key() is not None
    mailbox.close()
    spool.close()


def test_a_bus_that_is_away_is_busy_and_nothing_is_lost(road: Road, tmp_path: Path, bob: Mailbox) -> None:
    sent(road, tmp_path, "hello")
    road.bus.away = True
    with pytest.raises(Busy):
        bob.next_message(0)
    road.bus.away = False
    assert texts_in(bob) == ["hello"]


def test_a_spool_full_of_messages_takes_no_more_until_one_is_done(road: Road, tmp_path: Path) -> None:
    sent(road, tmp_path, "one", "two")
    spool = Spool(tmp_path / "bob-inbox.db", bytes_max=1)
    mailbox = road.mailbox("bob", spool)
    first = mailbox.next_message(0)
    assert first is not None
    with pytest.raises(Busy, match="2 messages"):
        mailbox.pump(0)
    mailbox.done(first)
    assert texts_in(mailbox) == ["two"]
    mailbox.pump(0)
    mailbox.close()
    spool.close()


def test_several_threads_may_wait_on_one_mailbox(road: Road, tmp_path: Path) -> None:
    with road.at_work(tmp_path, "bob") as bob, road.at_work(tmp_path) as alice:
        got: list[Delivered | None] = []
        assert bob.mailbox is not None
        waiting = threading.Thread(target=lambda: got.append(bob.mailbox.next_message(20)))
        waiting.start()
        for _ in range(3):
            bob.wait(bob.record(DecisionMade, subject="commit", subject_digest="0" * 64, model="m", verdict="comment"))
        alice.send("bob", "test.note", Reason(text="hello"))
        waiting.join(60)
        assert [from_payload(one.payload, Reason).text for one in got if one] == ["hello"]


def test_an_interruption_while_reading_loses_nothing(road: Road, tmp_path: Path) -> None:
    class InterruptedReader:
        def __init__(self, reader: TopicReader) -> None:
            self._reader = reader

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

        def poll(self, max_records: int, timeout_ms: int) -> Any:
            self._reader.poll(max_records, timeout_ms)
            raise KeyboardInterrupt

    sent(road, tmp_path, "hello")
    spool, interrupted = Spool(tmp_path / "bob-inbox.db"), [True]

    def open_reader() -> Any:
        reader = road.bus.reader(BOB, 0)
        return InterruptedReader(reader) if interrupted.pop() else reader

    mailbox = Mailbox(signer=signer("bob"), trust=TRUST, open_reader=open_reader, spool=spool)
    with pytest.raises(KeyboardInterrupt):
        mailbox.pump(0)
    interrupted.append(False)
    assert texts_in(mailbox) == ["hello"]
    mailbox.close()
    spool.close()


def test_receipts_are_kept_up_to_their_limit(monkeypatch: pytest.MonkeyPatch, road: Road, tmp_path: Path) -> None:
    assert RECEIPTS_KEPT_MAX == 10_000
    monkeypatch.setattr("tenuto.mailbox.RECEIPTS_KEPT_MAX", 2)
    with road.at_work(tmp_path) as alice:
        events = [alice.decision("comment", subject="commit", subject_digest="0" * 64, model="m") for _ in range(3)]
        alice.flush(60)
        assert alice.mailbox is not None
        assert [alice.mailbox.verdict(event.id) is not None for event in events] == [False, True, True]
        with pytest.raises(Refused, match="too long ago"):
            alice.wait(events[0])


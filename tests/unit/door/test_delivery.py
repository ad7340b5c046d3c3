from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from tenuto import header as headers
from tenuto.bus import Headers, Place, TopicMissing
from tenuto.documents import Reason
from tenuto.enclosure import inbox_topic, parse_enclosure
from tenuto.errors import Busy, Refused
from tenuto.log.proof import ProofRefused
from tenuto.spool import Spool

from tests.doubles import MemoryBus, MemoryPublisher
from tests.unit.door.mini_ledger import Road

SOME = 7


@pytest.fixture
def road() -> Road:
    road = Road()
    for number in range(SOME):
        decide(road, number)
    return road


def decide(road: Road, number: int, author: str = "alice") -> None:
    road.sign(
        author,
        "decision.made",
        subject="commit",
        subject_digest="0" * 64,
        verdict="comment",
        model="m",
        findings=number,
    )


def inbox(road: Road, author: str = "alice") -> list[int]:
    """The positions in an inbox, in order."""
    return [parse_enclosure(record.value).position for record in road.bus.records(inbox_topic(author))]


def belonging(road: Road, author: str = "alice") -> list[int]:
    """What an author's inbox must hold: its own events and the news of keys."""
    events = [headers.decode(entry.state[:-64]) for entry in road.ledger.entries]
    return [place for place, event in enumerate(events) if event.author == author or event.kind.startswith("key.")]


def test_every_author_gets_its_own_events_and_the_news_of_all_keys_in_order(road: Road) -> None:
    assert road.carry() == len(belonging(road, "alice")) + sum(
        len(belonging(road, other)) for other in ("root", "bob", "mira")
    )
    for author in ("alice", "bob", "mira", "root"):
        assert inbox(road, author) == belonging(road, author)
        chain = [parse_enclosure(record.value) for record in road.bus.records(inbox_topic(author))]
        assert [one.after for one in chain] == [0, *(one.position + 1 for one in chain[:-1])]


def test_nothing_is_delivered_that_the_log_has_not_signed(road: Road) -> None:
    assert road.delivery.step() == 0
    road.carry()
    before = inbox(road)
    decide(road, 99)
    assert road.delivery.step() == 0
    assert inbox(road) == before
    road.carry()
    assert inbox(road) == belonging(road)


def test_ingest_has_no_inbox(road: Road) -> None:
    road.sign("ingest", "record.gap", gap_session="00000000-0000-7000-8000-000000000000", first_seq=0, last_seq=0)
    road.carry()
    with pytest.raises(TopicMissing):
        road.bus.records(inbox_topic("ingest"))


def test_a_new_author_first_gets_the_news_of_all_earlier_keys_and_what_was_sent_to_it(road: Road) -> None:
    road.sign("alice", "message.sent", to="newcomer", topic="test.note")
    early = len(road.ledger.entries) - 1
    road.carry()
    road.register("newcomer", "agent")
    decide(road, 1, "newcomer")
    road.carry()
    news = belonging(road, "newcomer")
    assert inbox(road, "newcomer") == sorted([*news, early])
    assert inbox(road) == belonging(road)


def test_a_restarted_delivery_goes_on_without_loss_or_doubling(road: Road) -> None:
    for number in range(5):
        road.carry()
        road.delivery = road.new_delivery()
        decide(road, number)
    road.carry()
    assert inbox(road) == belonging(road)
    assert road.new_delivery().step() == 0


def test_an_inbox_made_anew_gets_everything_again(road: Road) -> None:
    road.carry()
    road.bus.make_anew(inbox_topic("alice"))
    decide(road, 1)
    road.carry()  # goes into the middle of nothing, and its offset says so
    road.carry()
    positions = inbox(road)
    assert positions[1:] == belonging(road)
    assert inbox(road, "bob") == belonging(road, "bob")
    # Whoever looks at that topic later cannot take its beginning for one.
    assert road.new_delivery().step() == len(belonging(road))


def test_a_broker_that_lost_everything_gets_everything_again(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.delivery.LOOK_SECONDS", 0.0)
    road.carry()
    road.bus.lose_everything()
    # Nothing new is in the ledger: the loss is found all the same.
    road.carry()
    for author in ("alice", "bob", "mira", "root"):
        assert inbox(road, author) == belonging(road, author)


@pytest.mark.parametrize("failing", range(0, 40, 3))
@pytest.mark.parametrize("written", [False, True])
def test_a_bus_that_fails_in_the_middle_costs_no_record(failing: int, written: bool) -> None:
    class FailingPublisher(MemoryPublisher):
        left = failing

        def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
            self.left -= 1
            if self.left == -1:
                if written:
                    super().publish(topic, key, value, headers)
                self._failed = True
                raise Busy("The broker went away.")
            return super().publish(topic, key, value, headers)

    class FailingBus(MemoryBus):
        def publisher(self) -> MemoryPublisher:
            return FailingPublisher(self)

    road = Road()
    for number in range(SOME):
        decide(road, number)
    road.bus = FailingBus(**{"tenuto.events": 2})
    road.delivery = road.new_delivery()
    with pytest.raises(Busy):
        for _ in range(2):
            road.carry()
            if failing >= 30:
                decide(road, 1)
        raise Busy("It did not get that far.")
    road.carry()
    for author in ("alice", "bob"):
        assert inbox(road, author) == belonging(road, author)


def test_a_foreign_record_at_the_end_of_an_inbox_hides_nothing(road: Road) -> None:
    road.carry()
    publisher, topic = road.bus.publisher(), inbox_topic("alice")
    last = parse_enclosure(road.bus.records(topic)[-1].value)
    for junk in (
        b"",
        b"junk",
        replace(last, position=last.position + 1000).to_bytes(),
        replace(last, note=b"x").to_bytes(),
    ):
        publisher.publish(topic, b"", junk)
    expected = len(road.bus.records(topic))
    road.delivery = road.new_delivery()
    decide(road, 1)
    road.carry()
    assert len(road.bus.records(topic)) == expected + 1
    assert parse_enclosure(road.bus.records(topic)[-1].value).position == belonging(road)[-1]


def test_a_row_that_was_changed_after_it_was_verified_stops_delivery(road: Road) -> None:
    class TwoFaced:
        def __init__(self) -> None:
            self.ledger = road.ledger

        def __getattr__(self, name: str) -> object:
            return getattr(self.ledger, name)

        def read(self, start: int, limit: int, *, payloads: bool = True) -> Sequence[object]:
            first, *rest = self.ledger.read(start, limit, payloads=payloads)
            return [replace(first, state=first.state[:-1] + bytes([first.state[-1] ^ 1])), *rest]

    road.ledger.seal()
    road.delivery._reader = TwoFaced()  # type: ignore[assignment]
    with pytest.raises(ProofRefused):
        road.delivery.step()
    assert issubclass(ProofRefused, Refused)


def test_large_messages_are_settled_in_between(road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr("tenuto.delivery.UNSETTLED_BYTES_MAX", 10_000)
    monkeypatch.setattr(MemoryPublisher, "flush", lambda self, seconds: flushed.append(seconds))
    with road.turn:
        recorder = road.recorder("alice", Spool(tmp_path / "a.db"))
        recorder.open("test/1")
        for _ in range(5):
            recorder.send("bob", "test.note", Reason(text="x" * 9_000))
        while len(road.bus.records("tenuto.events")) < 6:
            pass
        del flushed[:]
        road.carry()
        assert len(flushed) > 5
    with road.carrying():
        recorder.close()


def test_delivery_stops_when_the_ledger_is_not_what_the_log_signed(road: Road) -> None:
    road.carry()
    decide(road, 1)
    road.ledger.seal()
    road.ledger.entries.pop()
    with pytest.raises(Refused, match="the log signed"):
        road.delivery.step()

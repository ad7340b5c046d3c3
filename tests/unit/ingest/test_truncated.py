"""A partition that keeps its identity and has lost records: nothing stops, nothing is passed over, nothing enters twice."""

from __future__ import annotations

import pytest
from tenuto.bus import OffsetGone
from tenuto.settings import EVENTS_TOPIC

from tests.doubles import MemoryReader
from tests.unit.ingest.place import Place, opened


def lose_the_end(place: Place, count: int) -> None:
    del place.bus.topic(EVENTS_TOPIC)[1][0][-count:]


def test_what_takes_the_offsets_of_lost_records_is_not_passed_over(place: Place) -> None:
    author = opened(place)
    told, lost = author.write(), author.write()
    place.bring(told)
    place.publish(lost)
    lose_the_end(place, 3)
    place.restart()
    assert place.ingest.step() == 0, "what is left is known"
    assert place.bring(lost) == 1, "its offset lies before the one that the ledger had reached"
    assert place.session(author) == [0, 1, 2]


def test_a_second_truncation_is_survived_like_the_first(place: Place) -> None:
    author = opened(place)
    for _ in range(3):
        place.bring(author.write(), author.write())
        lose_the_end(place, 4)
        place.restart()
        place.ingest.step()
    assert place.bring(author.write()) == 1
    assert place.session(author) == list(range(8))


def test_a_truncation_under_a_running_reader_is_met_at_its_next_poll(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka tells a reader that its offset is gone; the double does not know that by itself."""
    author = opened(place)
    lost = author.write()
    place.publish(lost)
    lose_the_end(place, 3)
    real, gone = MemoryReader.poll, ["gone"]

    def poll(reader: MemoryReader, count: int, wait: int) -> object:
        if gone:
            raise OffsetGone(gone.pop())
        return real(reader, count, wait)

    monkeypatch.setattr(MemoryReader, "poll", poll)
    assert place.ingest.step() == 0
    assert place.ingest.waiting == "gone"
    place.ingest.step()
    assert place.bring(lost) == 1
    assert place.session(author) == [0, 1]


def test_a_beginning_that_is_gone_is_not_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    author = opened(place)
    unread, sent_again = author.write(), author.write()
    place.publish(unread, sent_again)
    monkeypatch.setattr(MemoryReader, "beginning_offset", lambda reader: 7)
    place.restart()
    assert place.ingest.step() == 0, "it waits for its predecessor, which only its author can send again"
    assert place.bring(unread) == 2
    assert place.session(author) == [0, 1, 2]

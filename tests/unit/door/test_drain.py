from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto.drain import PAGE_EVENTS, Drain
from tenuto.errors import Busy
from tenuto.settings import EVENTS_TOPIC
from tenuto.spool import Spool

from tests.doubles import MemoryBus
from tests.unit.door.test_spool import SESSION, outgoing


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "a.db")
    yield spool
    spool.close()


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(**{EVENTS_TOPIC: 3})


def on_the_bus(bus: MemoryBus) -> list[int]:
    return [record.value[0] for record in bus.records(EVENTS_TOPIC)]


def test_it_publishes_each_event_once_in_order_under_the_key_of_its_session(spool: Spool, bus: MemoryBus) -> None:
    drain = Drain(bus.publisher(), spool)
    for seq in range(3):
        spool.append(outgoing(seq))
    assert (drain.step(), drain.step()) == (3, 0)
    spool.append(outgoing(3))
    assert (drain.step(), drain.step()) == (1, 0)
    assert drain.caught_up()
    assert on_the_bus(bus) == [0, 1, 2, 3]
    assert {record.key for record in bus.records(EVENTS_TOPIC)} == {SESSION.bytes}


def test_without_a_receipt_everything_is_published_again(spool: Spool, bus: MemoryBus) -> None:
    drain = Drain(bus.publisher(), spool, patience_seconds=0)
    first, second = outgoing(0), outgoing(1)
    spool.append(first)
    spool.append(second)
    assert (drain.step(), drain.step()) == (2, 2)
    spool.remove(first.event)
    assert (drain.step(), drain.step()) == (0, 1)
    spool.remove(second.event)
    assert (drain.step(), drain.step()) == (0, 0)
    assert on_the_bus(bus) == [0, 1, 0, 1, 1]


def test_offsets_that_run_back_start_it_over(spool: Spool, bus: MemoryBus) -> None:
    drain = Drain(bus.publisher(), spool)
    for seq in range(3):
        spool.append(outgoing(seq))
    drain.step()
    bus.make_anew(EVENTS_TOPIC)
    spool.append(outgoing(3))
    assert (drain.step(), drain.step(), drain.step()) == (1, 4, 0)
    assert on_the_bus(bus) == [3, 0, 1, 2, 3]


def test_a_bus_that_was_away_gets_everything_without_receipt_again(spool: Spool, bus: MemoryBus) -> None:
    drain = Drain(bus.publisher(), spool)
    spool.append(outgoing(0))
    drain.step()
    bus.away = True
    spool.append(outgoing(1))
    for _ in range(2):
        with pytest.raises(Busy):
            drain.step()
        assert not drain.caught_up()
    bus.away = False
    assert (drain.step(), drain.step()) == (2, 0)
    assert on_the_bus(bus) == [0, 0, 1]


def test_it_publishes_a_page_at_a_time(spool: Spool, bus: MemoryBus) -> None:
    drain = Drain(bus.publisher(), spool)
    with spool.transaction():
        for seq in range(PAGE_EVENTS + 1):
            spool.append(outgoing(seq))
    assert (drain.step(), drain.step(), drain.step()) == (PAGE_EVENTS, 1, 0)

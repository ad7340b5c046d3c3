"""The bus contract on the embedded broker, and what holds without any broker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka.record import util as record_util
from tenuto.adapters import kafka_reader
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.kafka_reader import EMBEDDED_FETCH_WAIT_MS, EMBEDDED_QUIET_FETCH_WAIT_MS
from tenuto.embedded import EmbeddedBroker
from tenuto.embedded.child import free_port
from tenuto.errors import Busy, NotConfigured

from tests.contracts.bus_contract import SECONDS_MAX, BusContract, read
from tests.contracts.bus_failures import BusFailures


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One of our own at a fixed address: a case stops it, and everything in it is gone then."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker"), free_port()) as running:
        yield running


class TestEmbeddedBus(BusContract, BusFailures):
    keeps_topics = False


def test_a_reader_to_whom_nothing_comes_asks_the_embedded_broker_less_often(
    server: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = KafkaBus(server.bootstrap)
    bus.ensure_topics({"tenuto.contract.quiet": 1})
    with bus.reader("tenuto.contract.quiet", 0) as reader, bus.publisher() as publisher:
        wait = reader._consumer._fetcher.config
        reader.poll(10, 0)
        assert wait["fetch_max_wait_ms"] == EMBEDDED_QUIET_FETCH_WAIT_MS
        publisher.publish("tenuto.contract.quiet", b"k", b"v").result(SECONDS_MAX)
        assert [record.value for record in read(reader, 1)] == [b"v"]
        monkeypatch.setattr(kafka_reader, "LIVELY_SECONDS", SECONDS_MAX)
        reader.poll(10, 0)
        assert wait["fetch_max_wait_ms"] == EMBEDDED_FETCH_WAIT_MS < EMBEDDED_QUIET_FETCH_WAIT_MS


def test_with_no_broker_at_the_address_everything_is_busy_in_bounded_time() -> None:
    bus = KafkaBus(f"127.0.0.1:{free_port()}")
    publisher = bus.publisher()
    calls = (
        lambda: bus.ensure_topics({"t": 1}),
        lambda: bus.partitions("t"),
        lambda: bus.reader("t", 0),
        lambda: publisher.publish("t", b"", b""),
    )
    with ThreadPoolExecutor(len(calls)) as threads:
        outcomes = [future.exception(30) for future in [threads.submit(call) for call in calls]]
    assert [type(outcome) for outcome in outcomes] == [Busy] * len(calls)
    publisher.flush(0)
    publisher.close()


def test_without_the_fast_checksum_no_bus_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_util, "crc32c_c", None)
    with pytest.raises(NotConfigured, match=r"kafka-python\[crc32c\]"):
        KafkaBus("127.0.0.1:9092")


def test_without_an_address_no_bus_is_made() -> None:
    with pytest.raises(NotConfigured, match="KAFKA_BOOTSTRAP_SERVERS"):
        KafkaBus(" , ")

"""The bus contract on a real Apache Kafka, and what only that one can do."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from tenuto.bus import OffsetGone, Publisher, TopicReader

from tests.contracts.bus_contract import SECONDS_MAX, BusContract, insist, read
from tests.contracts.bus_failures import BusFailures
from tests.kafka.apache_kafka import ApacheKafka


@pytest.fixture(scope="module")
def server(apache_kafka: ApacheKafka) -> ApacheKafka:
    return apache_kafka


class TestApacheKafkaBus(BusContract, BusFailures):
    keeps_topics = True

    def test_a_reader_before_removed_records_does_not_skip_them_silently(
        self, topic: str, publisher: Publisher, reader: TopicReader, admin: KafkaAdminClient
    ) -> None:
        for number in range(5):
            publisher.publish(topic, b"", b"%d" % number)
        publisher.flush(SECONDS_MAX)
        admin.delete_records({TopicPartition(topic, 0): 3})
        insist(lambda: reader.poll(1, 100), OffsetGone)
        insist(lambda: reader.poll(1, 100), OffsetGone)
        assert (reader.beginning_offset(), reader.end_offset()) == (3, 5)
        with pytest.raises(OffsetGone, match="3 to 5"):
            reader.seek(2)
        reader.seek(3)
        assert [record.value for record in read(reader, 2)] == [b"3", b"4"]

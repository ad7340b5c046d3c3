"""What only the contract tests stand on: a real Apache Kafka, where this machine can have one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tenuto.embedded import PartMissing

from tests.kafka.apache_kafka import ApacheKafka


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A running Apache Kafka. Where none can be had, a local run skips and says so; CI fails, for there it must be."""
    server = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required in CI: {missing}", pytrace=False)
        pytest.skip(f"No Apache Kafka on this machine: {missing}")
    yield server
    server.stop()

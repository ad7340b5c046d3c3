"""What only the contract tests stand on: a real Apache Kafka, where this machine can have one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

import pytest
from tenuto.embedded import PartMissing

from tests.kafka.apache_kafka import ApacheKafka
from tests.kafka.secured import SecuredKafka

Server = TypeVar("Server", bound=ApacheKafka)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A running Apache Kafka. Where none can be had, a local run skips and says so; CI fails, for there it must be."""
    yield from _running(ApacheKafka(tmp_path_factory.mktemp("kafka")))


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A running Apache Kafka as `deploy/kafka/` has it, with accounts and no rights yet; missing like the other."""
    yield from _running(SecuredKafka(tmp_path_factory.mktemp("secured-kafka")))


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required in CI: {missing}", pytrace=False)
        pytest.skip(f"No Apache Kafka on this machine: {missing}")
    yield server
    server.stop()

"""The bus over any broker that speaks Kafka's protocol: Apache Kafka in production, the embedded broker on a laptop.

`kafka_client` connects, `kafka_publisher` writes, `kafka_reader` reads; each opens with what kafka-python does
differently from what `tenuto.bus` promises, and what is done about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kafka import errors as kafka_errors
from kafka.record import util as record_util

from ..bus import TOPIC_CONFIG
from ..errors import NotConfigured
from .kafka_access import KafkaAccess
from .kafka_client import REQUEST_MS_MAX, UNKNOWN_TOPIC, Cluster, administer, missing, quiet_log
from .kafka_publisher import KafkaPublisher
from .kafka_reader import KafkaReader

_ALREADY_EXISTS = kafka_errors.TopicAlreadyExistsError.errno


class KafkaBus:
    """`tenuto.bus.Bus` over kafka-python. Holds no connection itself; publishers and readers each hold theirs."""

    def __init__(self, bootstrap_servers: str, access: KafkaAccess | None = None) -> None:
        """`bootstrap_servers` is `host:port,...`; `access` says as whom, and None means nobody. Connects to nothing yet.

        Raises NotConfigured when a password would travel without TLS to another machine, and when the C extension `crc32c` is missing: kafka-python then falls back silently to a
        checksum in Python that costs more than verifying a signature.
        """
        if record_util.crc32c_c is None:
            raise NotConfigured("The C extension crc32c is missing or does not load. Install kafka-python[crc32c].")
        servers = tuple(server.strip() for server in bootstrap_servers.split(",") if server.strip())
        if not servers:
            raise NotConfigured("No Kafka bootstrap servers are given. Set KAFKA_BOOTSTRAP_SERVERS to `host:port,...`.")
        self.cluster = Cluster(servers, access or KafkaAccess())
        self.cluster.access.demand_safe(servers)
        quiet_log()

    def ensure_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] = TOPIC_CONFIG) -> None:
        """Create what is missing, with the broker's own replication factor; see `Bus.ensure_topics`."""
        with administer(self.cluster, "administer topics") as admin:
            existing = self._existing(admin, partitions)
            _demand_partitions(existing, partitions)
            absent = {
                topic: {"num_partitions": count, "configs": dict(config)}
                for topic, count in partitions.items()
                if topic not in existing
            }
            if not absent:
                return
            answer = admin.create_topics(absent, raise_errors=False, timeout_ms=REQUEST_MS_MAX)
            for topic in answer["topics"]:
                # Another process may have been quicker; whether it chose the same number is looked up below.
                if topic["error_code"] not in (0, _ALREADY_EXISTS):
                    error = kafka_errors.for_code(topic["error_code"])
                    raise self.cluster.outcome(error(topic["error_message"]), f"create {topic['name']}")
            admin.wait_for_topics(list(absent), timeout_ms=REQUEST_MS_MAX)
            _demand_partitions(self._existing(admin, partitions), partitions)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Bus.partitions`."""
        with administer(self.cluster, "administer topics") as admin:
            existing = self._existing(admin, (topic,))
        if topic not in existing:
            raise missing(topic)
        return existing[topic]

    def publisher(self) -> KafkaPublisher:
        """Return a publisher; it connects at its first use."""
        return KafkaPublisher(self.cluster)

    def reader(self, topic: str, partition: int) -> KafkaReader:
        """Open a reader at the first kept record; see `Bus.reader`."""
        return KafkaReader(self.cluster, topic, partition)

    def _existing(self, admin: Any, topics: Iterable[str]) -> dict[str, int]:
        """Return the number of partitions of those that exist."""
        found = {}
        for topic in admin.describe_topics(list(topics)):
            if topic["error_code"] not in (0, UNKNOWN_TOPIC):
                raise self.cluster.outcome(kafka_errors.for_code(topic["error_code"])(), f"look at {topic['name']}")
            if topic["error_code"] == 0:
                found[topic["name"]] = len(topic["partitions"])
        return found


def _demand_partitions(existing: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    for topic, count in existing.items():
        if count != wanted[topic]:
            raise NotConfigured(
                f"{topic} has {count} partitions and should have {wanted[topic]}. A change would tear sessions apart: "
                "set the number it has, or begin with a topic of another name.",
            )

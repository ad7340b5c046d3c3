"""Reading from Kafka: one partition, from an offset of the reader's own, and never silently from another topic.

kafka-python reads by topic name and would go on without a word in a topic that was made anew. Here the leader is asked
for the topic's UUID after every fetch that brought records, before they are handed out. A UUID never comes back, so the
same one afterwards means the same topic at the time of the fetch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.metadata import MetadataRequest

from ..bus import MESSAGE_BYTES_MAX, BusRecord, OffsetGone, TopicChanged, TopicMissing
from ..errors import Busy, NotConfigured, TenutoError
from .kafka_client import REQUEST_MS_MAX, UNKNOWN_TOPIC, Cluster, connect, missing, sentence
from .kafka_records import Records

LOOK_SECONDS = 0.5  # how often an idle reader asks whether its topic and broker are still there
FETCH_WAIT_MS = 500
EMBEDDED_FETCH_WAIT_MS = 20
EMBEDDED_QUIET_FETCH_WAIT_MS = 100
LIVELY_SECONDS = 2.0
"""So long after a record the embedded broker is asked at the shorter interval."""
_CONSUMER: Mapping[str, Any] = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "max_partition_fetch_bytes": 4 * MESSAGE_BYTES_MAX,
    "enable_incremental_fetch_sessions": False,  # they save bytes for consumers of many partitions; this has one
    "metrics_enabled": False,
}
_FETCH_BY_NAME_VERSION_MAX = 12
_FetchTopic = FetchRequest.FetchTopic
_FetchPartition = _FetchTopic.FetchPartition


class KafkaReader:
    """`tenuto.bus.TopicReader`: one consumer with one assigned partition, and a second connection for questions.

    A broker answers one connection in order, so a question behind a fetch that waits for records would wait with it.
    """

    def __init__(self, cluster: Cluster, topic: str, partition: int) -> None:
        """Connect, pin the topic's identity and stand at the first kept record. Raises TopicMissing or Busy."""
        self._topic, self._partition, self._brokers = topic, partition, cluster
        self._assigned = TopicPartition(topic, partition)
        self._looked = self._brought = 0.0
        self._cluster: Any = None
        with ExitStack() as stack:
            try:
                self._admin, _ = connect(KafkaAdminClient, cluster)
                stack.callback(self._admin.close)
                self._identity = self._look()
                self._consumer, network = connect(KafkaConsumer, cluster, fetch_max_wait_ms=FETCH_WAIT_MS, **_CONSUMER)
                self._consumer._fetcher.PartitionRecords = Records
                stack.callback(self._consumer.close)
            except kafka_errors.KafkaError as error:
                raise self._brokers.outcome(error, f"open {topic}") from error
            self._cluster = network.cluster
            self._consumer.assign([self._assigned])
            self._consumer.seek(self._assigned, self.beginning_offset())
            self._connections = stack.pop_all()

    def seek(self, offset: int) -> None:
        """Continue at `offset`; see `TopicReader.seek`."""
        try:
            first, end = self.beginning_offset(), self.end_offset()
        except TopicMissing as error:
            raise TopicChanged(str(error)) from error
        if not first <= offset <= end:
            raise OffsetGone(f"{self._name} keeps the offsets {first} to {end}; {offset} is not among them.")
        self._consumer.seek(self._assigned, offset)

    def poll(self, max_records: int, timeout_ms: int) -> list[BusRecord]:
        """Return the next records; see `TopicReader.poll`."""
        self._pace()
        try:
            found = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records).get(self._assigned, [])
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError) as error:
            self._demand_same_topic()
            raise OffsetGone(f"The next record of {self._name} is no longer kept: {sentence(error)}.") from error
        except kafka_errors.KafkaError as error:
            raise self._brokers.outcome(error, f"read {self._topic}") from error
        if found:
            self._brought = time.monotonic()
        if found or time.monotonic() - self._looked > LOOK_SECONDS:
            try:
                self._demand_same_topic()
            except TenutoError:
                if found:
                    # They were not handed out, so they come again.
                    self._consumer.seek(self._assigned, found[0].offset)
                raise
        return list(found)

    def partition_identity(self) -> str:
        """Return `kafka:<cluster id>:<topic id>:<partition>`; see `TopicReader.partition_identity`."""
        return self._identity

    def beginning_offset(self) -> int:
        """Return the offset of the first kept record; see `TopicReader.beginning_offset`."""
        return self._offset(OffsetSpec.EARLIEST)

    def end_offset(self) -> int:
        """Return the offset of the next record to come; see `TopicReader.end_offset`."""
        end = self._offset(OffsetSpec.LATEST)
        return self._end_by_fetch(end) if end > 0 and _is_embedded(self._identity) else end

    def close(self) -> None:
        """Close the connections; see `TopicReader.close`."""
        self._connections.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def _name(self) -> str:
        return f"partition {self._partition} of {self._topic}"

    def _pace(self) -> None:
        """Say how long the broker may hold back an answer without records.

        The embedded broker looks for new records only a few times within that wait, so a long one delays them; and an answer
        every 20 ms costs the two of us a tenth of a core for each reader. So it is short while records come.
        """
        if _is_embedded(self._identity):
            lively = time.monotonic() - self._brought < LIVELY_SECONDS
            wait_ms = EMBEDDED_FETCH_WAIT_MS if lively else EMBEDDED_QUIET_FETCH_WAIT_MS
            self._consumer._fetcher.config["fetch_max_wait_ms"] = wait_ms

    def _offset(self, spec: OffsetSpec) -> int:
        try:
            offset: int = self._admin.list_partition_offsets({self._assigned: spec})[self._assigned].offset
        except kafka_errors.UnknownTopicOrPartitionError as error:
            raise missing(self._topic) from error
        except kafka_errors.KafkaError as error:
            raise self._brokers.outcome(error, f"find the offsets of {self._topic}") from error
        # Asked by name, so it may be another topic's: see the top of this file.
        self._demand_same_topic(absent=TopicMissing)
        return offset

    def _end_by_fetch(self, listed: int) -> int:
        """Return the end as the answer to a fetch names it.

        Asked for its last offset, the embedded broker (Tansu 0.6) names the first of its last batch, plus one.
        """
        request = FetchRequest(
            max_wait_ms=EMBEDDED_FETCH_WAIT_MS,  # with none, it answers without anything
            min_bytes=1,
            max_bytes=MESSAGE_BYTES_MAX,
            session_epoch=-1,  # none
            topics=[_FetchTopic(topic=self._topic, partitions=[_FetchPartition(
                partition=self._partition, fetch_offset=listed - 1, partition_max_bytes=MESSAGE_BYTES_MAX
            )])],
            max_version=_FETCH_BY_NAME_VERSION_MAX,
        )  # fmt: skip
        try:
            answer = self._put(request, None)
        except kafka_errors.KafkaError as error:
            raise self._brokers.outcome(error, f"find the end of {self._topic}") from error
        self._demand_same_topic(absent=TopicMissing)
        ends = [int(part.high_watermark) for topic in answer.responses for part in topic.partitions]
        if not ends:
            raise Busy(f"The broker does not say where {self._name} ends.")
        return max(listed, *ends)

    def _demand_same_topic(self, absent: type[TenutoError] = TopicChanged) -> None:
        try:
            identity = self._look()
        except TopicMissing as error:
            raise absent(str(error)) from error
        if identity != self._identity:
            raise TopicChanged(f"{self._topic} was made anew: {self._identity} is {identity} now. Open a new reader.")

    def _look(self) -> str:
        """Return the identity of the partition now; raises TopicMissing or Busy."""
        self._looked = time.monotonic()
        try:
            answer = self._ask()
        except kafka_errors.KafkaError as error:
            raise self._brokers.outcome(error, f"look at {self._topic}") from error
        (topic,) = answer.topics
        if topic.error_code == UNKNOWN_TOPIC:
            raise missing(self._topic)
        if topic.error_code != 0:
            raise self._brokers.outcome(kafka_errors.for_code(topic.error_code)(), f"look at {self._topic}")
        if self._partition not in {known.partition_index for known in topic.partitions}:
            count = len(topic.partitions)
            raise TopicMissing(f"{self._topic} has {count} partitions; there is no number {self._partition}.")
        if topic.topic_id is None or topic.topic_id.int == 0:
            raise NotConfigured(
                "The broker names no topic ids, so a new topic could pass for the old. Use Kafka 2.8 or later."
            )
        return f"kafka:{answer.cluster_id}:{topic.topic_id}:{self._partition}"

    def _ask(self) -> Any:
        """Return the topic's metadata as the broker knows it that the consumer fetches from.

        `describe_topics` would ask any broker, and another one may not have heard yet that the topic was made anew.
        """
        leader = self._cluster.leader_for_partition(self._assigned) if self._cluster else None
        node = leader if self._admin._manager.cluster.broker_metadata(leader) else None
        topics = [MetadataRequest.MetadataRequestTopic(name=self._topic)]
        request = MetadataRequest(topics=topics, allow_auto_topic_creation=False)

        return self._put(request, node)

    def _put(self, request: Any, node: int | None) -> Any:
        """Return the answer of `node`, or of any broker; raises KafkaError, also when none comes in time."""
        manager = self._admin._manager

        async def ask() -> Any:
            return await manager.wait_for(manager.send(request, node_id=node), REQUEST_MS_MAX)

        return manager.run(ask)


def _is_embedded(identity: str) -> bool:
    return identity.startswith("kafka:tenuto-embedded:")

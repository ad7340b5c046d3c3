"""The bus over any broker that speaks Kafka's protocol: Apache Kafka in production, the embedded broker on a laptop.

What kafka-python 3.0.12 does differently from what `tenuto.bus` promises, and what is done about it here:

- Its clients let the broker create a topic that is only being asked for: switched off where the client is made.
- After a failed batch its producer goes on with the next one, so later records overtake: here the first failure ends
  that producer at once, and everything after it fails as well. `flush` clears that and the next publication connects
  anew, with a producer id of its own.
- It reads by topic name and would go on silently in a topic that was made anew: here the leader is asked for the
  topic's UUID after every fetch that brought records, before they are handed out. A UUID never comes back, so the same
  one afterwards means the same topic at the time of the fetch.
- A constructor that fails leaves a thread and a socket behind: the client is caught on its way in and closed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.net.compat import KafkaNetClient
from kafka.protocol.metadata import MetadataRequest

from ..bus import MESSAGE_BYTES_MAX, TOPIC_CONFIG, BusRecord, Headers, OffsetGone, Place, TopicChanged, TopicMissing
from ..bus import demand_fits
from ..errors import Busy, NotConfigured, TenutoError

# Busy is cheap: the spool offers the same record again and ingest makes the repetition harmless. So nothing here waits
# for a broker as long as Kafka's defaults do (up to two minutes).
CONNECT_MS_MAX = 3_000
REQUEST_MS_MAX = 5_000
DELIVERY_MS_MAX = 6_000  # must be over the request's
IN_FLIGHT_RECORDS_MAX = 10_000
IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024
LOOK_SECONDS = 0.5  # how often an idle reader asks whether its topic and broker are still there
_BATCH_BYTES = 256 * 1024
_CLOSE_SECONDS_MAX = REQUEST_MS_MAX / 1000 + 1
_ALREADY_EXISTS = kafka_errors.TopicAlreadyExistsError.errno
_UNKNOWN_TOPIC = kafka_errors.UnknownTopicOrPartitionError.errno

# What no repetition cures: a person must act.
_FOR_A_PERSON = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.IncompatibleBrokerVersion,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.InvalidTopicError,
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.PolicyViolationError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.UnsupportedVersionError,
)


class KafkaBus:
    """`tenuto.bus.Bus` over kafka-python. Holds no connection itself; publishers and readers each hold theirs."""

    def __init__(self, bootstrap_servers: str) -> None:
        """`bootstrap_servers` is `host:port,...`. Connects to nothing yet.

        Raises NotConfigured when the C extension `crc32c` is missing: kafka-python then falls back silently to a
        checksum in Python that costs more than verifying a signature.
        """
        if find_spec("crc32c") is None:
            raise NotConfigured("The package crc32c is missing, without which Kafka is 20 times slower. Install kafka-python[crc32c].")
        self._servers = [server.strip() for server in bootstrap_servers.split(",") if server.strip()]
        if not self._servers:
            raise NotConfigured("No Kafka bootstrap servers are given. Set KAFKA_BOOTSTRAP_SERVERS to `host:port,...`.")
        _quiet_client_log()

    def ensure_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] = TOPIC_CONFIG) -> None:
        """Create what is missing, with the broker's own replication factor; see `Bus.ensure_topics`."""
        with self._admin() as admin:
            existing = _existing(admin, partitions)
            _demand_partitions(existing, partitions)
            missing = {
                topic: {"num_partitions": count, "configs": dict(config)}
                for topic, count in partitions.items()
                if topic not in existing
            }
            if not missing:
                return
            answer = admin.create_topics(missing, raise_errors=False, timeout_ms=REQUEST_MS_MAX)
            for topic in answer["topics"]:
                # Another process may have been quicker; whether it chose the same number is looked up below.
                if topic["error_code"] not in (0, _ALREADY_EXISTS):
                    raise _outcome(kafka_errors.for_code(topic["error_code"])(topic["error_message"]), f"create {topic['name']}")
            admin.wait_for_topics(list(missing), timeout_ms=REQUEST_MS_MAX)
            _demand_partitions(_existing(admin, partitions), partitions)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Bus.partitions`."""
        with self._admin() as admin:
            existing = _existing(admin, (topic,))
        if topic not in existing:
            raise _missing(topic)
        return existing[topic]

    def publisher(self) -> KafkaPublisher:
        """Return a publisher; it connects at its first use."""
        return KafkaPublisher(self._servers)

    def reader(self, topic: str, partition: int) -> KafkaReader:
        """Open a reader at the first kept record; see `Bus.reader`."""
        return KafkaReader(self._servers, topic, partition)

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        try:
            admin, _ = _connect(KafkaAdminClient, self._servers)
            with closing(admin):
                yield admin
        except kafka_errors.KafkaError as error:
            raise _outcome(error, "administer topics") from error


class KafkaPublisher:
    """`tenuto.bus.Publisher`: an idempotent producer with acks from all in-sync replicas, replaced after a failure."""

    def __init__(self, servers: list[str]) -> None:
        """Connects at the first `publish`."""
        self._servers = servers
        self._connecting = Lock()
        self._producer: Any = None
        self._closed = False
        # The sender's thread settles futures, so what follows is guarded; the lock is never held over a call outside.
        self._state = Lock()
        self._unsettled: dict[Future[Place], int] = {}
        self._unsettled_bytes = 0
        self._failure: str | None = None

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Future[Place]:
        """Hand a record to the bus; see `Publisher.publish`. Blocks at most while connecting or learning the topic."""
        size = demand_fits(key, value, headers)
        future: Future[Place] = Future()
        future.set_running_or_notify_cancel()  # a record on its way cannot be cancelled
        producer = self._connected_producer()
        self._admit(future, size)
        try:
            sent = producer.send(topic, value=value, key=key, headers=list(headers))
        except BaseException as error:
            self._forget(future)
            if isinstance(error, kafka_errors.KafkaError):
                raise _outcome(error, f"publish to {topic}") from error
            raise
        sent.add_callback(self._settle, future)
        sent.add_errback(self._fail, future, producer)
        return future

    def flush(self, seconds: float) -> None:
        """Wait until all is settled; see `Publisher.flush`."""
        with self._state:
            unsettled = list(self._unsettled)
        if wait(unsettled, timeout=seconds).not_done:
            raise Busy(f"Not every record was acknowledged within {seconds:g} s.")
        with self._state:
            failure = self._failure
        if failure is not None:
            self._disconnect()
            with self._state:
                self._failure = None
            raise Busy(f"Records were not acknowledged ({failure}). Publish them, and what came after them, again.")

    def close(self) -> None:
        """Let go of the connection; see `Publisher.close`."""
        self._closed = True
        self._disconnect()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _connected_producer(self) -> Any:
        with self._connecting:
            if self._closed:
                raise ValueError("This publisher is closed.")
            if self._producer is None:
                try:
                    self._producer, _ = _connect(KafkaProducer, self._servers, **_PRODUCER)
                except kafka_errors.KafkaError as error:
                    raise _outcome(error, "connect") from error
            return self._producer

    def _admit(self, future: Future[Place], size: int) -> None:
        with self._state:
            if self._failure is not None:
                raise Busy(f"An earlier record was not acknowledged ({self._failure}). Call flush before publishing on.")
            if len(self._unsettled) >= IN_FLIGHT_RECORDS_MAX or self._unsettled_bytes + size > IN_FLIGHT_BYTES_MAX:
                raise Busy(f"{len(self._unsettled):,} records of {self._unsettled_bytes:,} bytes are on their way already.")
            self._unsettled[future] = size
            self._unsettled_bytes += size

    def _forget(self, future: Future[Place]) -> bool:
        """Take `future` from the unsettled; False when it was settled before."""
        with self._state:
            size = self._unsettled.pop(future, None)
            self._unsettled_bytes -= size or 0
        return size is not None

    def _settle(self, future: Future[Place], sent: Any) -> None:
        if self._forget(future):
            future.set_result(Place(sent.topic, sent.partition, sent.offset))

    def _fail(self, future: Future[Place], producer: Any, error: BaseException) -> None:
        with self._state:
            self._failure = self._failure or _sentence(error)
        # Runs in the sender's thread, between the failed batch and the next: from here on that thread sends nothing.
        producer._sender.force_close()
        if self._forget(future):
            future.set_exception(_outcome(error, "publish"))

    def _disconnect(self) -> None:
        with self._connecting:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer._sender.force_close()
            producer._sender.join(_CLOSE_SECONDS_MAX)
        with self._state:
            left = list(self._unsettled)
        for future in left:
            if self._forget(future):
                future.set_exception(Busy("The publisher was closed before the record was acknowledged."))
        if producer is not None:
            producer.close(timeout=0)


class KafkaReader:
    """`tenuto.bus.TopicReader`: one consumer with one assigned partition, and a second connection for questions.

    A broker answers one connection in order, so a question behind a fetch that waits for records would wait with it.
    """

    def __init__(self, servers: list[str], topic: str, partition: int) -> None:
        """Connect, pin the topic's identity and stand at the first kept record. Raises TopicMissing or Busy."""
        self._topic, self._partition = topic, partition
        self._assigned = TopicPartition(topic, partition)
        self._looked = 0.0
        self._cluster: Any = None
        with ExitStack() as stack:
            try:
                self._admin, _ = _connect(KafkaAdminClient, servers)
                stack.callback(self._admin.close)
                self._identity = self._look()
                self._consumer, network = _connect(KafkaConsumer, servers, **_CONSUMER)
                stack.callback(self._consumer.close)
            except kafka_errors.KafkaError as error:
                raise _outcome(error, f"open {topic}") from error
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
        try:
            found = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records).get(self._assigned, [])
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError) as error:
            self._demand_same_topic()
            raise OffsetGone(f"The next record of {self._name} is no longer kept: {_sentence(error)}.") from error
        except kafka_errors.KafkaError as error:
            raise _outcome(error, f"read {self._topic}") from error
        if found or time.monotonic() - self._looked > LOOK_SECONDS:
            try:
                self._demand_same_topic()
            except TenutoError:
                if found:
                    # They were not handed out, so they come again.
                    self._consumer.seek(self._assigned, found[0].offset)
                raise
        return [_bus_record(record) for record in found]

    def partition_identity(self) -> str:
        """Return `kafka:<cluster id>:<topic id>:<partition>`; see `TopicReader.partition_identity`."""
        return self._identity

    def beginning_offset(self) -> int:
        """Return the offset of the first kept record; see `TopicReader.beginning_offset`."""
        return self._offset(OffsetSpec.EARLIEST)

    def end_offset(self) -> int:
        """Return the offset of the next record to come; see `TopicReader.end_offset`."""
        return self._offset(OffsetSpec.LATEST)

    def close(self) -> None:
        """Close the connections; see `TopicReader.close`."""
        self._connections.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    @property
    def _name(self) -> str:
        return f"partition {self._partition} of {self._topic}"

    def _offset(self, spec: OffsetSpec) -> int:
        try:
            offset: int = self._admin.list_partition_offsets({self._assigned: spec})[self._assigned].offset
        except kafka_errors.UnknownTopicOrPartitionError as error:
            raise _missing(self._topic) from error
        except kafka_errors.KafkaError as error:
            raise _outcome(error, f"find the offsets of {self._topic}") from error
        # Asked by name, so it may be another topic's: see the third point at the top.
        self._demand_same_topic(missing=TopicMissing)
        return offset

    def _demand_same_topic(self, missing: type[TenutoError] = TopicChanged) -> None:
        try:
            identity = self._look()
        except TopicMissing as error:
            raise missing(str(error)) from error
        if identity != self._identity:
            raise TopicChanged(f"{self._topic} was made anew: {self._identity} is {identity} now. Open a new reader.")

    def _look(self) -> str:
        """Return the identity of the partition now; raises TopicMissing or Busy."""
        self._looked = time.monotonic()
        try:
            answer = self._ask()
        except kafka_errors.KafkaError as error:
            raise _outcome(error, f"look at {self._topic}") from error
        (topic,) = answer.topics
        if topic.error_code == _UNKNOWN_TOPIC:
            raise _missing(self._topic)
        if topic.error_code != 0:
            raise _outcome(kafka_errors.for_code(topic.error_code)(), f"look at {self._topic}")
        if self._partition not in {known.partition_index for known in topic.partitions}:
            raise TopicMissing(f"{self._topic} has {len(topic.partitions)} partitions; there is no number {self._partition}.")
        if topic.topic_id is None or topic.topic_id.int == 0:
            raise NotConfigured("The broker names no topic ids, so a topic made anew would go unnoticed. Use Kafka 2.8 or later.")
        return f"kafka:{answer.cluster_id}:{topic.topic_id}:{self._partition}"

    def _ask(self) -> Any:
        """Return the topic's metadata as the broker knows it that the consumer fetches from.

        `describe_topics` would ask any broker, and another one may not have heard yet that the topic was made anew.
        """
        manager = self._admin._manager
        leader = self._cluster.leader_for_partition(self._assigned) if self._cluster else None
        node = leader if manager.cluster.broker_metadata(leader) else None
        topics = [MetadataRequest.MetadataRequestTopic(name=self._topic)]
        request = MetadataRequest(topics=topics, allow_auto_topic_creation=False)

        async def ask() -> Any:
            return await manager.wait_for(manager.send(request, node_id=node), REQUEST_MS_MAX)

        return manager.run(ask)


_CLIENT: Mapping[str, Any] = {
    "bootstrap_timeout_ms": CONNECT_MS_MAX,
    "request_timeout_ms": REQUEST_MS_MAX,
    "reconnect_backoff_max_ms": 500,
    "retry_backoff_ms": 50,
}
_CONSUMER: Mapping[str, Any] = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "max_partition_fetch_bytes": 4 * MESSAGE_BYTES_MAX,
    "enable_incremental_fetch_sessions": False,  # they save bytes for consumers of many partitions; this has one
    "metrics_enabled": False,
}
_PRODUCER: Mapping[str, Any] = {
    "enable_idempotence": True,
    "acks": "all",
    "delivery_timeout_ms": DELIVERY_MS_MAX,
    "max_block_ms": CONNECT_MS_MAX,
    "max_request_size": MESSAGE_BYTES_MAX,
    "batch_size": _BATCH_BYTES,
    "metrics_enabled": False,
}


def _connect(kind: Callable[..., Any], servers: list[str], **settings: Any) -> tuple[Any, KafkaNetClient]:
    """Return a client of this kind and the network client under it; raises KafkaError, with nothing left open."""
    made: list[KafkaNetClient] = []

    def make(**config: Any) -> KafkaNetClient:
        made.append(_network_client(**config))
        return made[0]

    try:
        return kind(bootstrap_servers=servers, kafka_client=make, **{**_CLIENT, **settings}), made[0]
    except BaseException:
        for left in made:
            left.close()
        raise


def _network_client(**config: Any) -> KafkaNetClient:
    client = KafkaNetClient(**config)
    # kafka-python takes `allow_auto_create_topics` for its consumers and producers and forgets it on the way here.
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def _existing(admin: Any, topics: Any) -> dict[str, int]:
    """Return the number of partitions of those that exist."""
    found = {}
    for topic in admin.describe_topics(list(topics)):
        if topic["error_code"] not in (0, _UNKNOWN_TOPIC):
            raise kafka_errors.for_code(topic["error_code"])(topic["name"])
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


def _missing(topic: str) -> TopicMissing:
    return TopicMissing(f"There is no topic {topic} on this bus. `tenuto up` and ingest create it at their start.")


def _bus_record(record: Any) -> BusRecord:
    return BusRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value or b"",
        headers=tuple((name, content or b"") for name, content in record.headers),
        timestamp=record.timestamp,
    )


def _outcome(error: BaseException, doing: str) -> TenutoError:
    """Return what a failure of the client library is on our road: for a person to cure, or to be tried again."""
    if isinstance(error, _FOR_A_PERSON):
        return NotConfigured(f"The broker refuses to {doing}: {_sentence(error)}.")
    return Busy(f"The bus could not {doing}: {_sentence(error)}.")


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip().rstrip(".")


def _quiet_client_log() -> None:
    """Keep kafka-python silent unless a level was set for it: a broker that is away fills a log by the minute.

    Nothing is lost by that: each of those failures reaches the caller as an exception with its sentence.
    """
    client_log = logging.getLogger("kafka")
    if client_log.level == logging.NOTSET:
        client_log.setLevel(logging.CRITICAL)

"""Writing to Kafka: an idempotent producer that ends at its first failure.

kafka-python goes on with the next batch when one has failed, so that later records overtake. Here the first failure
ends that producer at once, and everything after it fails as well. `flush` clears that, and the next publication
connects anew, with a producer id of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from ..bus import MESSAGE_BYTES_MAX, Headers, Place, RecordTooLarge, demand_fits
from ..errors import Busy, NotConfigured, TenutoError
from .kafka_client import CONNECT_MS_MAX, REQUEST_MS_MAX, Cluster, connect

DELIVERY_MS_MAX = REQUEST_MS_MAX + 1_000
IN_FLIGHT_RECORDS_MAX = 10_000
IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024
_CLOSE_SECONDS_MAX = REQUEST_MS_MAX / 1000 + 1
_PRODUCER: Mapping[str, Any] = {
    "enable_idempotence": True,
    "acks": "all",
    "delivery_timeout_ms": DELIVERY_MS_MAX,
    "max_block_ms": CONNECT_MS_MAX,
    "max_request_size": MESSAGE_BYTES_MAX,
    "batch_size": 256 * 1024,
    "metrics_enabled": False,
}


class KafkaPublisher:
    """`tenuto.bus.Publisher`: an idempotent producer with acks from all in-sync replicas, replaced after a failure."""

    def __init__(self, cluster: Cluster) -> None:
        """Connects at the first `publish`."""
        self._cluster = cluster
        self._connecting = Lock()
        self._producer: Any = None
        self._closed = False
        # The sender's thread settles futures, so what follows is guarded; the lock is never held over a call outside.
        self._state = Lock()
        self._unsettled: dict[Future[Place], int] = {}
        self._unsettled_bytes = 0
        self._failure: TenutoError | None = None

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
            if isinstance(error, kafka_errors.MessageSizeTooLargeError):
                # Each within its limit, but in so many headers that their lengths take more room than is kept for them.
                raise RecordTooLarge(f"The record with its {len(headers)} headers is too large: {error}") from error
            if isinstance(error, kafka_errors.KafkaError):
                raise self._cluster.outcome(error, f"publish to {topic}") from error
            raise
        sent.add_callback(self._settle, future)
        sent.add_errback(self._fail, future, producer, topic)
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
            if isinstance(failure, NotConfigured):
                raise failure
            raise Busy(f"Records were not acknowledged ({failure}) Publish them, and what came after them, again.")

    def close(self) -> None:
        """Let go of the connection; see `Publisher.close`."""
        self._closed = True
        self._disconnect()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _connected_producer(self) -> Any:
        with self._connecting:
            if self._closed:
                raise ValueError("This publisher is closed.")
            if self._producer is None:
                try:
                    self._producer, _ = connect(KafkaProducer, self._cluster, **_PRODUCER)
                except kafka_errors.KafkaError as error:
                    raise self._cluster.outcome(error, "connect") from error
            return self._producer

    def _admit(self, future: Future[Place], size: int) -> None:
        with self._state:
            if self._failure is not None:
                raise Busy(f"An earlier record was not acknowledged ({self._failure}) Flush before publishing on.")
            if len(self._unsettled) >= IN_FLIGHT_RECORDS_MAX or self._unsettled_bytes + size > IN_FLIGHT_BYTES_MAX:
                records, size = len(self._unsettled), self._unsettled_bytes
                raise Busy(f"{records:,} records of {size:,} bytes are on their way already.")
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

    def _fail(self, future: Future[Place], producer: Any, topic: str, error: BaseException) -> None:
        failure = self._cluster.outcome(error, f"publish to {topic}")
        with self._state:
            self._failure = self._failure or failure
        # Runs in the sender's thread, between the failed batch and the next: from here on that thread sends nothing.
        producer._sender.force_close()
        if self._forget(future):
            future.set_exception(failure)

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
            # It flushes first, which fails where its thread is still stuck; that thread is a daemon and sends no more.
            with suppress(kafka_errors.KafkaTimeoutError):
                producer.close(timeout=0)

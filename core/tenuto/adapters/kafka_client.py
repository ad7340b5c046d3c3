"""How we hold kafka-python 3.0.12: how its clients are connected, what they may wait for, and what their errors mean.

A constructor that fails leaves a thread and its connection behind: the client is caught on its way in and closed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from ..bus import TopicMissing
from ..errors import Busy, NotConfigured, TenutoError
from .kafka_access import KafkaAccess
from .kafka_connection import NOT_RECOGNISED, ClosingSocket, network_client

# Busy is cheap: the spool offers the same record again and ingest makes the repetition harmless. So nothing here waits
# for a broker as long as Kafka's defaults do (up to two minutes).
CONNECT_MS_MAX = 3_000
REQUEST_MS_MAX = 5_000
RECONNECT_MS_MAX = 500
UNKNOWN_TOPIC = kafka_errors.UnknownTopicOrPartitionError.errno

# What no repetition cures: a person must act.
_FOR_A_PERSON = (
    kafka_errors.AuthorizationError,
    kafka_errors.IncompatibleBrokerVersion,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.InvalidTopicError,
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.PolicyViolationError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.SecurityDisabledError,
    kafka_errors.UnsupportedVersionError,
    *NOT_RECOGNISED,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which brokers, and as whom."""

    servers: tuple[str, ...]
    access: KafkaAccess

    def outcome(self, error: BaseException, doing: str) -> TenutoError:
        """Return what a failure of the client library is on our road: for a person to cure, or to be tried again."""
        who = self.access.principal
        if isinstance(error, NOT_RECOGNISED):
            return NotConfigured(
                f"The broker does not recognise {who}, or is not recognised: {sentence(error)}. Check the account, its "
                "password file or certificate, and the authority."
            )
        if isinstance(error, kafka_errors.AuthorizationError) or _nothing_may_be_written(error):
            return NotConfigured(
                f"The broker does not let {who} {doing}: {sentence(error)}. `tenuto kafka acls` shows the rights that "
                "are missing, with --apply it gives them."
            )
        if isinstance(error, _FOR_A_PERSON):
            return NotConfigured(f"The broker refuses to {doing}: {sentence(error)}.")
        return Busy(f"The bus could not {doing}: {sentence(error)}.")


_CLIENT: Mapping[str, Any] = {
    "bootstrap_timeout_ms": CONNECT_MS_MAX,
    "request_timeout_ms": REQUEST_MS_MAX,
    "reconnect_backoff_max_ms": RECONNECT_MS_MAX,
    "retry_backoff_ms": 50,
    "proxy_url": f"{ClosingSocket.SCHEMES[0]}://",
}


def connect(kind: Callable[..., Any], cluster: Cluster, **settings: Any) -> tuple[Any, KafkaNetClient]:
    """Return a client of this kind and the network client under it; raises KafkaError, with nothing left open.

    Raises NotConfigured when a file of the account is missing or open to others.
    """
    access = cluster.access.client_settings()
    made: list[KafkaNetClient] = []

    def make(**config: Any) -> KafkaNetClient:
        made.append(network_client(**config))
        return made[0]

    try:
        return kind(
            bootstrap_servers=list(cluster.servers), kafka_client=make, **{**_CLIENT, **access, **settings}
        ), made[0]
    except BaseException:
        for left in made:
            left.close()
        raise


@contextmanager
def administer(cluster: Cluster, doing: str) -> Iterator[Any]:
    """Give an administrator's client; a KafkaError inside leaves as what `Cluster.outcome` makes of it."""
    try:
        admin, _ = connect(KafkaAdminClient, cluster)
        with closing(admin):
            yield admin
    except kafka_errors.KafkaError as error:
        raise cluster.outcome(error, doing) from error


def missing(topic: str) -> TopicMissing:
    """Return the error for a topic that is not there."""
    return TopicMissing(f"There is no topic {topic} on this bus. `tenuto up` or `tenuto kafka topics` makes that of events, delivery the inboxes.")


def sentence(error: BaseException) -> str:
    """Return the library's words, which do not always name what went wrong, behind the name of its class."""
    name, words = type(error).__name__, str(error).rstrip(".")
    return words if words.startswith(name) else f"{name} {words}".rstrip()


def _nothing_may_be_written(error: BaseException) -> bool:
    """Whether a producer was not begun because its account may write to no topic; said only in the words of an error."""
    return type(error) is kafka_errors.KafkaError and kafka_errors.ClusterAuthorizationFailedError.__name__ in str(error)


def quiet_log() -> None:
    """Keep kafka-python silent unless a level was set for it: a broker that is away fills a log by the minute.

    Nothing is lost by that: each of those failures reaches the caller as an exception with its sentence.
    """
    client_log = logging.getLogger("kafka")
    if client_log.level == logging.NOTSET:
        client_log.setLevel(logging.CRITICAL)

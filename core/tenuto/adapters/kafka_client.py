"""How we hold kafka-python 3.0.12: how its clients are connected, what they may wait for, and what their errors mean.

Three things are repaired here, each of which the bus contract would otherwise fail:

- Its clients let the broker create a topic that is only being asked for: switched off where a client is made.
- A constructor that fails leaves a thread and its connection behind: the client is caught on its way in and closed.
- A connection that is refused leaves its socket open until the garbage collector comes; while a broker is away that is
  one every half second. The class of socket is ours to choose, by the scheme of a proxy, and ours closes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from ..bus import TopicMissing
from ..errors import Busy, NotConfigured, TenutoError

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
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedVersionError,
)


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python is not typed
    """A direct connection, through no proxy, whose socket is closed when it cannot be made."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        """Return the connected socket; raises KafkaError."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


_CLIENT: Mapping[str, Any] = {
    "bootstrap_timeout_ms": CONNECT_MS_MAX,
    "request_timeout_ms": REQUEST_MS_MAX,
    "reconnect_backoff_max_ms": RECONNECT_MS_MAX,
    "retry_backoff_ms": 50,
    "proxy_url": f"{ClosingSocket.SCHEMES[0]}://",
}


def connect(kind: Callable[..., Any], servers: list[str], **settings: Any) -> tuple[Any, KafkaNetClient]:
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


def outcome(error: BaseException, doing: str) -> TenutoError:
    """Return what a failure of the client library is on our road: for a person to cure, or to be tried again."""
    if isinstance(error, _FOR_A_PERSON):
        return NotConfigured(f"The broker refuses to {doing}: {sentence(error)}.")
    return Busy(f"The bus could not {doing}: {sentence(error)}.")


def missing(topic: str) -> TopicMissing:
    """Return the error for a topic that is not there."""
    return TopicMissing(f"There is no topic {topic} on this bus. Ingest creates the topics of the road at its start.")


def sentence(error: BaseException) -> str:
    """Return the library's words, which do not always name what went wrong, behind the name of its class."""
    name, words = type(error).__name__, str(error).rstrip(".")
    return words if words.startswith(name) else f"{name} {words}".rstrip()


def quiet_log() -> None:
    """Keep kafka-python silent unless a level was set for it: a broker that is away fills a log by the minute.

    Nothing is lost by that: each of those failures reaches the caller as an exception with its sentence.
    """
    client_log = logging.getLogger("kafka")
    if client_log.level == logging.NOTSET:
        client_log.setLevel(logging.CRITICAL)

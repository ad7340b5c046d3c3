"""Connections to Kafka as kafka-python 3.0.12 makes them, mended in five places without which the bus contract fails.

- A connection that is refused, by the network or by TLS, leaves its socket open until the garbage collector comes; while
  a broker is away that is one every half second. Ours closes it.
- A client that is closed with words unsent, as a busy machine's is, leaves its socket open as well. Ours closes it.
- A broker that does not accept an account says so and hangs up. What arrives together with the end of the connection is
  thrown away, the reason with it. Ours reads it.
- An account that was not accepted is tried again until time is up, and the broker is said to be away. Ours remembers the
  reason and does not ask again.
- Clients let the broker create a topic that is only being asked for. Ours do not.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket, create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

# What TLS calls it when one end does not accept the other's certificate, or is sent none.
_TLS_REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")


class AccessRefused(kafka_errors.KafkaError):  # type: ignore[misc]  # kafka-python is not typed
    """The two ends do not recognise each other: a certificate does not verify, or none was accepted."""


NOT_RECOGNISED = (
    AccessRefused,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
)


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]
    """A direct connection, through no proxy, whose socket is closed when it cannot be made."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        """Return the connected socket; raises KafkaError."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class PlainTransport(KafkaTCPTransport):  # type: ignore[misc]
    """Without TLS."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        return _last_words(*super()._sock_recv())


class TlsTransport(KafkaSSLTransport):  # type: ignore[misc]
    """Over TLS."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        return _last_words(*super()._sock_recv())


def _last_words(received: bytes, error: Exception | None) -> tuple[bytes, Exception | None]:
    """Give out what was received first; the end of the connection is met again by the next read."""
    return received, None if received else error


class ClosingSelector(NetworkSelector):  # type: ignore[misc]
    """The loop of one client, which leaves no socket behind when it ends."""

    def __init__(self, **config: Any) -> None:
        """See `network_client`."""
        super().__init__(**config)
        self.transports: WeakSet[Any] = WeakSet()

    def close(self) -> None:
        """End the loop, then close what still waited for its turn to be sent; harmless when repeated."""
        super().close()
        for transport in list(self.transports):
            sock, transport._sock = transport._sock, None
            if sock is not None:
                with suppress(OSError):
                    sock.close()


class Connections(KafkaConnectionManager):  # type: ignore[misc]
    """The connections of one client, to nodes that accept it; the first refusal is the answer from then on."""

    def __init__(self, net: ClosingSelector, **config: Any) -> None:
        """See `network_client`."""
        super().__init__(net, **config)
        self._refusals: dict[Any, kafka_errors.KafkaError] = {}
        self._last: BaseException | None = None

    def bootstrap(self, timeout_ms: float | None = None, refresh: bool = True) -> None:
        """Learn the cluster from its first node; raises KafkaError, which says what became of the last attempt."""
        try:
            super().bootstrap(timeout_ms, refresh)
        except kafka_errors.KafkaTimeoutError as error:
            raise kafka_errors.KafkaTimeoutError(f"no broker took part in time, the last time: {self._last}") from error

    def get_connection(self, node_id: Any, *arguments: Any, **options: Any) -> Any:
        """Return the connection to a node, which may still be opening; raises one of NOT_RECOGNISED or NodeNotReadyError."""
        if node_id in self._refusals:
            raise self._refusals[node_id]
        connection = super().get_connection(node_id, *arguments, **options)
        connection._init_future.add_errback(self._remember, node_id)
        return connection

    def _remember(self, node_id: Any, error: BaseException) -> None:
        self._last = error
        if isinstance(error, NOT_RECOGNISED):
            self._refusals[node_id] = error
        elif (reason := _refused_by_tls(error)) is not None:
            self._refusals[node_id] = AccessRefused(reason)

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        options, proxy = self.config["socket_options"], self.config["proxy_url"]
        sock = await create_connection(
            self._net, node.host, node.port, options, proxy_url=proxy, timeout_at=timeout_at
        )
        transport = sock
        try:
            if self.ssl_enabled:
                transport = TlsTransport(self._net, sock, host=node.host, ssl_context=self.config["ssl_context"])
            else:
                transport = PlainTransport(self._net, sock, host=node.host)
            self._net.transports.add(transport)
            await transport.handshake()
        except OSError as error:
            raise kafka_errors.KafkaConnectionError(error) from error
        else:
            sock = None
            return transport
        finally:
            if sock is not None:
                transport.close()


def network_client(**config: Any) -> KafkaNetClient:
    """Return what a client of kafka-python stands on; `config` is that client's."""
    net = ClosingSelector(**config)
    client = KafkaNetClient(net=net, manager=Connections(net, **config), **config)
    # kafka-python takes `allow_auto_create_topics` for its consumers and producers and forgets it on the way here.
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def _refused_by_tls(error: BaseException) -> str | None:
    """Return the words of TLS when it is a certificate that was not accepted; None for a connection that just broke."""
    causes = [one for one in (error, *error.args) if isinstance(one, ssl.SSLError)]
    words = str(causes[0]) if causes else ""
    return words if any(word in words for word in _TLS_REFUSALS) else None

"""A client that is closed leaves no socket behind, whatever it was about to say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tenuto.adapters.kafka_client import _CLIENT
from tenuto.adapters.kafka_connection import network_client


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def client(silent: str) -> Iterator[Any]:
    made = network_client(bootstrap_servers=[silent], **_CLIENT)
    yield made
    made.close()


def connected(client: Any) -> Any:
    """The transport of a connection, once it is there."""
    (node,) = client.cluster.bootstrap_brokers()
    connection = client._manager.get_connection(node.node_id)
    while connection.transport is None:
        client.poll(timeout_ms=10)
    return connection.transport


@pytest.mark.parametrize("words", [b"", b"unsent"], ids=["nothing to say", "words unsent"])
def test_a_closed_client_leaves_no_socket_open(client: Any, words: bytes) -> None:
    transport = connected(client)
    sock = transport._sock
    if words:
        transport.write(words)
    transport.close()  # as kafka-python closes a connection that stands: what is unsent is sent first
    client.close()
    assert sock.fileno() == -1
    client.close()

"""A reverse proxy as plain as one can be: what arrives at one port of loopback is handed to another, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LISTEN_MAX = 64
CHUNK_BYTES = 1 << 16


@contextmanager
def proxied(port: int, to: int) -> Iterator[None]:
    """Listen on `port` and hand every connection to `to` until the end."""
    door = socket.create_server(("127.0.0.1", port), backlog=LISTEN_MAX)
    open_ones: list[socket.socket] = []
    accepting = threading.Thread(target=_accept, args=(door, to, open_ones), daemon=True)
    accepting.start()
    try:
        yield
    finally:
        for one in (door, *open_ones):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        accepting.join()


def _accept(door: socket.socket, to: int, open_ones: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            client, _ = door.accept()
            try:
                server = socket.create_connection(("127.0.0.1", to))
            except OSError:
                client.close()
                continue
            open_ones += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(CHUNK_BYTES):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)

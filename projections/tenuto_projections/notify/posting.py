"""One POST and its answer, within a limit of time that the other side cannot stretch.

Redirects are not followed: a signed body is for the receiver that the settings name and for no other. Errors do not hold the
address, which is the secret of a Slack channel.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Timer
from urllib.parse import urlsplit

from tenuto.errors import Busy

SECONDS = 10.0
ANSWER_BYTES_MAX = 64 * 1024


def post(url: str, body: bytes, headers: Mapping[str, str], *, tls: ssl.SSLContext, seconds: float) -> None:
    """Post `body`; return when the receiver took it (2xx). Raises Busy for every other answer, and for none."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=tls)
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        with cut_off(connection.sock, seconds):
            connection.request("POST", path, body, dict(headers) | {"User-Agent": "tenuto-notify", "Connection": "close"})
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise Busy(f"{parts.hostname} does not answer: {reason_of(error)}.") from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise Busy(f"{parts.hostname} answers with {answer.status}.")


@contextmanager
def cut_off(connection: socket.socket, seconds: float) -> Iterator[None]:
    """End the connection after so many seconds, however slowly the other side sends; raises TimeoutError then.

    A socket's own timeout begins anew with every byte, so a receiver could hold this process for ever.
    """
    late = Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, EOFError) as error:
        if late.is_set():
            raise TimeoutError(f"it took more than {seconds:g} seconds") from error
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"it took more than {seconds:g} seconds")


def reason_of(error: BaseException) -> str:
    """Return why in one line without addresses."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:200]

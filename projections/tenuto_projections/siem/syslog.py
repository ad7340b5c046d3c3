"""Syslog: each line as an RFC 5424 message, octet-counted (RFC 6587), over TLS (RFC 5425) with nothing to turn it off.

The receiver's certificate is checked against the system's authorities, or against one that is named, and its name
against the host that was dialled; TLS is 1.2 or newer. Without TLS only this very machine can be reached, for a relay.

Syslog has no acknowledgement. A page counts as sent when the receiver's machine has acknowledged all its bytes and the
connection still stands; what is not sure is sent again. So every event arrives at least once as long as the receiver
keeps what its machine took, and origin and position in the structured data tell a second copy from a second event.
"""

from __future__ import annotations

import fcntl
import re
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence

from tenuto.errors import Busy, Refused
from tenuto.verification import Verified

from ..replay.records import stamp
from .jsonl import Mark
from .ocsf_subjects import mapped
from .sinks import LineReader

TLS_PORT, TCP_PORT = 6514, 601
CONNECT_SECONDS = 10.0
CONFIRM_SECONDS = 1.0
SEND_SECONDS = 30.0
MESSAGE_BYTES_MAX = 64 * 1024
"""Longer messages go without their payload: receivers are only bound to take 2,048 bytes (RFC 5425 4.3.1)."""

LOG_AUDIT = 13
ENTERPRISE = "tenuto@32473"
_SEVERITIES = {1: 6, 2: 5, 3: 4, 4: 3, 5: 2}
_BOM = b"\xef\xbb\xbf"
_FRAME_BYTES = 2048


class ReceiverRefused(Refused):
    """The receiver is not who it should be; nothing was sent to it."""


def message(verified: Verified, line: bytes, hostname: str) -> bytes:
    """Return one RFC 5424 message: facility log audit, the event's severity, the ledger's time, the kind as MSGID.

    The line is ASCII JSON and goes as it is; any other text is UTF-8 and gets the byte order mark that 6.4 demands.
    """
    event = verified.event
    priority = LOG_AUDIT * 8 + _SEVERITIES[mapped(event).severity_id]
    data = {
        "origin": event.log_origin, "position": str(verified.position), "id": str(event.id), "kind": event.kind,
        "author": event.author, "leaf": verified.leaf.hex(),
    }  # fmt: skip
    named = " ".join(f'{name}="{escaped(value)}"' for name, value in data.items())
    host = re.sub(r"[^!-~]", "-", hostname)[:255] or "-"
    head = f"<{priority}>1 {stamp(verified.recorded_at)} {host} tenuto - {event.kind[:32]} [{ENTERPRISE} {named}] "
    return head.encode("utf-8") + (line if line.isascii() else _BOM + line)


def escaped(value: str) -> str:
    """Escape a parameter value (RFC 5424 6.3.3); control characters, which it would allow, are shown and not sent."""
    quoted = re.sub(r'(["\\\]])', r"\\\1", value)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: f"\\\\x{ord(found[0]):02x}", quoted)


def framed(content: bytes) -> bytes:
    """Count the octets (RFC 6587 3.4.1), so that no byte inside can end the message."""
    return b"%d %s" % (len(content), content)


class SyslogSink:
    """One connection to a receiver, made when there is something to send and made again when it broke."""

    line_bytes_max: int | None = MESSAGE_BYTES_MAX - _FRAME_BYTES

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, *, hostname: str) -> None:
        """With `context` over TLS. `hostname` is this machine's name in the messages."""
        self._host, self._port, self._context, self._hostname = host, port, context, hostname
        self._socket: socket.socket | None = None

    def resume(self, size: int, reader: LineReader) -> Sequence[Mark]:
        """A receiver cannot be asked what it has."""
        return ()

    def frame(self, verified: Verified, line: bytes) -> bytes:
        """One message with its length before it."""
        return framed(message(verified, line, self._hostname))

    def write(self, frames: bytes) -> None:
        """Send the frames and wait until the other machine has them all.

        Raises Busy when the receiver is away or breaks off: then none of them counts as sent. Raises ReceiverRefused
        when its certificate does not hold.
        """
        connection = self._connected()
        try:
            connection.sendall(frames)
            self._wait_until_taken(connection)
        except OSError as error:
            self.close()
            raise Busy(f"{self._place} broke off: {_reason(error)}.") from error

    def close(self) -> None:
        """Say goodbye, as far as the other side still listens."""
        connection, self._socket = self._socket, None
        if connection is None:
            return
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.settimeout(1.0)
                connection.unwrap()
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    @property
    def _place(self) -> str:
        return f"The syslog receiver {self._host}:{self._port}"

    def _connected(self) -> socket.socket:
        if self._socket is not None and not _is_closed(self._socket):
            return self._socket
        self.close()
        try:
            plain = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
        except OSError as error:
            raise Busy(f"{self._place} does not answer: {_reason(error)}.") from error
        try:
            self._socket = self._secured(plain)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            sentence = f"{self._place} shows a certificate that does not hold: {error.verify_message.rstrip('.')}."
            raise ReceiverRefused(f"{sentence} Nothing was sent. Name its authority with ?ca=FILE.") from error
        except OSError as error:
            plain.close()
            raise Busy(f"{self._place} does not speak TLS with us: {_reason(error)}.") from error
        self._socket.settimeout(SEND_SECONDS)
        return self._socket

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._context is None:
            return plain
        connection = self._context.wrap_socket(plain, server_hostname=self._host)
        if connection.version() == "TLSv1.3":
            # Here our side is done before the other one has judged our certificate. Its first word, a session ticket
            # or an alert, comes after that; what was sent before an alert would count as sent and be lost.
            select.select([connection], [], [], CONFIRM_SECONDS)
            if _is_closed(connection):
                connection.close()
                raise ConnectionResetError("it turned us away")
        return connection

    def _wait_until_taken(self, connection: socket.socket) -> None:
        """Wait until the kernel holds no byte of ours that the other machine has not acknowledged."""
        deadline = time.monotonic() + SEND_SECONDS
        while not _is_closed(connection):
            if not _unacknowledged(connection):
                return
            if time.monotonic() > deadline:
                raise TimeoutError("it does not take what was sent")
            time.sleep(0.001)
        raise ConnectionResetError("it closed the connection")


def tls_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Return a client context that demands a valid certificate; raises OSError (SSLError) for files it cannot use."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def _unacknowledged(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side ended the connection; a receiver has nothing else to say to us."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(SEND_SECONDS)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")

"""A syslog receiver with a certificate of its own authority: what it got, frame by frame, and how it can misbehave."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder; made with the openssl command, which every machine that builds us has."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *, alternative: str = "DNS:localhost,IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """Return certificate and key for `name`."""
        key, request, cert = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extension = self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={alternative}\n")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                 "-out", cert, "-days", days, "-extfile", extension)  # fmt: skip
        return cert, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def new_authority(folder: Path) -> Authority:
    """A new authority; skips the test where there is no openssl command."""
    folder.mkdir()
    authority = Authority(folder)
    _openssl("req", "-x509", *_NEW_KEY, "-keyout", folder / "ca.key", "-out", authority.ca, "-days", 2,
             "-subj", f"/CN={folder.name}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    return authority


def _openssl(*arguments: object) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl command to make certificates with")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)  # noqa: S603


class Receiver:
    """Listens on this machine; `cert` and `key` make it speak TLS, `clients` is the authority its clients need."""

    def __init__(self, cert: Path | None = None, key: Path | None = None, *, clients: Path | None = None,
                 version: ssl.TLSVersion | None = None, port: int = 0) -> None:  # fmt: skip
        self.streams: list[bytearray] = []
        self.faults: list[str] = []
        self.reset_after: int | None = None
        self._context = None if cert is None else _context(cert, key, clients, version)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()

    def messages(self) -> list[bytes]:
        """Every whole message, over all connections, in the order of arrival."""
        return [message for stream in list(self.streams) for message in unframed(bytes(stream))]

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                plain, _ = self._listener.accept()
            except TimeoutError:
                continue
            with plain:
                plain.settimeout(20)
                self._take(plain)

    def _take(self, plain: socket.socket) -> None:
        stream = bytearray()
        try:
            connection = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
        except OSError as error:
            self.faults.append(type(error).__name__)
            return
        self.streams.append(stream)
        with connection:
            connection.settimeout(0.05)
            while not self._ended.is_set():
                try:
                    data = connection.recv(4096)
                except TimeoutError:
                    continue
                except OSError as error:
                    self.faults.append(type(error).__name__)
                    return
                stream += data
                if not data:
                    return
                if self.reset_after is not None and len(stream) >= self.reset_after:
                    self.reset_after = None
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return


class SlowReplies:
    """A way to a receiver on which every word of the receiver takes a while, and ours none."""

    def __init__(self, port: int, seconds: float) -> None:
        self._target, self._seconds = port, seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def __enter__(self) -> SlowReplies:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _carry(self) -> None:
        with self._listener.accept()[0] as near, socket.create_connection(("127.0.0.1", self._target)) as far:
            ours = threading.Thread(target=_pump, args=(near, far, 0.0))
            ours.start()
            _pump(far, near, self._seconds)
            ours.join()


def _pump(source: socket.socket, target: socket.socket, seconds: float) -> None:
    try:
        while data := source.recv(65536):
            time.sleep(seconds)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


def _context(cert: Path, key: Path | None, clients: Path | None, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    if version is not None:
        context.minimum_version, context.maximum_version = version, version
    return context


def unframed(stream: bytes) -> list[bytes]:
    """Split a stream by its octet counts (RFC 6587 3.4.1); a message without its end is left out."""
    messages = []
    while stream:
        digits, space, rest = stream.partition(b" ")
        if not space or len(rest) < int(digits):
            break
        messages.append(rest[: int(digits)])
        stream = rest[int(digits) :]
    return messages

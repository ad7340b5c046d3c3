"""Witnesses over HTTP (C2SP tlog-witness): the small server that `tenuto witness` runs, and the client of the log.

Both sides bound what they read and how long they wait; the other side is a stranger. TLS is the business of a proxy in
front of the server; the client speaks it.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ..errors import Busy, NotConfigured, TenutoError
from ..log.archive import ARCHIVE_FILE_BYTES_MAX, CheckpointArchive
from ..log.checkpoint import CheckpointRefused, parse_size
from ..log.note import COSIGNATURE, NOTE_BYTES_MAX, NoteVerifier, parse_vkey
from ..log.witness import Witness
from ..log.witnessing import AddCheckpoint, WitnessConflict, WitnessRefused

REQUEST_BYTES_MAX = NOTE_BYTES_MAX + 8_192
RESPONSE_BYTES_MAX = 65_536
CLIENT_SECONDS = 4.0
SERVER_SECONDS = 10.0
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
_MONITORED = re.compile(r"/([0-9a-f]{64})/checkpoint")
_ARCHIVED = re.compile(r"/([0-9a-f]{64})/(checkpoints/[x0-9/]{3,40})")
log = logging.getLogger(__name__)


class HttpWitness:
    """A witness at a URL; one request per call, no redirects, no proxy."""

    def __init__(self, url: str, vkey: str, seconds: float = CLIENT_SECONDS) -> None:
        """`url` is its submission prefix, `vkey` its key as in the policy; raises NotConfigured or NoteRefused."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise NotConfigured(f"{url!r:.200} is not the http(s) address of a witness.")
        self.verifier: NoteVerifier = parse_vkey(vkey)
        if self.verifier.algorithm != COSIGNATURE:
            raise NotConfigured(f"The key of {self.verifier.name} is not one of a witness (type 0x04).")
        self._url, self._seconds = parts, seconds

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """Return the signature lines of the answer, not yet verified.

        Raises Busy when the witness is away, slow or in trouble (5xx), WitnessConflict for 409, else WitnessRefused.
        """
        status, kind, body = self._post(request.to_bytes())
        if status == 200:
            return body
        if status == 409 and kind == SIZE_TYPE:
            raise WitnessConflict(_size_of(body))
        sentence = f"the witness answered {status}: {body[:200].decode('utf-8', 'replace').strip()!r}"
        if status >= 500 or status == 429:
            raise Busy(sentence)
        raise WitnessRefused(sentence, status)

    def archive(self, origin: str) -> CheckpointArchive:
        """Return what this witness ever cosigned for a log; read file by file, and only a witness of ours has it.

        Its methods raise Busy when the witness is away, WitnessRefused when it answers with anything but a file or 404.
        """
        folder = hashlib.sha256(origin.encode()).hexdigest()

        def fetch(name: str) -> bytes | None:
            status, _, body = self._exchange("GET", f"/{folder}/{name}", None, ARCHIVE_FILE_BYTES_MAX)
            if status not in (200, 404):
                raise WitnessRefused(f"the witness answered {status} when asked for {name}", status)
            return body if status == 200 else None

        return CheckpointArchive(Path(self._url.netloc.rpartition("@")[2]), fetch)

    def _post(self, body: bytes) -> tuple[int, str, bytes]:
        return self._exchange("POST", "/add-checkpoint", body, RESPONSE_BYTES_MAX)

    def _exchange(self, method: str, path: str, body: bytes | None, bytes_max: int) -> tuple[int, str, bytes]:
        secure = self._url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self._url.hostname or "", self._url.port, timeout=self._seconds)
        try:
            headers = {"Content-Type": TEXT_TYPE, "Connection": "close"}
            connection.request(method, self._url.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type", ""), self._read(response, bytes_max)
        except (OSError, http.client.HTTPException) as error:
            place = self._url.netloc.rpartition("@")[2]
            raise Busy(f"the witness at {place} cannot be reached ({type(error).__name__}: {error}).") from error
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, bytes_max: int) -> bytes:
        deadline, parts, length = time.monotonic() + self._seconds, list[bytes](), 0
        while part := response.read1(8_192):
            parts.append(part)
            length += len(part)
            if length > bytes_max:
                raise WitnessRefused(f"the witness sends more than {bytes_max:,} bytes", response.status)
            if time.monotonic() > deadline:
                raise Busy(f"the witness did not finish its answer within {self._seconds:g} seconds.")
        return b"".join(parts)


class WitnessServer:
    """A witness listening on one address; a context manager that starts and stops it."""

    def __init__(self, witness: Witness, host: str, port: int) -> None:
        """Binds at once, port 0 takes a free one; raises NotConfigured when the address cannot be had."""
        try:
            self._server = _Listener((host, port), _Exchange)
        except OSError as error:
            raise NotConfigured(f"The witness cannot listen on {host}:{port}: {error}. Choose another port.") from error
        self._server.witness = witness
        self._thread: Thread | None = None
        bound = self._server.server_address
        self.address = f"http://{host}:{bound[1]}"

    def start(self) -> None:
        """Answer requests on threads of its own."""
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; what a request has changed is durable already."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def serve_witness(witness: Witness, *, host: str = "127.0.0.1", port: int = 0) -> WitnessServer:
    """Return the server of `witness`, bound and not yet started."""
    return WitnessServer(witness, host, port)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    witness: Witness


class _Exchange(BaseHTTPRequestHandler):
    """One connection: POST /add-checkpoint; for monitors GET /<origin hash>/checkpoint and .../checkpoints/<N>."""

    protocol_version = "HTTP/1.1"
    server_version = "tenuto-witness"
    sys_version = ""
    timeout = SERVER_SECONDS
    server: _Listener

    def do_POST(self) -> None:
        """Answer add-checkpoint."""
        if self.path != "/add-checkpoint":
            return self._answer(404, b"There is only /add-checkpoint here.\n")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self._answer(411, b"Say the length of the body.\n")
        if int(length[:12]) > REQUEST_BYTES_MAX or len(length) > 12:
            return self._answer(413, b"The body is too long.\n")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            return self._answer(400, b"The body is shorter than announced.\n")
        try:
            return self._answer(200, self.server.witness.add_checkpoint(body))
        except WitnessConflict as conflict:
            return self._answer(409, f"{conflict.size}\n".encode(), SIZE_TYPE)
        except WitnessRefused as refusal:
            return self._answer(refusal.status, f"{refusal}\n".encode())
        except (TenutoError, OSError) as trouble:
            log.exception("The witness cannot answer.", exc_info=trouble)
            return self._answer(500, b"The witness is in trouble.\n")

    def do_GET(self) -> None:
        """Answer a monitor with the last cosigned checkpoint, or with a file of all that were cosigned."""
        note = None
        if match := _MONITORED.fullmatch(self.path):
            note = self.server.witness.latest_note(match[1])
        elif match := _ARCHIVED.fullmatch(self.path):
            note = self.server.witness.kept_notes(match[1], match[2])
        return self._answer(404, b"Nothing was cosigned here.\n") if note is None else self._answer(200, note)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are logged at debug level; a stranger must not fill the disk."""
        log.debug(format, *args)

    def _answer(self, status: int, body: bytes, kind: str = TEXT_TYPE) -> None:
        self.close_connection = self.close_connection or status >= 400
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _size_of(body: bytes) -> int:
    try:
        return parse_size(body.removesuffix(b"\n"))
    except CheckpointRefused as refusal:
        raise WitnessRefused(f"the witness answered 409 without a size: {refusal}", 409) from refusal

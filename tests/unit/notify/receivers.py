"""Real receivers on this machine: a web server that keeps what was posted to it, and a mail server in a process of its own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("mail_server.py")
SECONDS_MAX = 90.0


@dataclass(frozen=True)
class Posted:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WebReceiver:
    """Listens with TLS; `answers` are the next ones, 204 when there is none left. `answer` may also do the writing itself."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.posted: list[Posted] = []
        self.answers: list[int] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        receiver = self

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posted.append(Posted(self.path, headers, body))
                if receiver.answer is not None:
                    receiver.answer(self)
                    return
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.posted.append(Posted(f"GET {self.path}", {}, b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that turns away is wanted here
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class MailServer:
    """A running mail server and where it keeps its letters."""

    folder: Path
    port: int

    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted(self.folder.glob("[0-9]*.json"))]

    def clear(self) -> None:
        for path in self.folder.glob("*"):
            if path.name not in ("port", "said"):
                path.unlink()

    @contextmanager
    def away(self) -> Iterator[None]:
        (self.folder / "away").touch()
        yield
        (self.folder / "away").unlink()


@contextmanager
def mail_server(folder: Path, *certificate: Path) -> Iterator[MailServer]:
    """Start the server, with STARTTLS if it gets certificate and key, and end it."""
    folder.mkdir(parents=True)
    command = [sys.executable, str(SERVER), str(folder), *map(str, certificate)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        yield MailServer(folder, int(until(lambda: (folder / "port").exists() and (folder / "port").read_text())))
    finally:
        process.terminate()
        process.wait()


def until(look: Callable[[], Any]) -> Any:
    """Ask again and again until there is an answer; the limit only keeps a broken test from hanging."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")

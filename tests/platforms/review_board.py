"""A real Review Board, installed from its lock file into a cache, as a process of its own on loopback; and who works with it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

from tenuto.embedded.child import LOOPBACK, Child, PartMissing, Plan, free_port

LOCK = Path(__file__).with_name("review-board.lock")
INSTALL_SECONDS_MAX = 600
START_SECONDS_MAX = 180.0
ADMIN, PASSWORD = "admin", "a-password-of-the-test"
SITE = [sys.executable, "-c", "from reviewboard.cmdline.rbsite import main; main()"]


def installed() -> Path:
    """Return the folder of Review Board and what it needs, installed if this machine has none of this lock; raises PartMissing."""
    label = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto" / f"review-board-{label}"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="installing-") as scratch:
            target = Path(scratch) / "packages"
            uv = str(Path(sys.executable).with_name("uv"))
            _run([uv, "pip", "install", "--quiet", "--require-hashes", "--target", str(target), "-r", str(LOCK)], os.environ)
            try:
                target.rename(cache)
            except OSError:
                if not cache.exists():  # otherwise another run was quicker; its packages come from the same lock
                    raise
    return cache


def _run(command: list[str], environment: Any) -> None:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False, env=environment, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PartMissing(f"Review Board could not be installed: {error}.") from error
    if ended.returncode != 0:
        said = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        raise PartMissing(f"Review Board could not be installed: {' '.join(said[-5:])}")


class Refused(Exception):
    """The server answered with an error."""


class ReviewBoardServer:
    """One site with one administrator and no repository yet."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.address = f"http://{LOOPBACK}:{self._port}"
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE")}
        self._environment = own | {"PYTHONPATH": str(packages), "PYTHONWARNINGS": "ignore", "HOME": str(folder)}
        self._child: Child | None = None

    def __enter__(self) -> Self:
        site = self._folder / "site"
        _run([
            *SITE, "install", "--noinput", "--no-color", f"--domain-name={LOOPBACK}", "--db-type=sqlite3",
            f"--db-name={self._folder / 'board.sqlite'}", "--cache-type=file", f"--cache-info={self._folder / 'cache'}",
            "--web-server-type=wsgi", f"--admin-user={ADMIN}", f"--admin-password={PASSWORD}", "--admin-email=admin@example.com",
            "--company=test", f"--allowed-host={LOOPBACK}", str(site),
        ], self._environment)  # fmt: skip
        command = [*SITE, "manage", str(site), "runserver", "--", f"{LOOPBACK}:{self._port}", "--noreload"]
        self._child = Child(Plan(command, self._folder / "server.log", environment=self._environment))
        self._child.wait_until(self._answers, START_SECONDS_MAX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.stop()

    def add_user(self, name: str) -> Person:
        """Make an account, as the administrator."""
        Person(self.address, ADMIN, PASSWORD).post("users/", username=name, email=f"{name}@example.com", password=PASSWORD)
        return Person(self.address, name, PASSWORD)

    def add_repository(self, name: str, path: Path) -> None:
        """Make a bare repository on this machine known to the server."""
        Person(self.address, ADMIN, PASSWORD).post("repositories/", name=name, path=str(path), tool="Git")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api/", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


class Person:
    """Somebody who works with the server by its API, as a developer's or an attacker's tools do."""

    def __init__(self, address: str, name: str, password: str) -> None:
        self.name, self._address = name, address
        self._headers = {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode(), "Accept": "application/json"}

    def post(self, path: str, /, **fields: object) -> Any:
        return self._call("POST", path, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"})

    def put(self, path: str, /, **fields: object) -> Any:
        return self._call("PUT", path, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"})

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def token(self) -> bytes:
        """A new API token of this account."""
        told = self.post(f"users/{self.name}/api-tokens/", note="for the test", policy="{}")
        return str(told["api_token"]["token"]).encode()

    def ask(self, repository: str, reviewer: str, base: str | None, diff: bytes, *, summary: str = "A change") -> int:
        """Publish a review request with a diff, and return its number."""
        number = int(self.post("review-requests/", repository=repository)["review_request"]["id"])
        self.upload(number, base, diff)
        self.put(f"review-requests/{number}/draft/", summary=summary, description="as said", target_people=reviewer, public=1)
        return number

    def publish(self, number: int, base: str | None, diff: bytes) -> None:
        """Publish another diff of a request."""
        self.upload(number, base, diff)
        self.put(f"review-requests/{number}/draft/", changedescription="another", public=1)

    def upload(self, number: int, base: str | None, diff: bytes) -> None:
        """Put a diff into the draft of a request."""
        border = uuid4().hex
        fields = [("base_commit_id", "", base.encode())] if base is not None else []
        parts = b"".join(
            f'--{border}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
            for name, more, value in [*fields, ("path", '; filename="diff"', diff)]
        )
        head = {"Content-Type": f"multipart/form-data; boundary={border}"}
        self._call("POST", f"review-requests/{number}/diffs/", parts + f"--{border}--\r\n".encode(), head)

    def reviews(self, number: int) -> list[tuple[str, bool, str]]:
        """Who reviewed a request, whether to ship it, and the text; in order."""
        found = self.get(f"review-requests/{number}/reviews/")["reviews"]
        return [(one["links"]["user"]["title"], one["ship_it"], one["body_top"]) for one in found]

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        asked = urllib.request.Request(f"{self._address}/api/{path}", body, self._headers | headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None

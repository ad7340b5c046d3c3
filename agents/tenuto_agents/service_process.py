"""One started service: a process of its own session on a loopback port, which outlives the agent that started it.

It is found again by its process id *and* the moment it started, since a process id is given to another after a while.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from tenuto.embedded.child import LOOPBACK, free_port
from tenuto.errors import TenutoError

from .artifact import Service
from .processes import SAFE_PATH

PROBE_SECONDS_MAX = 2.0
PROBE_PAUSE_SECONDS = 0.1
PROBE_BYTES_MAX = 65_536
STOP_SECONDS_MAX = 5.0


class Unhealthy(TenutoError):
    """The release did not answer as it should within its time. `checks`: how often it was asked."""

    def __init__(self, sentence: str, checks: int) -> None:
        """`sentence` says what the last check saw."""
        super().__init__(sentence)
        self.checks = checks


class Running(msgspec.Struct, frozen=True):
    """A started release: its digest, process id with start time (clock ticks since boot), port, and what it should say."""

    digest: str
    pid: int
    started: int
    port: int
    service: Service

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"


_children: dict[int, subprocess.Popen[bytes]] = {}  # ours to reap while this process lives


def start_service(service: Service, folder: Path, digest: str) -> Running:
    """Start the service of a release on a free loopback port; it may still be starting when this returns."""
    port = free_port()
    with (folder.parent / f"{digest}.log").open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", str(folder / service.entry)],
            cwd=folder, env={"PATH": SAFE_PATH, "LC_ALL": "C.UTF-8", "PORT": str(port)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    _children[child.pid] = child
    return Running(digest, child.pid, _start_time(child.pid) or 0, port, service)


def is_alive(running: Running) -> bool:
    """Whether exactly this process still runs."""
    child = _children.get(running.pid)
    if child is not None and child.poll() is not None:
        return False
    return _start_time(running.pid) == running.started


def stop_service(running: Running) -> None:
    """Stop it with its whole process group, first gently, after STOP_SECONDS_MAX (5 s) by force; harmless when gone."""
    deadline = time.monotonic() + STOP_SECONDS_MAX
    number = signal.SIGTERM
    while is_alive(running):
        try:
            os.killpg(running.pid, number)
        except ProcessLookupError:
            break
        number = signal.SIGKILL if time.monotonic() > deadline else signal.SIGTERM
        time.sleep(0.02)
    # Reap it, unless the number belongs to another child of ours by now, which goes on.
    child = _children.get(running.pid)
    if child is not None and child.poll() is not None:
        del _children[running.pid]


def await_healthy(running: Running, seconds: float) -> int:
    """Return after how many milliseconds the service was well; raises Unhealthy after `seconds`, or when it ended.

    Well is a parsed JSON object with the expected version, and nothing else: an error page, an empty body and another
    release on the same port are not.
    """
    begin, checks = time.monotonic(), 0
    while True:
        checks += 1
        seen = probe(running)
        if seen is None:
            return int((time.monotonic() - begin) * 1000)
        if not is_alive(running):
            raise Unhealthy(f"The service ended after it was started; its last answer: {seen}", checks)
        if time.monotonic() - begin > seconds:
            raise Unhealthy(f"The service was not healthy within {seconds:g} seconds: {seen}", checks)
        time.sleep(PROBE_PAUSE_SECONDS)


def probe(running: Running) -> str | None:
    """Ask once; return None when the answer is as it should be, else what was wrong with it."""
    return judge(http.client.HTTPConnection(LOOPBACK, running.port, timeout=PROBE_SECONDS_MAX), running.service)


def judge(connection: http.client.HTTPConnection, service: Service) -> str | None:
    """Ask a service how it is over `connection`, which is closed; return None when it is well, else what was wrong."""
    try:
        connection.request("GET", service.health)
        response = connection.getresponse()
        body = response.read(PROBE_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})."
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        return f"status {response.status}."
    return _wrong_with(body, service.version)


def _wrong_with(body: bytes, version: str) -> str | None:
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "the body is not JSON."
    if not isinstance(answer, dict) or answer.get("version") != version:
        found = answer.get("version") if isinstance(answer, dict) else None
        return f"the version is {found!r:.60} and should be {version!r}."
    return None


def _start_time(pid: int) -> int | None:
    """The start of a process in clock ticks since boot (proc(5), field 22), None when it is gone or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])

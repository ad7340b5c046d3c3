"""The watcher of one box: it answers the calls that the filter hands over, and keeps what it had to deny (M26).

It lets exactly one `execve` through, the launcher becoming the tool, at a time when nothing of the pull request has been
read; so no argument has to be trusted that another thread could change behind the check. Threads are let through up to a
number. Everything else is denied and becomes a sighting. If the watcher ends, for whatever reason, the kernel answers
"no such call" in its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..text import visible_line

SIGHTINGS_MAX = 32
THREADS_MAX = 64
DETAIL_CHARACTERS_MAX = 200
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_REQUEST_BYTES = 80
_CONTINUE = 1
_CLONE_THREAD = 0x10000
_PATH_BYTES, _ADDRESS_BYTES = 256, 128
_LOOK_MILLISECONDS = 200


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that a parser does not do: the system call, and the path, address or flags it was made with."""

    call: str
    detail: str

    def __str__(self) -> str:
        """As it stands in a sentence, such as `connect to 192.0.2.1:4444`."""
        return f"{self.call} {self.detail}".strip()


class Watch:
    """Watches one box, in a thread of its own, from `start` until the box is empty or `stop` is called."""

    def __init__(self, listener: int, calls: Mapping[str, int], tool: str, *, on_end: Callable[[], None]) -> None:
        """Owns `listener`. `tool` is the one program that may start; `on_end` ends the box when the watching fails."""
        self.sightings: list[Sighting] = []
        self.failure: BaseException | None = None
        self._listener, self._tool, self._on_end = listener, tool, on_end
        self._names = {number: name for name, number in calls.items()}
        self._started, self._threads, self._stopping = False, 0, threading.Event()
        self._thread = threading.Thread(target=self._live, name="tenuto-sandbox-watch", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the watching; whatever still runs in the box gets no answer any more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        else:
            os.close(self._listener)

    def _live(self) -> None:
        try:
            self._answer_all()
        except Exception as error:  # noqa: BLE001 - the box must not outlive its watcher, whatever ended it
            self.failure = error
        finally:
            os.close(self._listener)
            if self.failure is not None or len(self.sightings) >= SIGHTINGS_MAX:
                self._on_end()

    def _answer_all(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not self._stopping.is_set() and len(self.sightings) < SIGHTINGS_MAX:
            for _, happened in poll.poll(_LOOK_MILLISECONDS):
                if not happened & select.POLLIN:
                    return  # nobody is left in the box
                self._answer_one()

    def _answer_one(self) -> None:
        request = bytearray(_REQUEST_BYTES)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, request)
        except OSError as gone:
            if gone.errno in (errno.ENOENT, errno.EINTR):
                return  # who asked was killed meanwhile
            raise
        identity, pid = struct.unpack_from("=QI", request)
        call = self._names.get(struct.unpack_from("=i", request, 16)[0], "unknown")
        allowed = self._judge(call, pid, struct.unpack_from("=6Q", request, 32))
        error, flags = (0, _CONTINUE) if allowed else (-errno.EPERM, 0)
        try:
            fcntl.ioctl(self._listener, _SEND, bytearray(struct.pack("=QqiI", identity, 0, error, flags)))
        except OSError as gone:
            if gone.errno != errno.ENOENT:
                raise

    def _judge(self, call: str, pid: int, arguments: tuple[int, ...]) -> bool:
        if call == "clone" and arguments[0] & _CLONE_THREAD and self._threads < THREADS_MAX:
            self._threads += 1
            return True
        detail = _detail(call, pid, arguments)
        if call == "execve" and not self._started and detail == self._tool:
            self._started = True
            return True
        self.sightings.append(Sighting(call, visible_line(detail)[:DETAIL_CHARACTERS_MAX]))
        return False


def _detail(call: str, pid: int, arguments: tuple[int, ...]) -> str:
    """What the call was about, as far as it can be read from the process that made it."""
    where = {"execve": (0, _PATH_BYTES), "execveat": (1, _PATH_BYTES), "connect": (1, _ADDRESS_BYTES), "bind": (1, _ADDRESS_BYTES),
             "sendto": (4, _ADDRESS_BYTES), "mount": (1, _PATH_BYTES), "chroot": (0, _PATH_BYTES)}  # fmt: skip
    if call not in where:
        return ""
    argument, length = where[call]
    found = _read_memory(pid, arguments[argument], length)
    if found is None:
        return "(unreadable)"
    return address(found) if length == _ADDRESS_BYTES else found.split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _read_memory(pid: int, place: int, length: int) -> bytes | None:
    if place == 0:
        return b""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(place)
            return memory.read(length)
    except (OSError, OverflowError, ValueError):
        return None


def address(found: bytes) -> str:
    """Write a `struct sockaddr` for a person: host and port, or a socket's path; never raises."""
    if len(found) < 28:
        return "(no address)"
    family, port = struct.unpack_from("=H", found)[0], struct.unpack_from(">H", found, 2)[0]
    if family == socket.AF_INET:
        return f"to {socket.inet_ntop(socket.AF_INET, found[4:8])}:{port}"
    if family == socket.AF_INET6:
        return f"to [{socket.inet_ntop(socket.AF_INET6, found[8:24])}]:{port}"
    if family == socket.AF_UNIX:
        return "to unix:" + found[2:110].lstrip(b"\0").split(b"\0", 1)[0].decode("utf-8", errors="replace")
    return f"to family {family}"

"""One child process with an owner, a directory and an end.

Three things are the same for every embedded part: only one process may use its directory (a lock that the operating
system drops when the last holder dies), a free port is found or a taken one is named, and no child outlives its owner
(see guard.py). They are here once.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from ..errors import NotConfigured, TenutoError

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02
LOCK_SECONDS_MAX = 20.0  # longer than any grace below, so that a predecessor that is still stopping is waited for
GRACE_SECONDS = 10.0
LOG_TAIL_LINES = 12
_PORT_MIN = 10_240  # below it lie the ports that people give to services
_DRAWS_MAX = 100
_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_GUARD = Path(__file__).with_name("guard.py")


class PartMissing(NotConfigured):
    """A wheel or program that an embedded part needs is not installed."""


class PortTaken(NotConfigured):
    """Another program listens on the port that was asked for."""


class DirectoryTaken(NotConfigured):
    """Another process uses the directory of this part."""


class PartFailed(TenutoError):
    """The part ended by itself or did not answer in time; the sentence carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account a child runs as when we are root; `reaches_all` lets it pass directories closed to it."""

    uid: int
    gid: int
    reaches_all: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how to end it. The environment is given whole: nothing of ours leaks into the child."""

    command: Sequence[str]
    log_file: Path
    stop_signal: int = SIGTERM
    grace_seconds: float = GRACE_SECONDS
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def as_json(self, keep: Sequence[int]) -> str:
        """Return the plan in the form guard.py reads; `keep` are file descriptors the child inherits."""
        account = self.account and (self.account.uid, self.account.gid, self.account.reaches_all)
        return json.dumps(
            {
                "command": list(self.command),
                "stop_signal": int(self.stop_signal),
                "grace_seconds": self.grace_seconds,
                "account": account,
                "environment": {"PATH": os.defpath, "LC_ALL": "C", **self.environment},
                "directory": str(self.log_file.parent),
                "keep": list(keep),
            },
        )


class Child:
    """A running plan. Not restartable: a new start is a new Child."""

    def __init__(self, plan: Plan, *, keep: Sequence[int] = ()) -> None:
        """Start it. Returns at once; use `wait_until` to learn that it answers."""
        self._plan = plan
        with plan.log_file.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), plan.as_json(keep)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=tuple(keep),
            )

    @property
    def guard_pid(self) -> int:
        """Process id of the guard, which is also the id of the process group."""
        return self._guard.pid

    def running(self) -> bool:
        """Whether the child has not ended."""
        return self._guard.poll() is None

    def wait(self, seconds: float) -> int:
        """Wait for an end by itself and return the exit code; PartFailed after `seconds`."""
        try:
            code = self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise PartFailed(f"{self._name} did not end within {seconds:g} s.{self._tail()}") from None
        self._close_lifeline()
        return code

    def wait_until(self, answers: Callable[[], bool], seconds: float) -> None:
        """Block until `answers()`; PartFailed when the child ends first or `seconds` pass. Stops it on failure."""
        deadline = time.monotonic() + seconds
        # Whether it runs is asked after it answered: what answers at its port may be another program that was quicker.
        while not answers() or not self.running():
            if not self.running():
                self.stop()
                raise PartFailed(f"{self._name} ended with code {self._guard.returncode}.{self._tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise PartFailed(f"{self._name} did not answer within {seconds:g} s.{self._tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the child, gently and then by force, and wait for it. Harmless when it has ended already."""
        self._close_lifeline()
        try:
            self._guard.wait(self._plan.grace_seconds + 5)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop; killing its process group", self._name)
            os.killpg(self._guard.pid, 9)
            self._guard.wait()

    @property
    def _name(self) -> str:
        return Path(self._plan.command[0]).name

    def _close_lifeline(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def _tail(self) -> str:
        lines = self._plan.log_file.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        return f" The end of {self._plan.log_file}:\n" + "\n".join(f"    {line}" for line in lines)


class DirectoryLock:
    """Makes a directory the property of one part; the children inherit the lock and so hold it to their own end."""

    def __init__(self, directory: Path, *, seconds_max: float = LOCK_SECONDS_MAX) -> None:
        """Take the lock, waiting for a predecessor that is still stopping; DirectoryTaken after `seconds_max`."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + seconds_max
        while not self._taken():
            if time.monotonic() > deadline:
                holder = os.pread(self.descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(self.descriptor)
                raise DirectoryTaken(
                    f"{directory} is in use by process {holder or '(unknown)'}. Stop that one, or give this one "
                    "a directory of its own.",
                )
            time.sleep(POLL_SECONDS)
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the directory back; call it after the child has ended."""
        os.close(self.descriptor)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def free_port() -> int:
    """Return a TCP port that was free on loopback a moment ago; who binds it may still lose the race, though hardly ever.

    Drawn from below the range out of which the kernel gives each outgoing connection a port: whoever takes seconds to start
    would lose a port of that range to any connection that somebody opens meanwhile. Where nothing lies below it, from it.
    """
    first = _first_given_out()
    for _ in range(_DRAWS_MAX if first > _PORT_MIN else 0):
        port = _PORT_MIN + secrets.randbelow(first - _PORT_MIN)
        with suppress(OSError), socket.socket() as probe:
            probe.bind((LOOPBACK, port))
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _first_given_out() -> int:
    """The first port that the kernel gives to outgoing connections (ip(7)); 0 where it does not say."""
    try:
        return int(_GIVEN_OUT.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def demand_free(port: int, part: str) -> None:
    """Raise PortTaken, naming the port and the remedy, when something listens on loopback at `port`."""
    with socket.socket() as probe:
        # As the servers do: a connection that is only lingering after a close does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} on {LOOPBACK} is not free for the {part} ({error.strerror}). End the program that "
                "listens there, choose another port, or give none and let a free one be found.",
            ) from error

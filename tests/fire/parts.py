"""What can be killed: a command of `tenuto`, a real Kafka on its data folder, a Postgres that syncs what it commits.

Each runs behind the guard of `tenuto.embedded.child`, so none outlives the test; what is killed is the process itself, by
the signal that no process can catch.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep

from tenuto.embedded import EmbeddedPostgres
from tenuto.embedded.child import Child, Plan
from tenuto.settings import Settings
from tenuto.supervising import environment

from tests.kafka.apache_kafka import ApacheKafka

ENDED_SECONDS_MAX = 60.0
ROOT = Path(__file__).parents[2]
# The broker that was killed is expected by its controller for this long; only then may its next life take part.
QUICK_RETURN = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


class FireKafka(ApacheKafka):
    """One node that is let back in quickly after it was killed."""

    def _settings(self) -> Mapping[str, str]:
        return {**super()._settings(), **QUICK_RETURN}

    @property
    def pid(self) -> int:
        """The broker's own process id."""
        assert self._child is not None
        return child_of(self._child.guard_pid)

    def kill(self) -> None:
        """kill -9; what it wrote stays, what it held in memory is gone."""
        assert self._child is not None
        kill_and_wait(self.pid)
        self._child.wait(ENDED_SECONDS_MAX)
        self.stop()


class FirePostgres(EmbeddedPostgres):
    """A durable server whose first process can be killed; the next start recovers from the write-ahead log."""

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._child is not None
        return child_of(self._child.guard_pid)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._cluster

    def kill(self) -> None:
        """kill -9 the postmaster; its sessions end by themselves when they see it gone."""
        assert self._child is not None
        kill_and_wait(self.pid)
        self._child.wait(ENDED_SECONDS_MAX)
        self.stop()


class Part:
    """One command of `tenuto`, or any module of ours, as a process of its own; a new life is a new Part."""

    def __init__(self, name: str, settings: Settings, *arguments: str, module: str = "tenuto") -> None:
        self.name = name
        self.log = settings.home / "logs" / f"{name}.log"
        self.log.parent.mkdir(exist_ok=True)
        self._from = self.log.stat().st_size if self.log.exists() else 0
        paths = os.pathsep.join(str(path) for path in (ROOT, *sys.path) if path)
        told = {**environment(settings), "PYTHONPATH": paths}
        self._child = Child(Plan((sys.executable, "-m", module, *arguments), self.log, environment=told))

    @property
    def pid(self) -> int:
        """The command's own process id."""
        return child_of(self._child.guard_pid)

    @property
    def said(self) -> str:
        """What this life has said."""
        with self.log.open("rb") as stream:
            stream.seek(self._from)
            return stream.read().decode("utf-8", "replace")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.running()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        kill_and_wait(self.pid)
        self.ended()

    def ended(self) -> int:
        """Wait until it ends and return the exit code, 137 after a kill -9."""
        return self._child.wait(ENDED_SECONDS_MAX)

    def stop(self) -> None:
        """SIGTERM, and by force when that does not help."""
        self._child.stop()


def child_of(guard: int) -> int:
    """The process that a guard guards; waits for it while the guard is only starting."""
    deadline = monotonic() + ENDED_SECONDS_MAX
    while monotonic() < deadline:
        found = Path(f"/proc/{guard}/task/{guard}/children").read_text("ascii").split()
        if found and "guard.py" not in command_of(int(found[0])):  # between fork and exec it still looks like its guard
            return int(found[0])
        sleep(0.005)
    raise AssertionError(f"the guard {guard} has no child")


def command_of(pid: int) -> str:
    """Its command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "guard.py"


def kill_and_wait(pid: int) -> None:
    """kill -9 and wait until the kernel has buried it."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        deadline = monotonic() + ENDED_SECONDS_MAX
        while Path(f"/proc/{pid}").exists() and monotonic() < deadline:
            sleep(0.005)
    finally:
        os.close(handle)

"""A command that runs while the test watches what it says, and the processes of a home, as the kernel lists them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.end_to_end.conftest import SECONDS_MAX, environment

GONE_SECONDS_MAX = 120.0


class Running:
    """One command of `tenuto`, in a session of its own, with every line that it says on stderr."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tenuto", *arguments], env=environment(home), text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait_for(self, words: str) -> None:
        """Wait until it says this, or fail when it ends before."""
        with self._heard:
            found = self._heard.wait_for(lambda: words in self.said or self._process.poll() is not None, SECONDS_MAX)
        assert found, f"it did not say {words!r} but:\n{self.said}"
        assert words in self.said, f"it ended with {self._process.returncode} and said:\n{self.said}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end and return the exit code."""
        code = self._process.wait(SECONDS_MAX)
        self._listener.join(SECONDS_MAX)
        return code

    @property
    def said(self) -> str:
        """Everything so far."""
        return "".join(self.lines)

    def kill(self) -> None:
        """End it by force, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._listener.join(SECONDS_MAX)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        self._process.wait()
        with self._heard:
            self._heard.notify_all()


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[Running]:
    """Run a command for the length of the block."""
    process = Running(home, *arguments)
    try:
        yield process
    finally:
        process.kill()


def processes_of(home: Path) -> dict[int, str]:
    """Process ids, and command lines, of everything that was started for this home or works in it."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes()
                about = command + (folder / "environ").read_bytes() + os.fsencode((folder / "cwd").readlink())
            except OSError:  # it ended while we looked
                continue
            if os.fsencode(home) in about:
                found[int(folder.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return found


def demand_none_left(home: Path, *, besides: Path | None = None) -> None:
    """Everything of this home ends by itself; what is still there after a long while is an orphan.

    besides: programs that lie in this folder may go on.
    """
    deadline = monotonic() + GONE_SECONDS_MAX
    while left := [one for one in processes_of(home).values() if besides is None or str(besides) not in one]:
        assert monotonic() < deadline, f"these survived: {left}"
        sleep(0.05)

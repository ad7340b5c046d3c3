"""Processes that stand still: SIGSTOP is on its way when `kill` returns, and what it meets may answer once more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS_MAX = 30.0
POLL_SECONDS = 0.002
_STILL = frozenset("TtZX")  # stopped, stopped by a tracer, or ended: proc_pid_stat(5)


@contextmanager
def halted(*processes: int) -> Iterator[None]:
    """Let these processes stand still inside, every thread of each: the block begins when the last one has stopped."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        for process in processes:
            while not _stands(process):
                assert time.monotonic() < deadline, f"process {process} goes on after SIGSTOP"
                time.sleep(POLL_SECONDS)
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def group_of(leader: int) -> list[int]:
    """Return the processes of the group that `leader` leads, itself first."""
    members = []
    for folder in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError):
            if os.getpgid(process := int(folder.name)) == leader and process != leader:
                members.append(process)
    return [leader, *members]


def _stands(process: int) -> bool:
    return all(_state(thread) in _STILL for thread in Path(f"/proc/{process}/task").iterdir())


def _state(thread: Path) -> str:
    """Return the letter of a thread's state, which stands behind its name in brackets; X for one that has just ended."""
    try:
        return (thread / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"

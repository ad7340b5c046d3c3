"""Starting the tools that judge a pull request: a named binary, a given environment, a limit of time and of output.

A tool sees nothing of this process's environment (keys and tokens live there) and dies with its whole process group when
its time is up, so a file made to hang a parser costs seconds and no more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenuto.errors import TenutoError

OUTPUT_BYTES_MAX = 32 * 1024 * 1024
SAFE_PATH = os.defpath + ":/usr/local/bin"


class ToolMissing(TenutoError):
    """The tool is not on this machine; nothing was judged."""


class ToolTimedOut(TenutoError):
    """The tool did not end in its time and was killed; whether it had an effect is not known from here."""


class ToolOutputTooLarge(TenutoError):
    """The tool wrote more than OUTPUT_BYTES_MAX (32 MiB)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended: exit code and everything that it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    def complaint(self) -> str:
        """The last lines it wrote to stderr, for a sentence; at most 600 characters."""
        return self.stderr.decode("utf-8", errors="replace").strip()[-600:]


def run_tool(
    argv: Sequence[str],
    *,
    folder: Path,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
    attend: Callable[[int], None] | None = None,
) -> Ended:
    """Run `argv` in `folder` without standard input and return how it ended.

    The environment is given whole; without one it is PATH and a neutral locale. keep: descriptors that it inherits. attend:
    called with its process group once it is started, and what it raises ends the tool. Raises ToolMissing, ToolTimedOut
    (after killing the process group) or ToolOutputTooLarge.
    """
    env = {"PATH": SAFE_PATH, "LC_ALL": "C", "HOME": str(folder), **(environment or {})}
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            child = subprocess.Popen(
                argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
                pass_fds=keep,
            )  # fmt: skip
        except FileNotFoundError:
            raise ToolMissing(f"The program {argv[0]} is not on this machine.") from None
        _await(child, argv, seconds, attend)
        return Ended(child.returncode, _read(stdout.fileno(), argv), _read(stderr.fileno(), argv))


def _await(
    child: subprocess.Popen[bytes], argv: Sequence[str], seconds: float, attend: Callable[[int], None] | None
) -> None:
    try:
        if attend is not None:
            attend(child.pid)
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ToolTimedOut(f"{Path(argv[0]).name} did not end within {seconds:g} seconds and was killed.") from None
    finally:
        # Also on an interrupt: no grandchild of a judged pull request outlives the judgement.
        kill_group(child.pid)
        child.wait()


def kill_group(pid: int) -> None:
    """Kill a process group that we started; harmless when it is gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _read(descriptor: int, argv: Sequence[str]) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > OUTPUT_BYTES_MAX:
        raise ToolOutputTooLarge(f"{Path(argv[0]).name} wrote {size:,} bytes; at most {OUTPUT_BYTES_MAX:,} are read.")
    return os.pread(descriptor, size, 0)

"""Write points: every call by which a process leaves something behind, counted, and each can be made to fail in two forms.

Nothing of ours is replaced. The points lie at the border of the machine: `fsync`, `rename` and their like on files below
one folder, and what changes a SQLite file. A fault is "failed" (nothing of that write is there, or a file without its end) or
"failed, but persisted" (it is there and nobody was told). After it the process is dead, and whatever it still tries to
write in its `finally` blocks fails as well, until `revive`; or it lives and was told an error, and goes on.
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

Done = TypeVar("Done")
CHANGES = ("BEGIN;", "COMMIT", "DELETE", "INSERT", "UPDATE", "VACUUM")
RENAMES = ("link", "rename", "replace")
TORN_BYTES = 9
"""So much is missing at the end of a file that was written and did not reach the disk whole."""
OTHERS = ("mkdir", "rmdir", "unlink")


class Crash(BaseException):
    """The process ends here. Not an `Exception`: no clause of the product can take it for an outcome."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Which write fails, counted from 0; whether it happened nevertheless; whether the process dies or is told an error."""

    at: int
    persisted: bool
    dies: bool = True

    def __str__(self) -> str:
        """Say it in words, for the name of a test or a line of a trace."""
        what = "crash" if self.dies else "error"
        return f"{what} {'after' if self.persisted else 'at'} write {self.at}"


@dataclass
class Points:
    """All writes of one process since `arm`, by name, and where it was struck."""

    seen: list[str] = field(default_factory=list)
    struck: str | None = None
    dead: bool = False
    _fault: Fault | None = None

    def arm(self, fault: Fault | None) -> None:
        """Begin to count anew; `fault` strikes once."""
        self._fault, self.seen, self.struck, self.dead = fault, [], None, False

    def revive(self) -> None:
        """Another process takes over: its writes succeed."""
        self.arm(None)

    def revive_quietly(self) -> None:
        """The system takes back what the dead process held; what was counted stays."""
        self.dead, self._fault = False, None

    def through(
        self, name: str, do: Callable[[], Done], error: Callable[[], Exception], torn: Callable[[], object] | None = None
    ) -> Done:
        """Do what is written at this point, unless it is to fail; `error` is what the process is told, `torn` what is half done."""
        if self.dead:
            raise Crash(name)
        number, fault = len(self.seen), self._fault
        self.seen.append(name)
        if fault is None or fault.at != number:
            return do()
        if fault.persisted:
            done = do()
            if isinstance(done, io.IOBase):
                done.close()
        elif torn is not None:
            torn()
        self.struck, self.dead = f"{fault}: {name}", fault.dies
        raise Crash(self.struck) if fault.dies else error()


def input_output_error() -> OSError:
    """What a disk says that is full or broken."""
    return OSError(errno.EIO, "the disk does not answer")


def database_error() -> sqlite3.OperationalError:
    """What SQLite says then; it always says its number too."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


def faulty_connection(points: Points) -> type[sqlite3.Connection]:
    """Return a class of connections whose changes are write points."""

    class Connection(sqlite3.Connection):
        """A connection whose changes are write points; reading, beginning and rolling back are not."""

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql.startswith("PRAGMA synchronous"):
                sql = "PRAGMA synchronous = OFF"  # as with `flush`: the system lives on
            if not sql.lstrip().startswith(CHANGES):
                return super().execute(sql, *values)
            run = super().execute
            name = " ".join(sql.split()[:3] if not sql.startswith("COMMIT") else ["COMMIT"])
            return points.through(name, lambda: run(sql, *values), database_error)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            run = super().executemany
            return points.through(" ".join(sql.split()[:3]), lambda: run(sql, *values), database_error)

        def executescript(self, script: str) -> sqlite3.Cursor:
            run = super().executescript
            return points.through("make tables", lambda: run(script), database_error)

    return Connection


@contextmanager
def faulty_disk(points: Points, root: Path) -> Iterator[None]:
    """Count what happens to files below `root`, and to every SQLite database that is opened meanwhile."""
    folder = str(root.resolve()) + os.sep
    real_sync, real_connect, real_open = os.fsync, sqlite3.connect, io.open

    def ours(path: Any) -> str | None:
        name = os.path.abspath(os.fspath(path))
        return (name + os.sep).removeprefix(folder).rstrip(os.sep) or "." if (name + os.sep).startswith(folder) else None

    def sync(descriptor: int) -> None:
        name = ours(os.readlink(f"/proc/self/fd/{descriptor}"))
        if name is None:
            return real_sync(descriptor)
        is_file = os.path.isfile(f"/proc/self/fd/{descriptor}")
        half = (lambda: os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - TORN_BYTES))) if is_file else None
        # The flush itself is left out: a test has no power failure, and waiting for the disk is most of its time.
        return points.through(f"{'flush' if is_file else 'flush folder'} {name}", lambda: None, input_output_error, half)

    def renaming(real: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **more: Any) -> None:
            name = ours(target)
            if name is None:
                return real(source, target, **more)
            return points.through(f"rename to {name}", lambda: real(source, target, **more), input_output_error)

        return rename

    def changing(word: str, real: Callable[..., None]) -> Callable[..., None]:
        def change(path: Any, *rest: Any, **more: Any) -> None:
            name = None if isinstance(path, int) or more.get("dir_fd") is not None else ours(path)
            if name is None:
                return real(path, *rest, **more)
            return points.through(f"{word} {name}", lambda: real(path, *rest, **more), input_output_error)

        return change

    def opening(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        name = None if isinstance(path, int) or not set("wax") & set(mode) else ours(path)
        if name is None or name.endswith("lock"):  # in a lock file there is nothing
            return real_open(path, mode, *rest, **more)
        return points.through(f"open {name}", lambda: real_open(path, mode, *rest, **more), input_output_error)

    def connect(*places: Any, **more: Any) -> sqlite3.Connection:
        return real_connect(*places, **({"factory": faulty_connection(points)} | more))

    patches = {"fsync": sync}
    patches |= {name: renaming(getattr(os, name)) for name in RENAMES}
    patches |= {name: changing(name, getattr(os, name)) for name in OTHERS}
    with (
        mock.patch.multiple(os, **patches),
        mock.patch.object(sqlite3, "connect", connect),
        mock.patch.object(io, "open", opening),
    ):
        yield

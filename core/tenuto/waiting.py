"""What waits in the spools of a home, read from outside while their owners run.

No spool is changed and no owner is held up: one that is open is read through its write-ahead log, beside its owner; one
that nobody has open is read as the plain file that it is. At most SQLite's index of a log that a killed owner left is
made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .clock import from_micros
from .salvage import DAMAGED, TOLD

BUSY_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """One author's spool. events, bytes: without receipt, the oldest for `oldest_seconds`. messages: received and not
    done. refused: events that the ledger refused for good. error: why it cannot be read; then the rest says nothing.
    """

    author: str
    events: int = 0
    bytes: int = 0
    oldest_seconds: float | None = None
    messages: int = 0
    refused: int = 0
    error: str | None = None


def look_at_spools(folder: Path, now: datetime) -> Iterator[Waiting]:
    """Yield what waits in each spool of a folder, by file name; nothing when there is no such folder."""
    for path in sorted(folder.glob("*.db")):
        yield look_at_spool(path, now)


def put_aside(folder: Path) -> dict[str, bool]:
    """Return the damaged spools that lie put aside in a folder (`salvage`), and whether their loss is on record."""
    found = {path.name: state for state in (DAMAGED, TOLD) for path in folder.glob(f"*.{state}-*")}
    return {name: state == TOLD for name, state in sorted(found.items()) if name.rpartition("-")[2].isdecimal()}


def look_at_spool(path: Path, now: datetime) -> Waiting:
    """Return what waits in one spool. A spool that cannot be read is told as such; it is not repaired."""
    try:
        with closing(_opened(path)) as spool:
            owner = spool.execute("SELECT author FROM owner").fetchone()
            totals = {name: (rows, size) for name, rows, size in spool.execute("SELECT name, rows, bytes FROM total")}
            oldest = spool.execute("SELECT at FROM outbox ORDER BY number LIMIT 1").fetchone()
            (refused,) = spool.execute("SELECT count(*) FROM refused").fetchone()
    except sqlite3.Error as error:
        return Waiting(path.stem, error=f"{path} cannot be read: {error}")
    events, size = totals.get("outbox", (0, 0))
    age = None if oldest is None else max(0.0, (now - from_micros(oldest[0])).total_seconds())
    author = path.stem if owner is None else owner[0]
    return Waiting(author, events, size, age, totals.get("message", (0, 0))[0], refused)


def _opened(path: Path) -> sqlite3.Connection:
    # Without its log beside it nobody has the file open; promising so keeps SQLite from creating one in our name.
    in_use = path.with_name(path.name + "-wal").exists()
    mode = "mode=ro" if in_use else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_SECONDS_MAX)

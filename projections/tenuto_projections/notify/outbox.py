"""What is to be told and what was: one SQLite file of the notifier's own, so that a crash forgets nothing and repeats little.

| crash | left behind | in the next life |
| --- | --- | --- |
| before `take` commits | nothing | the same events give the same notices, under the same ids |
| before the receiver has it | a delivery that waits | sent |
| after that, before `sent` commits | a delivery that waits | sent again, under the same id: the receiver can tell |
| after `sent` | a delivery that is done | nothing |
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from tenuto.clock import EPOCH, from_micros, micros
from tenuto.errors import NotConfigured

from ..siem.cursor import lock
from .notices import Notice

_SCHEMA = """
CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notice (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL, urgent INTEGER NOT NULL,
    state TEXT NOT NULL, out_at INTEGER, taken_at INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS notice_state ON notice (state, number);
CREATE INDEX IF NOT EXISTS notice_out ON notice (person, urgent, out_at);
CREATE TABLE IF NOT EXISTS delivery (
    notice TEXT NOT NULL, channel TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (notice, channel)
);
CREATE INDEX IF NOT EXISTS delivery_waiting ON delivery (channel, state);
CREATE TABLE IF NOT EXISTS channel (
    name TEXT PRIMARY KEY, failures INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
    last_sent INTEGER
);
"""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the ledger was read, and which history it was: root over the first `size` events, hex."""

    origin: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel is doing. failures: in a row. next_try: not before then. error: of the last failure."""

    failures: int = 0
    next_try: datetime = EPOCH
    error: str = ""
    last_sent: datetime | None = None


class Outbox:
    """The file, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open or create it; raises Busy while another process has it, NotConfigured when it cannot be used."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock(folder / "outbox.lock", f"the outbox in {folder}")
            self._file = sqlite3.connect(folder / "outbox.sqlite", isolation_level=None)
            (folder / "outbox.sqlite").chmod(0o600)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(_SCHEMA)
        except (OSError, sqlite3.DatabaseError) as error:
            raise NotConfigured(f"The outbox in {folder} cannot be used: {error}.") from error

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()
        self._lock.close()

    def place(self) -> Place | None:
        """Return how far it was read, None before the first time."""
        row = self._file.execute("SELECT origin, size, root FROM place").fetchone()
        return None if row is None else Place(*row)

    def take(self, place: Place, notices: Iterable[Notice], now: datetime) -> None:
        """Keep notices, each once by its id, and the place up to which they are complete: both or neither."""
        with self._transaction():
            for one in notices:
                self._insert(one, "new", now)
            self._file.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?)", (place.origin, place.size, place.root))

    def undecided(self) -> list[tuple[Notice, bool]]:
        """Return what was neither let out nor dropped, oldest first, and whether it was held back before."""
        rows = self._file.execute("SELECT body, state FROM notice WHERE state IN ('new', 'held') ORDER BY number")
        return [(_notice(body), state == "held") for body, state in rows.fetchall()]

    def count_out(self, person: str, since: datetime, *, urgent: bool) -> int:
        """Return how many were let out to this person after `since`, urgent ones or the others."""
        query = "SELECT count(*) FROM notice WHERE person = ? AND urgent = ? AND out_at > ?"
        row = self._file.execute(query, (person, urgent, micros(since))).fetchone()
        return int(row[0])

    def release(self, notice: Notice, channels: Sequence[str], now: datetime) -> None:
        """Let a notice out to these channels."""
        with self._transaction():
            self._file.execute("UPDATE notice SET state = 'out', out_at = ? WHERE id = ?", (micros(now), notice.id))
            self._queue(notice, channels)

    def gather(self, digest: Notice, gathered: Sequence[Notice], channels: Sequence[str], now: datetime) -> None:
        """Let a digest out in the place of those that it gathers; after a crash it is this very digest that goes on."""
        with self._transaction():
            self._insert(digest, "out", now)
            self._file.execute("UPDATE notice SET out_at = ? WHERE id = ?", (micros(now), digest.id))
            self._mark("gathered", gathered)
            self._queue(digest, channels)

    def hold(self, notices: Iterable[Notice]) -> None:
        """Keep these back until the hour has room."""
        with self._transaction():
            self._mark("held", notices)

    def drop(self, notices: Iterable[Notice]) -> None:
        """These are not worth telling any more."""
        with self._transaction():
            self._mark("over", notices)

    def waiting(self, channel: str, limit: int) -> list[Notice]:
        """Return what waits for a channel, oldest first."""
        rows = self._file.execute(
            "SELECT n.body FROM delivery d JOIN notice n ON n.id = d.notice WHERE d.channel = ? AND d.state = 'waiting'"
            " ORDER BY n.number LIMIT ?", (channel, limit),
        )  # fmt: skip
        return [_notice(row[0]) for row in rows.fetchall()]

    def end(self, notice: Notice, channel: str, how: str, *, error: str = "", now: datetime | None = None) -> None:
        """A delivery is over: sent, refused, or over because it is of no use any more. `now`: when the channel took it."""
        with self._transaction():
            self._file.execute(
                "UPDATE delivery SET state = ?, error = ? WHERE notice = ? AND channel = ?", (how, error, notice.id, channel)
            )
            if now is not None:
                self._file.execute("INSERT OR REPLACE INTO channel VALUES (?, 0, 0, '', ?)", (channel, micros(now)))

    def fail(self, channel: str, failures: int, next_try: datetime, error: str) -> None:
        """The channel did not take anything; the next try is not before `next_try`."""
        self._file.execute(
            "INSERT INTO channel (name, failures, next_try, error) VALUES (?, ?, ?, ?) ON CONFLICT (name)"
            " DO UPDATE SET failures = excluded.failures, next_try = excluded.next_try, error = excluded.error",
            (channel, failures, micros(next_try), error),
        )

    def channel(self, name: str) -> ChannelState:
        """Return how a channel is doing."""
        row = self._file.execute("SELECT failures, next_try, error, last_sent FROM channel WHERE name = ?", (name,)).fetchone()
        if row is None:
            return ChannelState()
        return ChannelState(row[0], from_micros(row[1]), row[2], None if row[3] is None else from_micros(row[3]))

    def counts(self, channel: str) -> dict[str, int]:
        """Return how many deliveries of a channel stand in each state."""
        rows = self._file.execute("SELECT state, count(*) FROM delivery WHERE channel = ? GROUP BY state", (channel,))
        return dict(rows.fetchall())

    def held(self) -> int:
        """Return how many notices are held back."""
        row = self._file.execute("SELECT count(*) FROM notice WHERE state = 'held'").fetchone()
        return int(row[0])

    def forget(self, before: datetime) -> None:
        """Forget what was taken in before this moment and is not waiting for anything."""
        with self._transaction():
            self._file.execute(
                "DELETE FROM notice WHERE taken_at < ? AND state NOT IN ('new', 'held') AND id NOT IN"
                " (SELECT notice FROM delivery WHERE state = 'waiting')", (micros(before),),
            )  # fmt: skip
            self._file.execute("DELETE FROM delivery WHERE notice NOT IN (SELECT id FROM notice)")

    def _insert(self, notice: Notice, state: str, now: datetime) -> None:
        self._file.execute(
            "INSERT OR IGNORE INTO notice (id, person, urgent, state, taken_at, body) VALUES (?, ?, ?, ?, ?, ?)",
            (notice.id, notice.person, notice.urgent, state, micros(now), msgspec.json.encode(notice)),
        )

    def _mark(self, state: str, notices: Iterable[Notice]) -> None:
        self._file.executemany("UPDATE notice SET state = ? WHERE id = ?", [(state, one.id) for one in notices])

    def _queue(self, notice: Notice, channels: Sequence[str]) -> None:
        rows = [(notice.id, channel) for channel in channels]
        self._file.executemany("INSERT OR IGNORE INTO delivery (notice, channel, state) VALUES (?, ?, 'waiting')", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")


def _notice(body: Any) -> Notice:
    return msgspec.json.decode(body, type=Notice)

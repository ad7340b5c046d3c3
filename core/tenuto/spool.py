"""What an author's process must not lose: events without receipt, and messages received but not done.

One SQLite file per author, readable by its owner only, and payloads lie in it encrypted. An event is in here,
durably, before the bus sees it, and leaves when the ledger's receipt was verified. The author's chain stands here as
well, moved in the same transaction as the event that moves it: wherever a process is interrupted, it cannot sign two
events for one place.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from .errors import Busy, NotConfigured
from .ledger import SessionHead

SPOOL_BYTES_MAX = 256 * 1024 * 1024
REFUSED_KEPT_MAX = 10_000
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE owner (author TEXT NOT NULL, origin TEXT NOT NULL, root TEXT NOT NULL);
CREATE TABLE chain (session BLOB NOT NULL, seq INTEGER NOT NULL, header_hash TEXT NOT NULL);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session BLOB NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL UNIQUE,
    sha256 BLOB NOT NULL, at INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE INDEX outbox_sha256 ON outbox (sha256);
CREATE TABLE refused (
    number INTEGER PRIMARY KEY, event BLOB NOT NULL UNIQUE, sha256 BLOB NOT NULL, reason TEXT NOT NULL,
    position INTEGER NOT NULL
);
CREATE TABLE inbox (
    identity TEXT NOT NULL, next_offset INTEGER NOT NULL, next_position INTEGER NOT NULL,
    tree_size INTEGER NOT NULL, root BLOB NOT NULL
);
INSERT INTO inbox VALUES ('', 0, 0, 0, x'');
CREATE TABLE key_news (position INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE message (position INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE total (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
"""
_TOTALS = """
INSERT INTO total VALUES ('{0}', 0, 0);
CREATE TRIGGER {0}_in AFTER INSERT ON {0} BEGIN
    UPDATE total SET rows = rows + 1, bytes = bytes + length(new.record) WHERE name = '{0}';
END;
CREATE TRIGGER {0}_out AFTER DELETE ON {0} BEGIN
    UPDATE total SET rows = rows - 1, bytes = bytes - length(old.record) WHERE name = '{0}';
END;
"""


class SpoolDamaged(NotConfigured):
    """The file is no database any more, or one with pages that do not fit together."""


class SpoolFull(Busy):
    """There is no room for another record of `size` bytes until receipts come in."""

    def __init__(self, sentence: str, size: int) -> None:
        """`size` is that of the record which does not fit, in bytes."""
        super().__init__(sentence)
        self.size = size


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event on its way out. `number` counts up for ever; `at` is in microseconds; `sha256` is over `record`."""

    session: UUID
    seq: int
    event: UUID
    sha256: bytes
    at: int
    record: bytes
    header_hash: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class InboxState:
    """How far this author's inbox was read. identity, next_offset: where on the bus. next_position: the first ledger
    position not seen yet. tree_size, root: the largest checkpoint seen.
    """

    identity: str = ""
    next_offset: int = 0
    next_position: int = 0
    tree_size: int = 0
    root: bytes = b""


class Spool:
    """The file. Any thread may call; a second process, or a second spool on the same file, is turned away."""

    def __init__(self, path: Path, *, bytes_max: int = SPOOL_BYTES_MAX) -> None:
        """Open or create the file, mode 0600. `bytes_max` limits the records waiting in either direction.

        Raises NotConfigured when another process has it open or it is no spool of this version.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path, self.bytes_max = path, bytes_max
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._ownership = take_ownership(path)
        try:
            self._connection = connect(path)
        except BaseException:
            os.close(self._ownership)
            raise
        self._open, self._inside = True, False

    def claim(self, author: str, origin: str, root: str) -> None:
        """Make this the spool of `author` for one log, or confirm it; raises NotConfigured when it is another's."""
        with self._transaction() as sql:
            found = sql.execute("SELECT author, origin, root FROM owner").fetchone()
            if found is None:
                sql.execute("INSERT INTO owner VALUES (?, ?, ?)", (author, origin, root))
            elif found != (author, origin, root):
                sentence = f"The spool {self.path} is that of {found[0]} for the log {found[1]}, root {found[2][:8]}."
                raise NotConfigured(
                    f"{sentence} Move it away; {self.waiting()[0]} events in it never got their receipt."
                )

    def chain(self, session: UUID) -> SessionHead:
        """Return the last event spooled of this session; before the first, the head of an empty session."""
        with self._lock:
            row = self._connection.execute("SELECT session, seq, header_hash FROM chain").fetchone()
        return SessionHead(row[1], row[2]) if row is not None and row[0] == session.bytes else SessionHead()

    def append(self, outgoing: Outgoing) -> None:
        """Keep an event and move the chain; both are on disk on return, or neither when this raises.

        Raises SpoolFull when it would exceed `bytes_max`; an empty spool takes any single record.
        """
        with self._transaction() as sql:
            rows, used = self.waiting()
            if rows and used + len(outgoing.record) > self.bytes_max:
                sentence = f"The spool {self.path} is full: {rows:,} events of {used:,} bytes wait for their receipt."
                raise SpoolFull(sentence, len(outgoing.record))
            sql.execute(
                "INSERT INTO outbox (session, seq, event, sha256, at, record) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    outgoing.session.bytes,
                    outgoing.seq,
                    outgoing.event.bytes,
                    outgoing.sha256,
                    outgoing.at,
                    outgoing.record,
                ),
            )
            sql.execute("DELETE FROM chain")
            sql.execute(
                "INSERT INTO chain VALUES (?, ?, ?)", (outgoing.session.bytes, outgoing.seq, outgoing.header_hash)
            )

    def wait_for_room(self, size: int, seconds: float) -> bool:
        """Block until a record of `size` bytes would fit, at most `seconds`; return whether it would."""
        with self._room:
            return self._room.wait_for(lambda: self._fits(size), seconds)

    def waiting(self) -> tuple[int, int]:
        """Number and bytes of the events without receipt."""
        return self._total("outbox")

    def oldest(self) -> tuple[int, int] | None:
        """Return number and time (microseconds since 1970) of the oldest event without receipt; None without any."""
        with self._lock:
            row: tuple[int, int] | None
            row = self._connection.execute("SELECT number, at FROM outbox ORDER BY number LIMIT 1").fetchone()
        return row

    def pending(self, after: int, limit: int) -> list[Outgoing]:
        """Return up to `limit` events without receipt, in order, from the first `number` above `after`."""
        query = (
            "SELECT session, seq, event, sha256, at, record, number FROM outbox "
            "WHERE number > ? ORDER BY number LIMIT ?"
        )
        with self._lock:
            rows = self._connection.execute(query, (after, limit)).fetchall()
        return [
            Outgoing(UUID(bytes=session), seq, UUID(bytes=event), sha256, at, record, "", number)
            for session, seq, event, sha256, at, record, number in rows
        ]

    def record_of(self, event: UUID) -> bytes | None:
        """Return the record of an event without receipt; None for any other."""
        with self._lock:
            row = self._connection.execute("SELECT record FROM outbox WHERE event = ?", (event.bytes,)).fetchone()
        return None if row is None else bytes(row[0])

    def remove(self, event: UUID) -> None:
        """The ledger has this event: a verified receipt says so."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM outbox WHERE event = ?", (event.bytes,))
            sql.execute("DELETE FROM refused WHERE event = ?", (event.bytes,))
            self._room.notify_all()

    def refuse(self, sha256: bytes, reason: str, position: int) -> UUID | None:
        """The ledger refused the record with this hash, for good; return whose record it was, None if not ours.

        It is not sent again. Its hash and the reason are kept, at most REFUSED_KEPT_MAX of them.
        """
        with self._transaction() as sql:
            row = sql.execute("DELETE FROM outbox WHERE sha256 = ? RETURNING event", (sha256,)).fetchone()
            if row is None:
                return None
            values = (row[0], sha256, reason, position)
            sql.execute("INSERT OR REPLACE INTO refused (event, sha256, reason, position) VALUES (?, ?, ?, ?)", values)
            sql.execute(
                "DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?", (REFUSED_KEPT_MAX,)
            )
            self._room.notify_all()
            return UUID(bytes=row[0])

    def refusal_of(self, event: UUID) -> tuple[str, int] | None:
        """Return reason and position of the ledger's refusal of this event, if it refused it."""
        with self._lock:
            row = self._connection.execute(
                "SELECT reason, position FROM refused WHERE event = ?", (event.bytes,)
            ).fetchone()
        return None if row is None else (row[0], row[1])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside one: all durable at the end, or none."""
        with self._transaction():
            yield

    def inbox(self) -> InboxState:
        """Return how far the inbox was read."""
        query = "SELECT identity, next_offset, next_position, tree_size, root FROM inbox"
        with self._lock:
            return InboxState(*self._connection.execute(query).fetchone())

    def save_inbox(self, state: InboxState) -> None:
        """Remember how far the inbox was read."""
        query = "UPDATE inbox SET identity = ?, next_offset = ?, next_position = ?, tree_size = ?, root = ?"
        with self._transaction() as sql:
            sql.execute(query, (state.identity, state.next_offset, state.next_position, state.tree_size, state.root))

    def add_key_news(self, position: int, state: bytes) -> None:
        """Keep a verified `key.*` event: the ring is folded from these when the process starts again."""
        with self._transaction() as sql:
            sql.execute("INSERT INTO key_news VALUES (?, ?)", (position, state))

    def key_news(self) -> Sequence[tuple[int, bytes]]:
        """Return the kept `key.*` events in order: position and `header || signature`."""
        with self._lock:
            return self._connection.execute("SELECT position, state FROM key_news ORDER BY position").fetchall()

    def add_message(self, position: int, record: bytes) -> None:
        """Keep a verified message until it is done."""
        with self._transaction() as sql:
            sql.execute("INSERT INTO message VALUES (?, ?)", (position, record))

    def oldest_message(self) -> bytes | None:
        """Return the oldest message that is not done; None if there is none."""
        with self._lock:
            row = self._connection.execute("SELECT record FROM message ORDER BY position LIMIT 1").fetchone()
        return None if row is None else bytes(row[0])

    def messages(self) -> tuple[int, int]:
        """Number and bytes of the messages not done."""
        return self._total("message")

    def remove_message(self, position: int) -> None:
        """The message at this position is done."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM message WHERE position = ?", (position,))

    def close(self) -> None:
        """Close the file and let the next process have it. Harmless when repeated."""
        with self._lock:
            if self._open:
                self._open = False
                self._connection.close()
                os.close(self._ownership)

    def _fits(self, size: int) -> bool:
        rows, used = self.waiting()
        return not rows or used + size <= self.bytes_max

    def _total(self, name: str) -> tuple[int, int]:
        with self._lock:
            rows, used = self._connection.execute("SELECT rows, bytes FROM total WHERE name = ?", (name,)).fetchone()
        return rows, used

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._inside:  # part of the transaction that this thread has open
                yield self._connection
                return
            self._roll_back()  # what a signal left open between two lines of an earlier call
            try:
                self._inside = True
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                # The commit point. A crash before this line leaves no trace of the change, one after it all of it.
                self._connection.execute("COMMIT")
            finally:
                self._inside = False
                self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def take_ownership(path: Path) -> int:
    """Lock the file beside the spool; the system lets go of it when the process ends, however it ends."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        sentence = f"The spool {path} is in use by another recorder: one process at a time writes for an author."
        raise NotConfigured(f"{sentence} Stop the other one, or give this one an author of its own.") from None
    return lock


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database; raises SpoolDamaged, or NotConfigured when it is of another release."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # FULL: a commit waits until the disk has it. That is what makes "recorded" a promise.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict.replace("\n", " "))
        if version == 0:
            totals = _TOTALS.format("outbox") + _TOTALS.format("message")
            connection.executescript(f"BEGIN;{_SCHEMA}{totals}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
    except sqlite3.OperationalError as error:  # the disk, a lock, a permission: nothing is wrong with what is in it
        connection.close()
        raise NotConfigured(f"The spool {path} cannot be opened: {error}. Nothing in it was touched.") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise SpoolDamaged(f"The spool {path} cannot be read: {error}. Move it away and tell its owner.") from error
    if version not in (0, SCHEMA_VERSION):
        connection.close()
        raise NotConfigured(f"The spool {path} has layout {version}; this release reads {SCHEMA_VERSION}.")
    return connection

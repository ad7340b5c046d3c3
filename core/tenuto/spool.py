"""What an author's process must not lose: events without receipt, and messages received but not done.

One SQLite file per author, readable by its owner only, and payloads lie in it encrypted. An event is in here,
durably, before the bus sees it, and leaves when the ledger's receipt was verified. The author's chain stands here as
well, moved in the same transaction as the event that moves it: wherever a process is interrupted, it cannot sign two
events for one place.
"""

from __future__ import annotations

import logging
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
from .spoolfile import connect, identity, lock_file, take_ownership, write_again

SPOOL_BYTES_MAX = 256 * 1024 * 1024
DISK_SECONDS = 2.0
"""So long after a disk was found full it is tried again: nobody tells when there is room on it."""
REFUSED_KEPT_MAX = 10_000
SEEN, OPEN, TOLD = "seen", "open", "told"
log = logging.getLogger(__name__)


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
        self._open, self._inside, self._disk_full, self._file = True, False, False, identity(path)
        self._writing: bytes | None = None  # the session appended last: most receipts are for that one

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

    def append(self, *outgoing: Outgoing) -> None:
        """Keep these events, of one session and in order, and move the chain; all on disk on return, or none when this raises.

        Raises SpoolFull when they would exceed `bytes_max`, though an empty spool takes them whatever their size, and when the
        disk is full; that can meet every other method that writes as well. NotConfigured when the file was deleted and
        cannot be put back, or another lies in its place: what is no longer on disk is no promise.
        """
        rows = [(one.session.bytes, one.seq, one.event.bytes, one.sha256, one.at, one.record) for one in outgoing]
        last = outgoing[-1]
        with self._lock:
            if not self._inside and identity(self.path) != self._file:
                self._put_back()
        with self._transaction() as sql:
            kept, used = self.waiting()
            size = sum(len(one.record) for one in outgoing)
            if kept and used + size > self.bytes_max:
                sentence = f"The spool {self.path} is full: {kept:,} events of {used:,} bytes wait for their receipt."
                raise SpoolFull(sentence, size)
            sql.executemany(
                "INSERT INTO outbox (session, seq, event, sha256, at, record) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            if outgoing[0].seq == 0:
                sql.execute("INSERT OR IGNORE INTO written VALUES (?)", (last.session.bytes,))
            sql.execute("DELETE FROM chain")
            sql.execute("INSERT INTO chain VALUES (?, ?, ?)", (last.session.bytes, last.seq, last.header_hash))
        self._writing = last.session.bytes

    def wait_for_room(self, size: int, seconds: float) -> bool:
        """Block until a record of `size` bytes would fit, at most `seconds`; return whether it would."""
        with self._room:
            if self._disk_full:
                self._room.wait_for(lambda: not self._disk_full, min(seconds, DISK_SECONDS))
                return True
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

    def last_number(self) -> int:
        """Return the highest `number` ever given; 0 before the first."""
        with self._lock:
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        return 0 if row is None else int(row[0])

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

    def note_elsewhere(self, session: UUID, seq: int, *, closed: bool) -> None:
        """The ledger has an event of this author; remember its session unless that one went through this file."""
        query = (
            "INSERT INTO elsewhere VALUES (?, ?, ?, ?) ON CONFLICT (session) "
            "DO UPDATE SET seq = max(seq, excluded.seq), closed = max(closed, excluded.closed)"
        )
        if session.bytes == self._writing:
            return
        with self._transaction() as sql:
            if sql.execute("SELECT 1 FROM written WHERE session = ?", (session.bytes,)).fetchone() is None:
                sql.execute(query, (session.bytes, seq, closed, SEEN))

    def wrote(self, session: UUID) -> bool:
        """Whether this session went through this file."""
        with self._lock:
            found = self._connection.execute("SELECT 1 FROM written WHERE session = ?", (session.bytes,)).fetchone()
        return found is not None

    def judge_elsewhere(self) -> None:
        """Everything of earlier lives has been seen: sessions from elsewhere without a close are open now."""
        with self._transaction() as sql:
            sql.execute("UPDATE elsewhere SET stage = ? WHERE stage = ? AND NOT closed", (OPEN, SEEN))

    def told(self, session: UUID) -> None:
        """What became of this session is on record."""
        query = "INSERT INTO elsewhere VALUES (?, 0, 0, ?) ON CONFLICT (session) DO UPDATE SET stage = excluded.stage"
        with self._transaction() as sql:
            sql.execute(query, (session.bytes, TOLD))

    def unaccounted(self) -> list[tuple[UUID, int]]:
        """Return session and last recorded `seq` of the open ones that nothing on record tells of, newest first."""
        query = "SELECT session, seq FROM elsewhere WHERE stage = ? AND NOT closed ORDER BY session DESC"
        with self._lock:
            rows = self._connection.execute(query, (OPEN,)).fetchall()
        return [(UUID(bytes=session), seq) for session, seq in rows]

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

    def _put_back(self) -> None:
        """Write the file again from what is still open of it. Whoever deleted it took nothing; the next crash would have."""
        if identity(self.path) is not None:
            raise NotConfigured(f"Another file took the place of the spool {self.path} while it was in use. Move it away.")
        log.error("The spool %s was deleted under its owner. It is put back; find out who deletes it.", self.path)
        try:
            write_again(self._connection, self.path)
            self._connection.close()
            self._connection = connect(self.path)
            if identity(lock_file(self.path)) is None:
                ownership = take_ownership(self.path)
                os.close(self._ownership)
                self._ownership = ownership
        except (sqlite3.Error, OSError) as error:
            raise NotConfigured(f"The spool {self.path} was deleted and cannot be put back: {error}.") from error
        self._file = identity(self.path)

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
                self._disk_full = False
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                self._disk_full = True
                sentence = f"The disk of {self.path.parent} is full: nothing more can be written to the spool {self.path}."
                raise SpoolFull(sentence, 0) from error
            finally:
                self._inside = False
                self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

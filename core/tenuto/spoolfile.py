"""The file of a spool: whose it is, how it is laid out, and how it is put back when somebody deletes it under its owner."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from .errors import NotConfigured
from .log.durable import flush_folder

SCHEMA_VERSION = 2

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
# Which sessions went through this file, and what the ledger has of this author's others. A file of layout 1 knew neither.
_SESSIONS = """
CREATE TABLE written (session BLOB PRIMARY KEY) WITHOUT ROWID;
INSERT INTO written SELECT session FROM outbox UNION SELECT session FROM chain;
CREATE TABLE elsewhere (
    session BLOB PRIMARY KEY, seq INTEGER NOT NULL, closed INTEGER NOT NULL, stage TEXT NOT NULL
) WITHOUT ROWID;
"""


class SpoolDamaged(NotConfigured):
    """The file is no database any more, or one with pages that do not fit together."""


def lock_file(path: Path) -> Path:
    """Return the file beside a spool whose lock says that somebody has it open."""
    return path.with_name(path.name + ".lock")


def take_ownership(path: Path) -> int:
    """Lock the file beside the spool; the system lets go of it when the process ends, however it ends."""
    lock = os.open(lock_file(path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        sentence = f"The spool {path} is in use by another recorder: one process at a time writes for an author."
        raise NotConfigured(f"{sentence} Stop the other one, or give this one an author of its own.") from None
    return lock


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file lies at this path, or None when there is none: a deleted file goes on living for who has it open."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def write_again(connection: sqlite3.Connection, path: Path) -> None:
    """Put everything that `connection` still holds of a deleted file back to its place; on return it is durable there.

    The connection is of no use afterwards but to be closed. Raises sqlite3.Error or OSError where the disk is gone.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    again = path.with_name(path.name + ".again")
    again.unlink(missing_ok=True)
    handle = os.open(again, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(again),))
        os.fsync(handle)
    finally:
        os.close(handle)
    # What was left of the old file's log goes first: beside the new one it would be taken for that one's.
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    again.replace(path)
    flush_folder(path.parent)


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
            connection.executescript(f"BEGIN;{_SCHEMA}{totals}{_SESSIONS}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        elif version == 1:
            connection.executescript(f"BEGIN;{_SESSIONS}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
    except sqlite3.OperationalError as error:  # the disk, a lock, a permission: nothing is wrong with what is in it
        connection.close()
        raise NotConfigured(f"The spool {path} cannot be opened: {error}. Nothing in it was touched.") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise SpoolDamaged(f"The spool {path} cannot be read: {error}. Move it away and tell its owner.") from error
    if version not in (0, 1, SCHEMA_VERSION):
        connection.close()
        raise NotConfigured(f"The spool {path} has layout {version}; this release reads {SCHEMA_VERSION}.")
    return connection

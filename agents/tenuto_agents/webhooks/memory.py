"""What the reception must not forget: which deliveries were taken, and which run answers which pull request.

The delivery's id is not signed, only the body is; so a body counts as taken under any id, and an id under any body. A
delivery is claimed before it is acted on and marked as done after: what a crash left in between may be delivered again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .signature import WebhookRefused

BUSY_SECONDS = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS delivery (id TEXT PRIMARY KEY, body TEXT NOT NULL UNIQUE, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS submission (
    run TEXT PRIMARY KEY, repository TEXT NOT NULL, number INTEGER NOT NULL, head TEXT NOT NULL, answered INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run and the pull request it reviews, at the commit that it reviews."""

    run: str
    repository: str
    number: int
    head: str


class Memory:
    """The reception's file. Each call is one transaction, durable on return; processes and threads may share the file."""

    def __init__(self, path: Path) -> None:
        """Make the file when it is missing; it holds no secret and no text of a pull request."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.executescript(_TABLES)

    def claim(self, delivery: str, body: str) -> None:
        """Take a delivery; raises WebhookRefused (409) for one that was taken and finished, or differs from its first copy."""
        with self._open() as connection:
            found = connection.execute("SELECT id, body, done FROM delivery WHERE id = ? OR body = ?", (delivery, body)).fetchall()
            if not found:
                connection.execute("INSERT INTO delivery (id, body) VALUES (?, ?)", (delivery, body))
            elif len(found) > 1 or found[0] != (delivery, body, 0):
                raise WebhookRefused("This delivery was taken before; it is not taken again.", 409)

    def done(self, delivery: str, submitted: Submitted | None = None) -> None:
        """Finish a delivery, with the run that it became."""
        with self._open() as connection:
            connection.execute("UPDATE delivery SET done = 1 WHERE id = ?", (delivery,))
            if submitted is not None:
                row = (submitted.run, submitted.repository, submitted.number, submitted.head)
                connection.execute("INSERT INTO submission (run, repository, number, head) VALUES (?, ?, ?, ?)", row)

    def unanswered(self, run: str) -> Submitted | None:
        """Return what a run reviews if its answer was not given yet."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT run, repository, number, head FROM submission WHERE run = ? AND answered = 0", (run,)
            ).fetchone()
        return None if row is None else Submitted(*row)

    def answered(self, run: str) -> None:
        """Note that a run's answer was given, or can never be."""
        with self._open() as connection:
            connection.execute("UPDATE submission SET answered = 1 WHERE run = ?", (run,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE")) as connection, connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection

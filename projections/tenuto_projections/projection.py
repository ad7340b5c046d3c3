"""The contract of a projection, and the only loop that runs one.

Verified events go in, page by page, in ledger order; tables come out, made for people to read. A read model can always be
thrown away: rebuilding it is the ordinary loop from the first event on, with the same code.

Exactly once: the rows that a page causes and the positions of all projections (`Tracking` rows of `eventsourcing`) commit
in one transaction, under one lock, so that two projectors take turns and neither repeats what the other did.

What the loop writes is only as good as the checkpoint over it. When verification fails, the failure itself is written
down for people to see, and the next start rebuilds everything, since what was applied after the last comparison with a
signed root may have been forged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import psycopg
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from psycopg.rows import DictRow, dict_row
from sqlalchemy import Connection, Engine, MetaData, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from tenuto.clock import Clock
from tenuto.errors import Busy
from tenuto.following import Follower
from tenuto.verification import VerificationFailed, Verified

from .integrity import last_seen, note_failure, note_walk, verification_failed
from .tables import SCHEMA
from .walked import Walked

TRACKING_TABLE = "tracking"
NOTE_AGAIN_AFTER = timedelta(seconds=5)
"""How often an unchanged walk is written down, so that people see that the projector is alive."""
_ROWS_PER_FETCH = 1000
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('tenuto.read_model', 0))")


class Rewound(Busy):
    """A projection stands before the page at hand: it was reset, or a page failed to commit. Start from the first event."""


class Projection(Protocol):
    """One read model. Every event, from the first on, is handed to `fold` or to `apply`, once and in order."""

    @property
    def name(self) -> str:
        """Name and version, such as `runs/1`; another version has other tables and starts from the first event."""
        ...

    @property
    def tables(self) -> MetaData:
        """The tables that this projection alone writes."""
        ...

    def fold(self, page: Sequence[Verified]) -> None:
        """Take events whose effects are in the tables already, for what is kept in memory only."""
        ...

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Take the next events and write what they cause; the caller owns the transaction.

        The result may not depend on where pages begin and end. After an exception the projection must not be used again.
        """
        ...


class Positions:
    """How many events each projection has seen, kept by the tracking recorder of `eventsourcing`.

    Only the recorder's statements are used, on the caller's own transaction; its connection pool is never opened.
    """

    def __init__(self) -> None:
        """Prepare the statements; nothing connects."""
        nowhere = PostgresDatastore("", "", "", "", "", schema=SCHEMA, single_row_tracking=True)
        self._recorder = PostgresTrackingRecorder(nowhere, tracking_table_name=TRACKING_TABLE)

    def lock(self, connection: Connection) -> None:
        """Wait for any other projector's transaction, and keep others waiting until this one ends."""
        connection.execute(_LOCK)

    def seen(self, connection: Connection, name: str) -> int:
        """Return the number of events that the projection has seen: the position of its next one."""
        return self._recorder._max_tracking_id(name, _cursor(connection)) or 0

    def move(self, connection: Connection, name: str, seen: int) -> None:
        """Note that `seen` events are in; raises the library's IntegrityError if it was moved there before."""
        self._recorder._insert_tracking(_cursor(connection), Tracking(name, seen))

    def reset(self, connection: Connection, name: str) -> None:
        """Back to the first event."""
        connection.execute(
            text(f"DELETE FROM {SCHEMA}.{TRACKING_TABLE} WHERE application_name = :name"), {"name": name}
        )


class Projector:
    """Carries pages of verified events from one follower into projections; both must be new, before the first event."""

    def __init__(
        self,
        follower: Follower,
        engine: Engine,
        projections: Sequence[Projection],
        tracking: Positions,
        *,
        clock: Clock,
        walked: Walked,
    ) -> None:
        """`walked` counts what verification really did, for the integrity page."""
        self._follower, self._engine, self._projections = follower, engine, projections
        self._tracking, self._clock, self._walked = tracking, clock, walked
        self._begun = self._broken = False
        self._noted: tuple[bytes | None, datetime] | None = None

    def catch_up(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Apply everything that the log signed since the last call; return the number of events read.

        Leaves between two pages as soon as `stopping` says so; nothing is lost, the next process goes on there.
        Raises Busy when a database is away (call again), Rewound when a new projector must start from the first event,
        and VerificationFailed, after it was written down, when the log is not what it claims to be.
        """
        if self._broken:
            raise Rewound("A page failed to commit; the walk starts again from the first event.")
        count = 0
        try:
            self._begin()
            for page in self._follower.pages():
                self._walked.take(page)
                self._apply(page)
                count += len(page)
                if stopping():
                    return count
            self._walked.verify(self._follower)
            self._note()
        except VerificationFailed as failure:
            with self._engine.begin() as connection:
                self._tracking.lock(connection)
                note_failure(connection, failure, self._clock.now())
            raise
        except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
            raise Busy(f"The database of the read models does not answer: {error}") from error
        return count

    def _begin(self) -> None:
        if self._begun:
            return
        with self._engine.begin() as connection:
            self._tracking.lock(connection)
            self._walked.seen_before(last_seen(connection))
            if verification_failed(connection):
                for projection in self._projections:
                    reset(connection, projection, self._tracking)
        self._begun = True

    def _apply(self, page: Sequence[Verified]) -> None:
        end = page[-1].position + 1
        self._broken = True  # until the page has committed: what is folded in memory cannot be taken back
        with self._engine.begin() as connection:
            self._tracking.lock(connection)
            for projection in self._projections:
                seen = self._tracking.seen(connection, projection.name)
                if seen < page[0].position:
                    raise Rewound(f"{projection.name} was reset to position {seen}; the walk starts again.")
                projection.fold([verified for verified in page if verified.position < seen])
                if seen < end:
                    projection.apply(connection, [verified for verified in page if verified.position >= seen])
                    self._tracking.move(connection, projection.name, end)
        # Committed: one line earlier a crash leaves rows and positions of the page before; now both are those after it.
        self._broken = False

    def _note(self) -> None:
        now, note = self._clock.now(), self._follower.note
        if self._noted is not None and self._noted[0] == note and now - self._noted[1] < NOTE_AGAIN_AFTER:
            return
        with self._engine.begin() as connection:
            self._tracking.lock(connection)
            note_walk(connection, self._walked.walk(self._follower), now)
        self._noted = (note, now)


def reset(connection: Connection, projection: Projection, tracking: Positions) -> None:
    """Empty the projection's tables and set it back to the first event; the caller owns the transaction."""
    tracking.lock(connection)
    names = ", ".join(f"{SCHEMA}.{table.name}" for table in projection.tables.sorted_tables)
    connection.execute(text(f"TRUNCATE {names}"))
    tracking.reset(connection, projection.name)


def rebuild(engine: Engine, projection: Projection, tracking: Positions) -> None:
    """Empty one read model; the ordinary loop, running or started next, fills it again from the first event."""
    with engine.begin() as connection:
        reset(connection, projection, tracking)


def digest(connection: Connection, projection: Projection) -> str:
    """Return a SHA-256, hex, over all rows of the projection, in any database: the same for rebuilt and live ones."""
    total = hashlib.sha256()
    for table in sorted(projection.tables.sorted_tables, key=lambda table: table.name):
        rows = connection.execute(select(table).execution_options(yield_per=_ROWS_PER_FETCH))
        total.update(table.name.encode() + b"\0")
        for row in sorted(hashlib.sha256(msgspec.json.encode(list(row))).digest() for row in rows):
            total.update(row)
    return total.hexdigest()


def _cursor(connection: Connection) -> psycopg.Cursor[DictRow]:
    """The psycopg cursor of this very transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver.cursor(row_factory=dict_row)

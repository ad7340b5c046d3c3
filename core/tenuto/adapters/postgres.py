"""The ledger in Postgres, on the recorder of `eventsourcing`.

The library's recorder is kept for what it is good at (tracking, datastore, notification reading) and overridden where it
inserts: one locked head row gives gapless positions and the Merkle frontier, and COPY in binary replaces its composite
arrays, which cost three to five times as much. Tables come from the migrations; the library creates none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresProcessRecorder
from psycopg.rows import DictRow
from psycopg.sql import SQL

from ..clock import micros
from ..errors import Busy
from ..ledger import (
    AlreadyAppended,
    Batch,
    Head,
    HeadsMoved,
    LedgerFull,
    NotOwner,
    Parked,
    Recorded,
    SessionHead,
    StoredPayload,
    entry_bytes,
)
from ..log.merkle import Frontier, leaf_hashes
from . import copying, partitions

EVENTS_TABLE = "entry"
TRACKING_TABLE = "tracking"
SCHEMA = "ledger"
CONNECTION_SECONDS_MAX = 10 * 365 * 86_400.0
"""A connection is never retired by age: the advisory locks of its partitions would go with it."""
IDLE_SECONDS_MAX = 30.0
"""A writer that stands still inside its transaction loses it after this time: every other writer waits for the head row."""
_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)

_LOCK_HEAD = SQL("SELECT tree_size, frontier, recorded_at FROM ledger.log_head WHERE id = 1 FOR UPDATE")
_MOVE_HEAD = SQL("UPDATE ledger.log_head SET tree_size = %s, frontier = %s, recorded_at = %s WHERE id = 1")
_KEYS_SINCE = SQL("SELECT 1 FROM ledger.entry WHERE notification_id > %s AND topic LIKE 'key.%%' LIMIT 1")
_COPY_ENTRIES = f"COPY ledger.entry ({copying.ENTRY_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_COPY_PAYLOADS = f"COPY ledger.payload ({copying.PAYLOAD_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_MOVE_SESSIONS = SQL(
    "INSERT INTO ledger.session_head AS head (session_id, author, last_seq, last_header_hash)"
    " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::int8[], %s::bytea[])"
    " ON CONFLICT (session_id) DO UPDATE"
    " SET last_seq = excluded.last_seq, last_header_hash = excluded.last_header_hash"
)
_HEADS = SQL("SELECT session_id, last_seq, last_header_hash, author FROM ledger.session_head")
_HEADS_OF = _HEADS + SQL(" WHERE session_id = ANY(%s)")
_STATES = SQL(
    "SELECT e.originator_id, e.originator_version, e.state FROM unnest(%s::uuid[], %s::int8[]) AS place (session, seq)"
    " JOIN ledger.entry e ON e.originator_id = place.session AND e.originator_version = place.seq"
)
_PARK = SQL(
    "INSERT INTO ledger.parked (session_id, seq, record, topic, partition, record_offset, parked_at)"
    " SELECT * FROM unnest(%s::uuid[], %s::int8[], %s::bytea[], %s::text[], %s::int4[], %s::int8[], %s::timestamptz[])"
    " ON CONFLICT (session_id, seq) DO NOTHING"
)
_UNPARK = SQL(
    "DELETE FROM ledger.parked USING unnest(%s::uuid[], %s::int8[]) AS place (session, number)"
    " WHERE session_id = place.session AND seq = place.number"
)
_READ = SQL(
    "SELECT e.notification_id, e.recorded_at, e.state, p.wrapped_key, p.nonce, p.body"
    " FROM ledger.entry e LEFT JOIN ledger.payload p USING (notification_id)"
)
_READ_BARE = SQL("SELECT e.notification_id, e.recorded_at, e.state FROM ledger.entry e")


class LedgerProcessRecorder(PostgresProcessRecorder):
    """The library's process recorder with our insert: `insert_events((), tracking=..., batch=...)`.

    The events come in the batch, which says more of each than the library's `StoredEvent` can hold.
    """

    def __init__(self, datastore: PostgresDatastore, **names: str) -> None:
        """Use our table names unless the library's factory hands in others."""
        names = {"events_table_name": EVENTS_TABLE, "tracking_table_name": TRACKING_TABLE} | names
        super().__init__(datastore, **names)
        self.sql_create_statements.clear()
        self._claims: dict[str, psycopg.Connection[DictRow]] = {}

    def claim(self, name: str) -> int:
        """Take the advisory lock of a consumer position, for as long as this connection lives; returns its offset."""
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            row = cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS mine", (name,)).fetchone()
            if row is None or not row["mine"]:
                raise NotOwner(f"Another process owns {name}. Stop that one first, or give this one other partitions.")
            self._claims[name] = connection
            return self._max_tracking_id(name, cursor) or 0

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append one batch; returns the notification ids (position + 1). See `LedgerStore.append`."""
        batch: Batch = kwargs["batch"]
        leaves = self._leaves(batch, batch.recorded_at)
        first = 0
        with self.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as cursor:
            self._demand_ownership(connection, batch)
            self._insert_events(cursor, stored_events, **kwargs)
            self._park(cursor, batch)
            if batch.entries:
                first = self._enter(cursor, batch, leaves)
        # The transaction has committed here: one line earlier a crash leaves nothing of the batch and Kafka offers it
        # again; from this line on the events exist, and a repetition is turned away by the tracking row.
        return range(first, first + len(batch.entries))

    def _enter(self, cursor: psycopg.Cursor[DictRow], batch: Batch, leaves: list[bytes]) -> int:
        """Give the entries their places behind the locked head row; returns the first notification id.

        From here to the commit every writer waits for this one, so nothing but counting and copying happens.
        """
        row = cursor.execute(_LOCK_HEAD, prepare=True).fetchone()
        assert row is not None
        size = int(row["tree_size"])
        if size > batch.keys_folded_to and cursor.execute(_KEYS_SINCE, (batch.keys_folded_to,)).fetchone():
            raise HeadsMoved(f"Keys changed between positions {batch.keys_folded_to} and {size}.")
        self._demand_session_heads(cursor, batch)
        recorded_at = max(batch.recorded_at, row["recorded_at"])
        if recorded_at != batch.recorded_at:  # this clock is behind another writer's; invariant 7 wins
            leaves = self._leaves(batch, recorded_at)
        self._copy(cursor, batch, size, recorded_at, leaves)
        self._move_sessions(cursor, batch)
        frontier = Frontier.from_bytes(size, bytes(row["frontier"])).extend(leaves)
        cursor.execute(_MOVE_HEAD, (frontier.size, frontier.to_bytes(), recorded_at), prepare=True)
        self._notify_channel(cursor)
        return size + 1

    @staticmethod
    def _leaves(batch: Batch, recorded_at: Any) -> list[bytes]:
        stamp = micros(recorded_at)
        return leaf_hashes(entry_bytes(stamp, entry.state) for entry in batch.entries)

    def _demand_ownership(self, connection: psycopg.Connection[DictRow], batch: Batch) -> None:
        """The advisory lock lives and dies with the connection that took it, so being that connection is holding it."""
        if batch.tracking is not None and self._claims.get(batch.tracking[0]) is not connection:
            raise NotOwner(f"This database session does not own {batch.tracking[0]}; it must be claimed again.")

    @staticmethod
    def _demand_session_heads(cursor: psycopg.Cursor[DictRow], batch: Batch) -> None:
        """Read behind the head row's lock, so no other writer can move a session between this look and the commit."""
        rows = cursor.execute(_HEADS_OF, (list(batch.heads_before),), prepare=True).fetchall()
        found = {row["session_id"]: _session_head(tuple(row.values()))[1] for row in rows}
        for session, expected in batch.heads_before.items():
            if found.get(session, SessionHead()) != expected:
                raise HeadsMoved(f"Session {session} moved on since this batch was checked.")

    @staticmethod
    def _park(cursor: psycopg.Cursor[DictRow], batch: Batch) -> None:
        if batch.park:
            rows = [
                (kept.session, kept.seq, kept.record, kept.topic, kept.partition, kept.offset, kept.parked_at)
                for kept in batch.park
            ]
            cursor.execute(_PARK, [list(column) for column in zip(*rows, strict=True)])
        if batch.unpark:
            cursor.execute(_UNPARK, [list(column) for column in zip(*batch.unpark, strict=True)])
            if cursor.rowcount != len(batch.unpark):
                raise HeadsMoved(f"Only {cursor.rowcount} of {len(batch.unpark)} waiting records were still there.")

    @staticmethod
    def _copy(
        cursor: psycopg.Cursor[DictRow], batch: Batch, size: int, recorded_at: Any, leaves: Sequence[bytes]
    ) -> None:
        stamp = copying.timestamp(recorded_at)
        placed = list(enumerate(zip(batch.entries, leaves, strict=True), start=size + 1))
        rows = [
            copying.entry_row(one.session, one.seq, number, stamp, leaf=leaf, kind=one.kind, state=one.state)
            for number, (one, leaf) in placed
        ]
        payloads = [
            copying.payload_row(number, one.payload) for number, (one, _) in placed if one.payload is not None
        ]
        with cursor.copy(_COPY_ENTRIES) as copy:
            copy.write(copying.whole(rows))
        if payloads:
            with cursor.copy(_COPY_PAYLOADS) as copy:
                copy.write(copying.whole(payloads))

    @staticmethod
    def _move_sessions(cursor: psycopg.Cursor[DictRow], batch: Batch) -> None:
        entries = list({entry.session: entry for entry in batch.entries}.values())
        columns = (
            [entry.session for entry in entries],
            [entry.author for entry in entries],
            [entry.seq for entry in entries],
            [bytes.fromhex(entry.header_hash) for entry in entries],
        )
        cursor.execute(_MOVE_SESSIONS, columns, prepare=True)


class PostgresReader:
    """`LedgerReader` over one psycopg connection that may only read."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `url`; a lost connection is opened again at the next call."""
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def head(self) -> Head:
        """Return the committed head row."""
        row = self._fetch(SQL("SELECT tree_size, frontier, recorded_at FROM ledger.log_head WHERE id = 1"), ())[0]
        return Head(row[0], bytes(row[1]), row[2])

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return up to `limit` events from `start` on."""
        query = (_READ if payloads else _READ_BARE) + SQL(
            " WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"
        )
        return [recorded(row) for row in self._fetch(query, (start, limit))]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events of these kinds from `start` on."""
        query = _READ + SQL(" WHERE e.notification_id > %s AND e.topic = ANY(%s) ORDER BY e.notification_id LIMIT %s")
        return [recorded(row) for row in self._fetch(query, (start, list(kinds), limit))]

    def session_heads(self) -> dict[UUID, SessionHead]:
        """Return the stored head of every session, for comparison with what the events say."""
        return dict(_session_head(row) for row in self._fetch(_HEADS, ()))

    def columns(self, start: int, limit: int) -> list[tuple[int, UUID, int, str, bytes]]:
        """Return `(position, session, seq, kind, leaf hash)` as stored beside the events, for comparison with them."""
        query = SQL(
            "SELECT notification_id - 1, originator_id, originator_version, topic, leaf_hash FROM ledger.entry"
            " WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
        )
        return [(row[0], row[1], row[2], row[3], bytes(row[4])) for row in self._fetch(query, (start, limit))]

    def tracked(self, name: str) -> int:
        """Return the next offset of a consumer position, 0 if nothing was ever read there."""
        query = SQL("SELECT notification_id FROM ledger.tracking WHERE application_name = %s")
        rows = self._fetch(query, (name,))
        return int(rows[0][0]) if rows else 0

    def parked_records(self) -> list[bytes]:
        """Return the records that wait in the ledger for their predecessors."""
        return [bytes(row[0]) for row in self._fetch(SQL("SELECT record FROM ledger.parked"), ())]

    def kept_payloads(self, positions: Sequence[int]) -> list[int]:
        """Return at which of these positions a payload lies in the tables."""
        query = SQL("SELECT notification_id - 1 FROM ledger.payload WHERE notification_id = ANY(%s) ORDER BY 1")
        return [int(row[0]) for row in self._fetch(query, ([position + 1 for position in positions],))]
    def attached(self) -> list[tuple[int, int]]:
        """Return the first and last positions of the partitions that the tables have now, in order."""
        return [(one.first, one.last) for one in map(partitions.parsed, self._fetch(partitions.ATTACHED, ()))]

    def stray_payloads(self) -> int:
        """Return how many payloads lie beside no event, in the partitions that the tables have."""
        query = SQL(
            "SELECT count(*) FROM ledger.payload p LEFT JOIN ledger.entry e USING (notification_id)"
            " WHERE e.notification_id IS NULL AND p.notification_id > %s"
        )
        lowest = min((first for first, _ in self.attached()), default=0)  # retention drops events before their payloads
        return int(self._fetch(query, (lowest,))[0][0])

    def _fetch(self, query: Any, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with _answering():
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._url, autocommit=True)
            return self._connection.execute(query, values, binary=True).fetchall()


class PostgresLedger(PostgresReader):
    """`LedgerStore` over the recorder. One connection, so that a lost database session is a lost partition."""

    def __init__(self, datastore: PostgresDatastore, url: str) -> None:
        """`datastore` must have a pool of exactly one connection; `url` serves the reads. Connects at its first use."""
        super().__init__(url)
        self._datastore = datastore
        self._opened: LedgerProcessRecorder | None = None

    @property
    def _recorder(self) -> LedgerProcessRecorder:
        """The library's recorder, made when it is needed: its constructor connects."""
        if self._opened is None:
            self._opened = LedgerProcessRecorder(self._datastore)
        return self._opened

    def close(self) -> None:
        """Release the partition and the connections."""
        super().close()
        self._datastore.close()

    def append(self, batch: Batch) -> range:
        """Append; see `LedgerStore.append`."""
        tracking = Tracking(*batch.tracking) if batch.tracking else None
        try:
            with _answering():
                ids = self._recorder.insert_events((), tracking=tracking, batch=batch)
        except IntegrityError as error:
            if "record tracking" in str(error):  # the library's own sentence; it has no class for this
                raise AlreadyAppended(f"Offset {batch.tracking} is in the ledger already.") from error
            if "no partition of relation" in str(error):
                raise LedgerFull(partitions.FULL) from error
            raise
        return range(ids[0] - 1, ids[-1]) if ids else range(0)

    def claim(self, tracking_name: str) -> int:
        """Take the advisory lock of this consumer position and return its next offset."""
        with _answering():
            return self._recorder.claim(tracking_name)

    def session_heads(self, sessions: Sequence[UUID] | None = None) -> dict[UUID, SessionHead]:
        """Return the heads of these sessions, or of all."""
        if sessions is None:
            return super().session_heads()
        return dict(_session_head(row) for row in self._fetch(_HEADS_OF, (list(sessions),)))

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        """Return the stored `header || signature` at these places."""
        if not places:
            return {}
        columns = [list(column) for column in zip(*places, strict=True)]
        return {(row[0], row[1]): bytes(row[2]) for row in self._fetch(_STATES, tuple(columns))}

    def parked(self) -> list[Parked]:
        """Return all parked records, oldest first."""
        query = SQL(
            "SELECT session_id, seq, record, topic, partition, record_offset, parked_at FROM ledger.parked"
            " ORDER BY parked_at, session_id, seq"
        )
        return [Parked(row[0], row[1], bytes(row[2]), row[3], row[4], row[5], row[6]) for row in self._fetch(query, ())]


def recorded(row: Sequence[Any]) -> Recorded:
    """Make a `Recorded` of `(notification_id, recorded_at, state[, wrapped_key, nonce, body])`."""
    payload = None
    if len(row) > 3 and row[3] is not None:
        payload = StoredPayload(bytes(row[3]), bytes(row[4]), bytes(row[5]))
    return Recorded(row[0] - 1, row[1], bytes(row[2]), payload)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn the errors of a database that is away, the driver's and the library's, into Busy."""
    try:
        yield
    except _AWAY as error:
        if isinstance(error, psycopg.errors.DiskFull) or isinstance(error.__cause__, psycopg.errors.DiskFull):
            raise Busy(f"The disk of the ledger database is full. Make room in its data folder: {error}") from error
        raise Busy(f"The ledger database does not answer: {error}") from error


def _session_head(row: Sequence[Any]) -> tuple[UUID, SessionHead]:
    session, seq, header_hash, author = row
    return session, SessionHead(seq, bytes(header_hash).hex(), author)


def open_datastore(url: str, *, lock_timeout: timedelta = timedelta(seconds=30)) -> PostgresDatastore:
    """Return a datastore with exactly one connection for the ledger's schema; `url` is a libpq URL.

    Whatever else the URL says (`sslmode`, `target_session_attrs`, ...) reaches libpq unchanged.
    """
    parts = psycopg.conninfo.conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(parts.get("dbname", "tenuto")), host=str(parts.get("host", "")), port=str(parts.get("port", "")),
        user=str(parts.get("user", "")), password=str(parts.get("password", "")), pool_size=1, max_overflow=0,
        schema=SCHEMA, single_row_tracking=True, originator_id_type="uuid", pre_ping=False,
        conn_max_age=CONNECTION_SECONDS_MAX, idle_in_transaction_session_timeout=IDLE_SECONDS_MAX,
    )  # fmt: skip
    settings = datastore.pool.kwargs
    assert isinstance(settings, dict)
    # The library applies its lock timeout only where it locks its table, which we do not; so the session carries it.
    waiting = f"-c lock_timeout={int(lock_timeout.total_seconds() * 1000)}"
    settings.update(parts, options=f"{parts.get('options') or ''} {waiting}".strip())
    return datastore

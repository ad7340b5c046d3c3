"""The partitions of the ledger's tables: which there are, the next ones in time, and taking the oldest away.

Bounds are read from the database's catalog, never assumed. Making and dropping needs the owner; everybody may look. Both
`entry` and `payload` have a partition of the same number and bounds. The order in which a partition goes is that of the
reader's eye: first the events leave `entry`, and from then on readers ask the archive for them; then `payload`; then both
tables are dropped together. So nobody ever sees an event whose payload is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg.sql import SQL, Identifier

from ..errors import Busy, NotConfigured, TenutoError
from ..log.tiles import TILE_WIDTH
from ..retention import LeftOver, Partition

PARTITION_LEAVES = 2**20
"""Events of a partition as the product makes them; what the catalog says counts."""
EMPTY_AHEAD = 8
"""So many empty partitions lie behind the one that is being filled, after `prepare`."""
FULL = (
    "The ledger's tables have no partition for the next events; nothing was written, and Kafka keeps what came."
    " Make room as the database's owner with `tenuto retention prepare`, then start ingest again."
)
LOCK_SECONDS = 30
CONNECT_SECONDS_MAX = 5
_BOUNDS = re.compile(r"FOR VALUES FROM \('(\d+)'\) TO \('(\d+)'\)")
_LOCK_NAME = "tenuto.retention"

ATTACHED = SQL(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), pg_total_relation_size(c.oid)"
    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'ledger.entry'::regclass AND NOT i.inhdetachpending ORDER BY c.relname"
)
_STATES = SQL(
    "SELECT c.relname, i.inhdetachpending FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
    " WHERE n.nspname = 'ledger' AND c.relkind = 'r' AND c.relname ~ '^(entry|payload)_[0-9]+$'"
)


_STAND_STILL = SQL("SELECT tree_size FROM ledger.log_head WHERE id = 1 FOR UPDATE")
"""Every writer takes this lock before it enters anything."""


class PartitionsRefused(TenutoError):
    """The tables are not as retention leaves them; nothing was dropped, and a person must look."""


def parsed(row: Sequence[Any]) -> Partition:
    """Return the partition in a row of ATTACHED; raises PartitionsRefused for bounds that are not of our making."""
    found = _BOUNDS.fullmatch(str(row[1]))
    if found is None:
        raise PartitionsRefused(f"The table ledger.{row[0]} has the bounds {row[1]!r}, which are not of Tenuto's making.")
    return Partition(str(row[0]).removeprefix("entry_"), int(found[1]) - 1, int(found[2]) - 2, int(row[2]))


class Partitions:
    """The owner's view; a context manager that holds a lock, so that two never drop or make partitions together."""

    def __init__(self, url: str, did: Callable[[str], None] = lambda _: None) -> None:
        """Connect as the owner and take the lock; raises Busy. `did` is told of each step that was taken."""
        self._did = did
        with _answering():
            self._connection = psycopg.connect(url, autocommit=True, options=f"-c lock_timeout={LOCK_SECONDS * 1000}")
            mine = self._fetch(SQL("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"), _LOCK_NAME)[0][0]
        if not mine:
            self._connection.close()
            raise Busy("Another process is making or dropping partitions of this ledger; wait for its end.")

    def __enter__(self) -> Self:
        """The lock is held already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others."""
        self._connection.close()

    def attached(self) -> list[Partition]:
        """Return the partitions that are read and written, in the order of their positions."""
        return sorted(map(parsed, self._fetch(ATTACHED)), key=lambda one: one.first)

    def size(self) -> int:
        """Return how many events the ledger counts."""
        return int(self._fetch(SQL("SELECT tree_size FROM ledger.log_head"))[0][0])

    def prepare(self, *, leaves: int = PARTITION_LEAVES, ahead: int = EMPTY_AHEAD) -> list[Partition]:
        """Make partitions until `ahead` empty ones lie behind the next event's; return those that were made.

        Tables are made apart and then attached, which holds up neither ingest nor readers. May be repeated after a crash
        at any point. Raises NotConfigured unless `leaves` is a multiple of 256, PartitionsRefused when there is none yet.
        """
        if leaves <= 0 or leaves % TILE_WIDTH:
            raise NotConfigured(f"A partition holds a multiple of {TILE_WIDTH} events, not {leaves}.")
        made: list[Partition] = []
        there = self.attached()
        if not there:
            raise PartitionsRefused("The ledger's tables have no partition at all. Was the schema made by its migrations?")
        size = self.size()
        while sum(one.first > size for one in there) < ahead:
            last = there[-1]
            number = f"{max(int(one.number) for one in there) + 1:05d}"
            made.append(self._make(Partition(number, last.last + 1, last.last + leaves, 0)))
            there.append(made[-1])
        return made

    def left_over(self) -> list[LeftOver]:
        """Return what an interrupted drop left behind, oldest first."""
        states: dict[str, dict[str, bool | None]] = {}
        for name, pending in self._fetch(_STATES):
            table, _, number = str(name).partition("_")
            states.setdefault(number, {})[table] = pending
        gone = sorted(number for number, tables in states.items() if tables.get("entry", None) is not False)
        return [LeftOver(number, max(self._top(table, number) for table in states[number])) for number in gone]

    def detach(self, number: str) -> None:
        """Take the partition out of both tables, without holding up anybody who reads or writes. May be repeated."""
        for table in ("entry", "payload"):
            if self._detach(table, f"{table}_{number}"):
                self._did(f"{table}_{number} is detached")

    def drop(self, number: str, demand_free: Callable[[], None]) -> None:
        """Drop a partition that is detached, if `demand_free` raises nothing.

        From before it is called until the tables are gone nothing enters the ledger, so what it sees is all there is.
        May be repeated after a crash at any point.
        """
        with _answering(), self._connection.transaction():
            self._connection.execute(_STAND_STILL)
            demand_free()
            for table in ("entry", "payload"):
                self._execute("DROP TABLE IF EXISTS ledger.{}", f"{table}_{number}")
        self._did(f"partition {number} is dropped")

    def attach(self, one: Partition) -> None:
        """Bring a partition back that `detach` took away; first payloads, then events. May be repeated."""
        for table in ("payload", "entry"):
            name = f"{table}_{one.number}"
            if dict(self._fetch(_STATES)).get(name):  # its detaching was cut off in the middle
                self._detach(table, name)
            if dict(self._fetch(_STATES)).get(name, False) is None:
                self._execute(f"ALTER TABLE ledger.{table} ATTACH PARTITION ledger.{{}} {_bounds(one)}", name)
        self._did(f"partition {one.number} is attached again")

    def _detach(self, parent: str, name: str) -> bool:
        states = dict(self._fetch(_STATES))
        pending = states.get(name)
        if pending is None:  # it is detached already, or dropped
            return False
        how = "FINALIZE" if pending else "CONCURRENTLY"
        self._execute(f"ALTER TABLE ledger.{parent} DETACH PARTITION ledger.{{}} {how}", name)
        return True

    def _make(self, one: Partition) -> Partition:
        for table in ("entry", "payload"):
            name = f"{table}_{one.number}"
            with self._connection.transaction():
                self._execute(f"CREATE TABLE ledger.{{}} (LIKE ledger.{table} INCLUDING ALL)", name)
                if table == "entry":
                    self._execute("CREATE UNIQUE INDEX ON ledger.{} (originator_id, originator_version)", name)
                self._execute(f"ALTER TABLE ledger.{table} ATTACH PARTITION ledger.{{}} {_bounds(one)}", name)
            self._did(f"{name} is attached")
        return one

    def _top(self, table: str, number: str) -> int:
        name = Identifier(f"{table}_{number}")
        found = self._fetch(SQL("SELECT max(notification_id) FROM ledger.{}").format(name))[0][0]
        return -1 if found is None else int(found) - 1

    def _execute(self, statement: str, name: str) -> None:
        with _answering():
            self._connection.execute(SQL(statement).format(Identifier(name)))

    def _fetch(self, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        with _answering():
            return self._connection.execute(query, values or None).fetchall()


def _bounds(one: Partition) -> str:
    return f"FOR VALUES FROM ({one.first + 1}) TO ({one.last + 2})"


def prepare(url: str) -> list[Partition]:
    """Make the next partitions as the owner at `url`; raises Busy while another process does, or the database is away."""
    with Partitions(url) as partitions:
        return partitions.prepare()


def empty_partitions(url: str) -> int:
    """Return how many partitions behind the next event's are still empty, for any role; raises Busy."""
    with _answering(), psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS_MAX) as connection:
        size = connection.execute("SELECT tree_size FROM ledger.log_head").fetchone()
        there = map(parsed, connection.execute(ATTACHED).fetchall())
        return sum(one.first > (size[0] if size else 0) for one in there)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise Busy(f"Somebody holds the ledger's tables for longer than {LOCK_SECONDS} s; try again later.") from error
    except psycopg.errors.DuplicateTable as error:
        raise PartitionsRefused(f"A table of the next partition is there already, and not attached: {error}") from error
    except psycopg.OperationalError as error:
        raise Busy(f"The ledger database does not answer: {error}") from error

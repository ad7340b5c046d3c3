"""What read models are made of: column types that mean the same in Postgres and in SQLite, and the rows a page touches.

A replay rebuilds the read models in memory with the very code that serves the live ones, so no column may depend on one
database. Payloads are text that strangers wrote: what a database cannot hold is made visible here, once, instead of
stopping a projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    delete,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine
from tenuto.clock import from_micros, micros

SCHEMA = "read_model"
_KEYS_PER_QUERY = 500


class Instant(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond: `timestamptz`, or whole microseconds where a database has no such type."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(
            postgresql.TIMESTAMP(timezone=True) if _has_time_zones(dialect) else BigInteger()
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return what is stored."""
        return value if value is None or _has_time_zones(dialect) else micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the moment, in UTC whatever the session's time zone is."""
        if value is None or not _has_time_zones(dialect):
            return None if value is None else from_micros(value)
        return from_micros(micros(value))


class Untrusted(TypeDecorator[str]):
    """Text that anybody may have written. Postgres cannot hold NUL; it is kept as the visible sign for it (U+2400)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored."""
        return None if value is None else shown(value)


def shown(text: str) -> str:
    """Return a text as every database can hold it and every page can show it."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def table(name: str, metadata: MetaData, *columns: Column[Any]) -> Table:
    """Declare a table in the schema of the read models; its DDL is in the migrations, compared with this by a test."""
    return Table(name, metadata, *columns, schema=SCHEMA)


class Rows:
    """The rows of one table that a page touches: fetched with one query, changed in memory, written back with one.

    So the cost of a page does not grow with a query per event, and a row that ten events change is written once.
    """

    def __init__(self, connection: Connection, of: Table, keys: Iterable[Sequence[Any]]) -> None:
        """Fetch the rows whose primary key, as a tuple of column values, is among `keys`."""
        self._connection, self._table = connection, of
        self._names = [column.name for column in of.primary_key.columns]
        self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._touched: set[tuple[Any, ...]] = set()
        wanted = list(dict.fromkeys(tuple(key) for key in keys))
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            self._fetch(wanted[start : start + _KEYS_PER_QUERY])

    def get(self, *key: Any) -> dict[str, Any] | None:
        """Return the row to be changed in place, or None; it will be written back."""
        row = self._rows.get(key)
        if row is not None:
            self._touched.add(key)
        return row

    def add(self, **values: Any) -> dict[str, Any]:
        """Return the row with this key, made of `values` if there is none yet: what came first stays."""
        key = tuple(values[name] for name in self._names)
        row = self._rows.setdefault(key, {column.name: None for column in self._table.columns} | values)
        self._touched.add(key)
        return row

    def all(self) -> list[dict[str, Any]]:
        """Return every row at hand, to look at."""
        return list(self._rows.values())

    def write(self) -> None:
        """Write the touched rows back, whole."""
        if not self._touched:
            return
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(self._table)
        rest = {
            column.name: statement.excluded[column.name] for column in self._table.columns if not column.primary_key
        }
        upsert = statement.on_conflict_do_update(index_elements=self._names, set_=rest) if rest else statement
        self._connection.execute(upsert, [self._rows[key] for key in sorted(self._touched)])
        self._touched.clear()

    def _fetch(self, keys: Sequence[tuple[Any, ...]]) -> None:
        columns = list(self._table.primary_key.columns)
        if len(columns) == 1:
            where = columns[0].in_([key[0] for key in keys])
        else:
            where = tuple_(*columns).in_(keys)
        for row in self._connection.execute(select(self._table).where(where)).mappings():
            self._rows[tuple(row[name] for name in self._names)] = dict(row)


def bring_to(connection: Connection, of: Table, wanted: Sequence[dict[str, Any]]) -> None:
    """Make a table hold exactly these rows, each with every column; a row that is so already is not written again.

    For tables that say how things stand now. Most events change nothing about that, however much stands there.
    """
    (key,) = of.primary_key.columns
    there = {row[key.name]: dict(row) for row in connection.execute(select(of)).mappings()}
    gone = sorted(there.keys() - {row[key.name] for row in wanted})
    for start in range(0, len(gone), _KEYS_PER_QUERY):
        connection.execute(delete(of).where(key.in_(gone[start : start + _KEYS_PER_QUERY])))
    rows = Rows(connection, of, ())
    for row in wanted:
        if there.get(row[key.name]) != row:
            rows.add(**row)
    rows.write()


def _has_time_zones(dialect: Dialect) -> bool:
    return dialect.name == "postgresql"

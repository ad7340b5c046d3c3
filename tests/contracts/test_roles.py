"""Least privilege, tried out: each role, each way of writing, each table of the ledger."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Database

ROLES = ("tenuto_ingest", "tenuto_reader", "tenuto_projector", "tenuto_console", "tenuto_keeper", "tenuto_notifier")
TABLES = ("entry", "entry_00000", "payload", "payload_00000", "log_head", "session_head", "tracking", "parked")
WAYS = {
    "INSERT": "INSERT INTO ledger.{table} SELECT * FROM ledger.{table} WHERE false",
    "UPDATE": "UPDATE ledger.{table} SET {column} = {column} WHERE false",
    "DELETE": "DELETE FROM ledger.{table} WHERE false",
    "TRUNCATE": "TRUNCATE ledger.{table}",
}
MAY = {
    ("tenuto_ingest", "INSERT", "entry"),
    ("tenuto_ingest", "INSERT", "payload"),
    ("tenuto_ingest", "INSERT", "session_head"),
    ("tenuto_ingest", "UPDATE", "session_head"),
    ("tenuto_ingest", "INSERT", "tracking"),
    ("tenuto_ingest", "UPDATE", "tracking"),
    ("tenuto_ingest", "UPDATE", "log_head"),
    ("tenuto_ingest", "INSERT", "parked"),
    ("tenuto_ingest", "DELETE", "parked"),
    ("tenuto_keeper", "DELETE", "payload"),
}
"""The whole of what anybody may write; nothing here touches an event that is stored. The keeper takes payloads away."""


def columns_of(database: Database) -> dict[str, str]:
    with psycopg.connect(database.url()) as owner:
        rows = owner.execute(
            "SELECT table_name, min(column_name) FROM information_schema.columns WHERE table_schema = 'ledger' GROUP BY 1"
        ).fetchall()
    return dict(rows)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_write_what_its_work_needs_and_nothing_else(database: Database, role: str) -> None:
    columns, allowed = columns_of(database), set[tuple[str, str, str]]()
    with psycopg.connect(database.url(role), autocommit=True) as connection:
        for table in TABLES:
            for way, statement in WAYS.items():
                named = sql.SQL(statement).format(table=sql.Identifier(table), column=sql.Identifier(columns[table]))
                # The bare privilege is asked for too: an INSERT ... SELECT also fails where only reading is forbidden.
                may = connection.execute("SELECT has_table_privilege(%s, %s)", (f"ledger.{table}", way)).fetchone()
                assert may is not None
                if may[0]:
                    allowed.add((role, way, table))
                    connection.execute(named)
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(named)
    assert allowed == {each for each in MAY if each[0] == role}


def test_the_tables_of_this_test_are_the_tables_of_the_ledger(database: Database) -> None:
    kinds = {name.rstrip("0123456789").removesuffix("_") for name in columns_of(database)}
    assert kinds == {name.rstrip("0123456789").removesuffix("_") for name in TABLES}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_change_the_schema_or_become_another(database: Database, role: str) -> None:
    with psycopg.connect(database.url(role), autocommit=True) as connection:
        for statement in (
            "CREATE TABLE ledger.mine (id int)",
            "ALTER TABLE ledger.entry DISABLE TRIGGER ALL",
            "DROP TABLE ledger.payload_00000",
            "ALTER TABLE ledger.entry DETACH PARTITION ledger.entry_00000",
            "SET ROLE postgres",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[call-overload]


@pytest.mark.parametrize("role", ["tenuto_projector", "tenuto_console"])
@pytest.mark.parametrize("table", ["tracking", "parked"])
def test_readers_of_events_do_not_see_what_only_ingest_needs(database: Database, role: str, table: str) -> None:
    with psycopg.connect(database.url(role), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL("SELECT 1 FROM ledger.{}").format(sql.Identifier(table)))


@pytest.mark.parametrize("table", ["payload", "payload_00000", "session_head", "tracking", "parked"])
def test_the_notifier_sees_headers_and_nothing_else(database: Database, table: str) -> None:
    with psycopg.connect(database.url("tenuto_notifier"), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM ledger.entry").fetchone() == (0,)
        assert connection.execute("SELECT tree_size FROM ledger.log_head").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL("SELECT 1 FROM ledger.{}").format(sql.Identifier(table)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT 1 FROM read_model.approval")

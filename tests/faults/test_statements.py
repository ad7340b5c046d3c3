"""The fault table of everything that lies in Postgres: each statement of an append and of a page of read models, and the commit.

The statements are counted at the driver, not chosen. A statement that fails, or whose answer is lost, ends its transaction;
a commit that fails leaves nothing, and one whose answer is lost leaves everything. Of each the process dies, or it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest import mock

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.embedded import EmbeddedPostgres
from tenuto.errors import Busy
from tenuto_projections.projection import Rewound

from tests.conftest import TEMPLATE, Database
from tests.contracts.test_projection_loop import WHOLE, as_role, digests, expected, positions, projector
from tests.faults.points import Crash, Fault, Points
from tests.faults.test_append import Road
from tests.faults.test_every_write import FORMS, first_and_last
from tests.unit.projections.story import tell

CHANGES = ("COPY", "DELETE", "INSERT", "NOTIFY", "UPDATE")
APPEND = {
    "claim", "INSERT INTO ledger.tracking", "INSERT INTO ledger.parked",
    "DELETE FROM ledger.parked", "lock the head", "COPY ledger.entry", "COPY ledger.payload",
    "INSERT INTO ledger.session_head", "UPDATE ledger.log_head", "NOTIFY", "COMMIT",
}  # fmt: skip
"""Every statement by which ingest changes or locks something."""
_NUMBERS = count()


def name_of(query: Any) -> str:
    """A statement by its first words; empty for one that only reads."""
    text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string(None)
    words = text.replace('"', "").split()
    if words[0] in CHANGES:
        return " ".join(words[: {"COPY": 2, "UPDATE": 2, "NOTIFY": 1}.get(words[0], 3)])
    return "claim" if "pg_try_advisory_lock(" in text else "lock the head" if "FOR UPDATE" in text else ""


def broken() -> psycopg.OperationalError:
    return psycopg.OperationalError("the server does not answer")


@contextmanager
def faulty_driver(points: Points) -> Iterator[None]:
    """Count the statements that change something, and the commits, of every connection that is used meanwhile."""

    def stating(real: Callable[..., Any]) -> Callable[..., Any]:
        def state(cursor: Any, query: Any, *more: Any, **named: Any) -> Any:
            name = name_of(query)
            do = lambda: real(cursor, query, *more, **named)  # noqa: E731
            return points.through(name, do, broken) if name and cursor.connection.info.user != "postgres" else do()

        return state

    real_exit, real_commit = psycopg.Transaction.__exit__, psycopg.Connection.commit

    def leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            return real_exit(self, kind, error, trace)
        return points.through("COMMIT", lambda: real_exit(self, None, None, None), broken, self.connection.close)

    def commit(self: Any) -> None:
        points.through("COMMIT", lambda: real_commit(self), broken, self.close)

    with (
        mock.patch.object(psycopg.Cursor, "execute", stating(psycopg.Cursor.execute)),
        mock.patch.object(psycopg.Cursor, "executemany", stating(psycopg.Cursor.executemany)),
        mock.patch.object(psycopg.Cursor, "copy", stating(psycopg.Cursor.copy)),
        mock.patch.object(psycopg.Transaction, "__exit__", leave),
        mock.patch.object(psycopg.Connection, "commit", commit),
    ):
        yield


@contextmanager
def fresh(server: EmbeddedPostgres) -> Iterator[Database]:
    """A migrated database for one fault."""
    name = f"faults_{next(_NUMBERS)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield Database(server, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def ledger_of(database: Database) -> PostgresLedger:
    url = database.url("tenuto_ingest")
    return PostgresLedger(open_datastore(url), url)


def worth_failing(seen: list[str], form: str) -> list[int]:
    """Which statements to let fail: inside a transaction, done and not done come to the same, since it is rolled back."""
    persisted, dies = FORMS[form]
    places = first_and_last(seen)
    return [number for number in places if persisted == dies or seen[number] in ("claim", "COMMIT")]


def append_with(server: EmbeddedPostgres, points: Points, fault: Fault | None) -> list[str]:
    """Bring the whole story in with one fault; check the end; return the statements."""
    with fresh(server) as database:
        ledger = ledger_of(database)
        try:
            road = Road(ledger)
            author = road.story()
            road.ingest._partitions[0].owned = False  # type: ignore[index] # so that the claim is among the statements
            with faulty_driver(points):
                points.arm(fault)
                try:
                    road.ingest.step()
                except Crash:
                    ledger.close()
                    ledger = ledger_of(database)
                    road.restart(ledger)
                seen = list(points.seen)
                points.revive()
                road.run()
                road.check(author)
            return seen
        finally:
            ledger.close()


@pytest.mark.parametrize("form", FORMS)
def test_after_a_fault_at_any_statement_of_an_append_everything_is_there_once(postgres: EmbeddedPostgres, form: str) -> None:
    points, (persisted, dies), wrong = Points(), FORMS[form], list[str]()
    seen = append_with(postgres, points, None)
    for number in worth_failing(seen, form):
        try:
            append_with(postgres, points, Fault(number, persisted, dies))
        except Exception as error:  # told with the statement that it came after
            wrong.append(f"{seen[number]}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def test_the_table_names_every_statement_of_an_append(postgres: EmbeddedPostgres) -> None:
    points = Points()
    with fresh(postgres) as database, faulty_driver(points):
        ledger = ledger_of(database)
        road = Road(ledger)
        road.check(road.story_told())
        ledger.close()
    assert set(points.seen) == APPEND


def project_with(server: EmbeddedPostgres, points: Points, fault: Fault | None) -> list[str]:
    """Build all read models with one fault; compare them with those of another database; return the statements."""
    ledger = tell(*WHOLE)
    with fresh(server) as database:
        engine = as_role(database.url(), "tenuto_projector")
        live = projector(engine, ledger, page_events=6)
        with faulty_driver(points):
            points.arm(fault)
            for _ in range(4):
                try:
                    live.catch_up()
                except (Crash, Rewound):
                    points.revive()
                    live = projector(engine, ledger, page_events=6)
                except (Busy, DBAPIError, psycopg.Error):
                    continue
                else:
                    break
            seen = list(points.seen)
            points.revive()
        assert live.catch_up() == 0, "it came to its end"
        assert positions(engine) == {len(ledger.entries)}
        assert digests(engine) == expected(ledger)
        engine.dispose()
        return seen


def demand_models_survive(server: EmbeddedPostgres, form: str, chosen: Callable[[str], bool]) -> None:
    """Let each chosen statement of a page fail in this form."""
    points, (persisted, dies), wrong = Points(), FORMS[form], list[str]()
    seen = project_with(server, points, None)
    assert {"COMMIT", "INSERT INTO read_model.tracking"} < set(seen)
    for number in (one for one in worth_failing(seen, form) if chosen(seen[one])):
        try:
            project_with(server, points, Fault(number, persisted, dies))
        except Exception as error:  # told with the statement that it came after
            wrong.append(f"{seen[number]}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("form", FORMS)
def test_after_a_fault_at_place_or_commit_of_a_page_the_read_models_equal_a_rebuild(postgres: EmbeddedPostgres, form: str) -> None:
    """The other statements, which are many and all inside one transaction, have their turn in `make soak`."""
    demand_models_survive(postgres, form, lambda name: name in ("COMMIT", "INSERT INTO read_model.tracking"))

"""A Postgres of the tests' own, and a freshly planted ledger in it for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
from tenuto.embedded import EmbeddedPostgres
from tenuto.migrating import migrate, sqlalchemy_url
from tenuto.trust import Trust

from tests.console.planted import ORIGIN, Planted

TEMPLATE = "console_template"
STORY_SECONDS = 1430
_NUMBERS = count()


@pytest.fixture(scope="session")
def console_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("console-postgres"), durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate(server.url_of(TEMPLATE))
        yield server


@pytest.fixture
def database(console_postgres: EmbeddedPostgres) -> str:
    """The name of an empty, migrated database."""
    name = f"console_{next(_NUMBERS)}"
    with psycopg.connect(console_postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return name


@pytest.fixture
def planted(console_postgres: EmbeddedPostgres, database: str) -> Iterator[Planted]:
    """A ledger whose story, when told, ends a moment ago."""
    start = datetime.now(UTC) - timedelta(seconds=STORY_SECONDS)
    ledger = Planted(sqlalchemy_url(console_postgres.url_of(database)), start)
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def console_url(console_postgres: EmbeddedPostgres, database: str) -> str:
    """The same database for the console's role, which may read and nothing else."""
    return sqlalchemy_url(console_postgres.url_of(database, user="tenuto_console"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a trust file, so that the console knows which log it shows."""
    nothing = "0" * 64
    trust = Trust(origin=ORIGIN, root_public_key=nothing, log_key="", policy="", epoch=1, epoch_public_key=nothing)
    trust.save(tmp_path)
    return tmp_path

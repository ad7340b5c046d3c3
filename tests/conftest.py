"""The real parts that tests stand on: one embedded Postgres and one embedded broker for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from tenuto.embedded import EmbeddedBroker, EmbeddedPostgres
from tenuto.migrating import migrate

TEMPLATE = "tenuto_template"
HERE = Path(__file__).parent
ON_ONE_WORKER = frozenset({"fire", "contracts", "console", "interop", "opa", "infrastructure", "containers"})
"""Folders whose tests share a part that takes long to start: an Apache Kafka, a console, programs that are built."""
_NUMBERS = count()
# Nothing here asserts how long it takes: on a busy machine an example may need longer than the 200 ms that hypothesis grants.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side (`make test` does), a file is never split, and neither is what shares such a part."""
    for item in items:
        place = item.path.relative_to(HERE).with_suffix("")
        group = place.parts[0] if place.parts[0] in ON_ONE_WORKER else place.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


@dataclass(frozen=True, slots=True)
class Database:
    """One migrated database of a test's own."""

    server: EmbeddedPostgres
    name: str

    def url(self, role: str | None = None) -> str:
        """A libpq URL for `role`, or for the owner, who is a superuser."""
        return self.server.url_of(self.name) if role is None else self.server.url_of(self.name, user=role)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate(server.url_of(TEMPLATE))
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """An empty, migrated database."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield Database(postgres, name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running

"""The real parts that tests stand on: one embedded Postgres and one embedded broker for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from tenuto.embedded import EmbeddedBroker, EmbeddedPostgres
from tenuto.migrating import migrate

# What stands beside the tests asserts as well, and says as much when it fails.
_BESIDE = Path(__file__).parent.iterdir()
pytest.register_assert_rewrite(*(f"tests.{one.stem}" for one in _BESIDE if not one.stem.startswith(("_", "test_", "conftest"))))

TEMPLATE = "tenuto_template"
_NUMBERS = count()
# Nothing here asserts how long it takes: on a busy machine an example may need longer than the 200 ms that hypothesis grants.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, what shares a part runs on one worker."""
    from tests.spreading import GroupsOnOneWorker  # only where tests run side by side

    return GroupsOnOneWorker(config, log) if config.getvalue("dist") == "loadscope" else None


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

"""One log in two small partitions and a bit, made once; tests spoil copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from tenuto.embedded import EmbeddedPostgres
from tenuto.verification import Verified

from tests.conftest import TEMPLATE, Database
from tests.retention.site import LEAVES, Site

FULL = 2
SIZE = FULL * LEAVES + 90
_NUMBERS = count()


@pytest.fixture(scope="session")
def grown(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Site:
    name = f"retention_{next(_NUMBERS)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    site = Site(tmp_path_factory.mktemp("retention") / "home", Database(postgres, name))
    site.begin()
    site.grow(SIZE)
    site.seal()
    return site


@pytest.fixture(scope="session")
def before(grown: Site) -> list[Verified]:
    """All that is in it, as read before anything was dropped."""
    return grown.read()


@pytest.fixture(scope="session")
def applied(grown: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A copy whose full partitions were dropped. Who spoils it mends it again."""
    with grown.copy(tmp_path_factory.mktemp("applied")) as copy:
        copy.apply()
        yield copy


@pytest.fixture
def site(grown: Site, tmp_path: Path) -> Iterator[Site]:
    with grown.copy(tmp_path) as copy:
        yield copy

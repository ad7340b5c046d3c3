"""One log in two small partitions and a bit, made once; tests spoil copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from tenuto.embedded import EmbeddedPostgres

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


@pytest.fixture
def site(grown: Site, tmp_path: Path) -> Iterator[Site]:
    with grown.copy(tmp_path) as copy:
        yield copy

"""Each part once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infrastructure.parts import Cloud, KeyKeeper


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyKeeper]:
    with KeyKeeper(tmp_path_factory.mktemp("keeper")) as running:
        yield running

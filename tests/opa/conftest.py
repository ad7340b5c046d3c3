"""The server, once per run; where it cannot be had, a local run skips and says so, and CI fails."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tenuto.embedded import PartMissing

from tests.interop.foreign import BUILD_SECONDS_MAX
from tests.opa.server import OpaServer, built_opa


@pytest.fixture(scope="session")
def opa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpaServer]:
    """One server for all tests here."""
    try:
        program = built_opa()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The Open Policy Agent is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))
    with OpaServer(program, tmp_path_factory.mktemp("opa")) as server:
        yield server


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whichever test comes first waits for the build."""
    item.add_marker(pytest.mark.timeout(BUILD_SECONDS_MAX + 300))

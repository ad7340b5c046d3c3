"""The foreign programs, once per run."""

from __future__ import annotations

import os

import pytest
from tenuto.embedded import PartMissing

from tests.interop.foreign import ForeignPrograms, built_programs


@pytest.fixture(scope="session")
def programs() -> ForeignPrograms:
    """Where they cannot be had, a local run skips and says so; CI fails, for there they must be."""
    try:
        return built_programs()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The foreign witness is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))

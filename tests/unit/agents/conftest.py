"""The sandbox, once per worker; where there is none, a local run skips and says so, and CI fails."""

from __future__ import annotations

import os

import pytest
from tenuto_agents.sandbox import Bubblewrap, SandboxMissing


@pytest.fixture(scope="session")
def sandbox() -> Bubblewrap:
    """The real box of this machine."""
    try:
        return Bubblewrap()
    except SandboxMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The sandbox is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))

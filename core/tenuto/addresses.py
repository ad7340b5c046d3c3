"""Where the parts of a home answer now: the note that a running supervisor leaves for the other commands."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATABASE = "tenuto"
"""The ledger's database on an embedded server."""

RUNNING_FILE = "running.json"


def running_addresses(home: Path) -> Mapping[str, Any]:
    """Return the addresses of the supervisor that runs on this home now; empty when none does.

    `database_url`, `kafka`, `console`, and `health`: from a part's name to where it serves /metrics and /healthz.
    """
    try:
        addresses: dict[str, Any] = json.loads((home / RUNNING_FILE).read_text("utf-8"))
        os.kill(int(addresses["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return {}
    return addresses

"""Where the parts of a home answer now: the note that a running supervisor leaves for the other commands."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import NotConfigured
from .settings import Settings

DATABASE = "tenuto"
"""The ledger's database on an embedded server."""

RUNNING_FILE = "running.json"
SUPERVISOR = "supervisor"
"""The folder whose lock a supervisor holds for as long as it lives."""


def running_addresses(home: Path) -> Mapping[str, Any]:
    """Return the addresses of the supervisor that runs on this home now; empty when none does.

    `database_url`, `kafka`, `console`, and `health`: from a part's name to where it serves /metrics and /healthz.
    """
    if not _is_supervised(home):
        return {}
    try:
        addresses = json.loads((home / RUNNING_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return addresses if isinstance(addresses, dict) else {}


def console_link(settings: Settings) -> str:
    """Return where people open the console, without a slash at the end; raises NotConfigured for what is no such address."""
    if settings.console_url is None:
        return f"http://{settings.console_address}:{settings.console_port}"
    parts = urlsplit(settings.console_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise NotConfigured(f"TENUTO_CONSOLE_URL={settings.console_url!r:.200} is no address such as https://tenuto.example.")
    return settings.console_url.rstrip("/")


def _is_supervised(home: Path) -> bool:
    """Ask for the lock, not for the process id in the note: after a restart of the machine that is a stranger's."""
    try:
        with (home / SUPERVISOR / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False

"""The tool servers of one agent: which there are, how they are started, and what they must offer.

A server gets what its tools need and nothing of what the agent's process was given besides: no variable that is not named
here, and no secret by an argument. Each is started once and kept.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tenuto.errors import NotConfigured, TenutoError

from .session import Started, ToolSession

if TYPE_CHECKING:
    from tenuto.settings import Settings

SERVERS: Mapping[str, tuple[str, ...]] = {
    "code-review": ("git",),
    "infrastructure": ("git", "cloud"),
    "deployment": ("git", "registry", "deploy"),
}
"""Which servers each agent has."""
PINS = "pins.json"
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT")
_EVERY_SERVER = ("home", "database_url", "archive", "policy", "log_level")
_SETTINGS: Mapping[str, tuple[str, ...]] = {"git": ("sandbox",), "cloud": ("provider", "state_store"), "registry": ("containers",)}


class Tools:
    """The sessions of one agent, by the name of the server. Close it with the agent."""

    def __init__(self, sessions: Mapping[str, ToolSession]) -> None:
        """Nothing is started yet."""
        self._sessions = sessions

    def session(self, server: str) -> ToolSession:
        """Return the session with a server; raises NotConfigured for one that this agent does not have."""
        if server not in self._sessions:
            raise NotConfigured(f"This agent has no tool server {server!r}; it has {', '.join(self._sessions)}.")
        return self._sessions[server]

    def warm(self) -> None:
        """Start every server in the background, so that the first call need not wait; what fails is met there again."""
        for session in self._sessions.values():
            threading.Thread(target=_open_quietly, args=(session,), name="tenuto-tools", daemon=True).start()

    def close(self) -> None:
        """End every server."""
        for session in self._sessions.values():
            session.close()


def _open_quietly(session: ToolSession) -> None:
    try:
        session.open()
    except TenutoError:
        pass


def open_tools(settings: Settings, agent: str, environment: Mapping[str, str]) -> Tools:
    """Return the tools of an agent; `settings` name every address, `environment` is this process's own."""
    return Tools({name: ToolSession(started(settings, agent, name, environment)) for name in SERVERS.get(agent, ())})


def started(settings: Settings, agent: str, server: str, environment: Mapping[str, str]) -> Started:
    """Return how a server of an agent is started."""
    argv = (sys.executable, "-m", "tenuto", "tool-server", server, "--agent", agent)
    log = settings.home / "logs" / f"tools-{server}-{agent}.log"
    return Started(server, argv, server_environment(settings, server, environment), pins()[server], log)


def server_environment(settings: Settings, server: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a server: a few variables of this machine, and the settings that its tools need."""
    passed = {name: environment[name] for name in _PASSED if name in environment}
    given = _named(settings, (*_EVERY_SERVER, *_SETTINGS.get(server, ())))
    return {"HOME": str(settings.home.absolute()), **passed, **given, "PYTHONUNBUFFERED": "1"}


def _named(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    values = ((name, getattr(settings, name)) for name in names)
    absolute = ((name, value.absolute() if isinstance(value, Path) else value) for name, value in values if value is not None)
    return {f"TENUTO_{name.upper()}": str(value) for name, value in absolute}


def pins() -> dict[str, str]:
    """Return what each server must offer, as `contract.list_digest` has it, by the server's name."""
    return msgspec.json.decode(files(__package__).joinpath(PINS).read_bytes(), type=dict[str, str])

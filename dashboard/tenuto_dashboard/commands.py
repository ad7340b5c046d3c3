"""`tenuto console`: start the approval console.

Streamlit runs in a process of its own image (`exec`), so that signals, exit codes and the terminal are its own. What
protects the reviewer is passed as flags, since flags win over every file and variable that may lie around.
"""

from __future__ import annotations

import os
import socket
import sys
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from tenuto.cli.panels import Panel
from tenuto.errors import NotConfigured
from tenuto.settings import Settings, load_settings

from .login import prepare, secrets_file, verify_login

APP = Path(__file__).with_name("app.py")
THEME = Path(__file__).with_name("assets") / "theme.toml"
EXIT_USAGE = 2


def add_commands(app: typer.Typer) -> None:
    """Add the console's commands to the `tenuto` command."""
    app.command("console", rich_help_panel=Panel.REVIEW)(console)


def console(
    port: Annotated[int | None, typer.Option(help="Port to listen on; default is TENUTO_CONSOLE_PORT (8501).")] = None,
    address: Annotated[str | None, typer.Option(help="Address to listen on; default is the loopback only.")] = None,
) -> None:
    """Start the approval console.

    It has the inbox, review, runs, integrity, fleet and alerts.
    """
    try:
        verify_console_extra()
        settings = load_settings(console_port=port, console_address=address)
        verify_login(settings)
        verify_free(settings.console_address, settings.console_port)
        secret = prepare(settings)
    except NotConfigured as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from error
    where = settings.console_url or f"http://{settings.console_address}:{settings.console_port}"
    typer.echo(f"The approval console is at {where}", err=True)
    command = command_line(settings)
    environment = {**os.environ, "STREAMLIT_SERVER_COOKIE_SECRET": secret}
    environment |= {f"TENUTO_{name.upper()}": str(getattr(settings, name)) for name in ("console_port", "console_address")}
    os.execve(sys.executable, command, environment)


def command_line(settings: Settings, script: Path = APP) -> list[str]:
    """Return the command that runs the console; the cookie secret goes by environment, where `ps` does not show it."""
    flags = {
        "secrets.files": str(secrets_file(settings)),
        "server.port": str(settings.console_port),
        "server.address": settings.console_address,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableAgentApi": "false",
        "server.enableStaticServing": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": urlsplit(settings.console_url or "").hostname or settings.console_address,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.disableDataExport": "true",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": "false",
        "global.disableWidgetStateDuplicationWarning": "true",  # the page of a list is kept by us, and has a default that cannot be left out
        "runner.postScriptGC": "false",  # a whole collection after each part that is drawn costs more than the drawing
        "logger.level": "warning",
    }
    flags |= theme_flags()
    given = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(script), *given]


def theme_flags() -> dict[str, str]:
    """Return the entries of `theme.toml` as flags."""
    flags: dict[str, str] = {}

    def gather(prefix: str, entries: Mapping[str, object]) -> None:
        for name, value in entries.items():
            if isinstance(value, Mapping):
                gather(f"{prefix}{name}.", value)
            else:
                flags[prefix + name] = str(value).lower() if isinstance(value, bool) else str(value)

    gather("", tomllib.loads(THEME.read_text("utf-8")))
    return flags


def verify_console_extra() -> None:
    """Raise NotConfigured, naming the extra, unless Streamlit is installed."""
    if find_spec("streamlit") is None:
        raise NotConfigured("`tenuto console` needs Streamlit. Install the extra: pip install 'tenuto[console]'.")


def verify_free(address: str, port: int) -> None:
    """Raise NotConfigured, with the remedy, when the console could not listen there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            sentence = f"The console cannot listen on {address}:{port}: {error.strerror}."
            remedy = " Stop what runs there, or choose another port with --port or TENUTO_CONSOLE_PORT."
            raise NotConfigured(sentence + remedy) from error

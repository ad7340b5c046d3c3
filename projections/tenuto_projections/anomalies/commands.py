"""The command of this part: `tenuto watch`. Arguments to calls, nothing more."""

from __future__ import annotations

import logging

import typer
from tenuto.cli.panels import Panel

IDLE_SECONDS = 0.25


def add_commands(app: typer.Typer) -> None:
    """Add watch to the `tenuto` command."""
    app.command(rich_help_panel=Panel.PARTS)(watch)


def watch() -> None:
    """Look for anomalies in what agents do and say.

    Each is raised as a signed alert, once, until SIGTERM.
    """
    verify_detect_extra()
    from tenuto.clock import SystemClock
    from tenuto.running import run_until, stop_flag
    from tenuto.settings import load_settings
    from tenuto.telemetry import Telemetry
    from tenuto.wiring import open_follower, open_recorder

    from .watch import AUTHOR, SOFTWARE, Watch

    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = stop_flag()
    # Everything is found in headers, so this process needs no storage key and reads no payload.
    follower = open_follower(settings, payloads=False)
    with (
        Telemetry("watch", settings.metrics_port) as telemetry,
        open_recorder(settings, AUTHOR, software=SOFTWARE) as recorder,
    ):
        looking = Watch(follower, recorder, SystemClock())
        run_until(stop, lambda: looking.catch_up(stop.is_set), telemetry, idle_seconds=IDLE_SECONDS)


def verify_detect_extra() -> None:
    """Raise NotConfigured, naming the extra, unless scikit-learn is installed."""
    from importlib.util import find_spec

    from tenuto.errors import NotConfigured

    if find_spec("sklearn") is None:
        raise NotConfigured("`tenuto watch` needs scikit-learn. Install the extra: pip install 'tenuto[detect]'.")

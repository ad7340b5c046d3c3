"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, hold, kafka, keys, processes, purge, retention, status, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, hold, purge, retention, kafka, ingest, seal, witness, deliver, up, status and demo."""
    for part in (keys, hold, purge, retention, kafka, up, status, processes, demo):
        part.add_commands(app)

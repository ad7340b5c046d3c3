"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, kafka, keys, processes, status, tiles, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, kafka, tiles, ingest, seal, witness, deliver, up, status and demo."""
    for part in (keys, kafka, tiles, up, status, processes, demo):
        part.add_commands(app)

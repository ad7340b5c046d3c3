"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, kafka, keys, processes, reviewers, status, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, reviewer, kafka, ingest, seal, witness, deliver, route, up, status and demo."""
    for part in (keys, reviewers, kafka, up, status, processes, demo):
        part.add_commands(app)

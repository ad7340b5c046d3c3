"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, kafka, keys, passkeys, processes, reviewers, status, tiles, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, passkey, reviewer, kafka, tiles, ingest, seal, witness, deliver, route, up, status and demo."""
    for part in (keys, passkeys, reviewers, kafka, tiles, up, status, processes, demo):
        part.add_commands(app)

"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, kafka, keys, passkeys, processes, status, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, passkey, kafka, ingest, seal, witness, deliver, up, status and demo."""
    for part in (keys, passkeys, kafka, up, status, processes, demo):
        part.add_commands(app)

"""The commands of this package, gathered for the command line."""

from __future__ import annotations

import typer

from . import demo, hold, kafka, keys, passkeys, processes, purge, reconcile, retention, reviewers, status, tiles, up


def add_commands(app: typer.Typer) -> None:
    """Add init, key, passkey, reviewer, hold, purge, reconcile, retention, kafka, tiles, the processes, up, status and demo."""
    for part in (demo, keys, up, status, passkeys, reviewers, hold, purge, reconcile, retention, kafka, tiles, processes):
        part.add_commands(app)

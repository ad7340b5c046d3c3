"""`tenuto key storage`: renew the key that wraps what is stored, once purges have used it up."""

from __future__ import annotations

import typer

from ..settings import load_settings


def add_commands(keys: typer.Typer) -> None:
    """Add the group `storage` below `key`."""
    group = typer.Typer(help="The key that payloads are stored under.", no_args_is_help=True)
    group.command("renew")(renew)
    keys.add_typer(group, name="storage")


def renew() -> None:
    """Renew the storage key: it bears 4,096 purged payloads, and then as many again. After a crash: the same again."""
    from ..renewing import open_renewing

    with open_renewing(load_settings()) as renewing:
        done = renewing.renew()
    typer.echo(
        f"The storage key was renewed (number {done.renewal}), and the one before is destroyed. {done.kept:,} payloads of before"
        f" open as they did, {done.late:,} of them were being written just then; {done.gone:,} that were purged stay closed."
    )
    typer.echo("Copies of the key folder from before hold the keys as they were: make a new backup of it, and let go of the old ones.")

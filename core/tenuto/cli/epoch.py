"""`tenuto key epoch`: open the next epoch, and destroy the key of one that is over."""

from __future__ import annotations

from typing import Annotated

import typer

from ..settings import load_settings


def add_commands(keys: typer.Typer) -> None:
    """Add the group `epoch` below `key`."""
    group = typer.Typer(help="The keys that payloads are sealed to on the bus.", no_args_is_help=True)
    group.command("rotate")(rotate)
    group.command("destroy")(destroy)
    keys.add_typer(group, name="epoch")


def rotate() -> None:
    """Open the next epoch: what authors record from now on is sealed to its key, also by sessions that run."""
    from ..wiring import open_epochs

    with open_epochs(load_settings()) as epochs:
        number = epochs.rotate()
    typer.echo(f"Epoch {number} is open. Ingest opens it at once, and the epochs before it too, until they are destroyed.")
    typer.echo("Who records on this home follows within seconds and says so on record; hand trust.json to other machines, which follow then.")


def destroy(
    epoch: Annotated[int, typer.Argument(help="Number of an epoch that is over.")],
    sessions_ended: Annotated[
        bool, typer.Option("--sessions-ended", help="No session from before the rotation is at work any more.")
    ] = False,
) -> None:
    """Destroy the key of an epoch: what was sealed to it in Kafka and its copies cannot be opened any more."""
    from ..wiring import open_epochs

    with open_epochs(load_settings()) as epochs:
        there = epochs.destroy(epoch, sessions_ended=sessions_ended)
    typer.echo(f"The key of epoch {epoch} {'is' if there else 'was already'} destroyed. Copies of the key folder may hold it still.")

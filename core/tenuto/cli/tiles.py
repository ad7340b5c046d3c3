"""`tenuto tiles`: what a person does about the published folder when something may be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..settings import load_settings
from .panels import Panel

WITHHELD = 3


def add_commands(app: typer.Typer) -> None:
    """Add the group `tiles`."""
    group = typer.Typer(help="Make the published folder again, or hold it to a witness.", no_args_is_help=True)
    group.command("rebuild")(rebuild)
    group.command("compare")(compare)
    app.add_typer(group, name="tiles", rich_help_panel=Panel.OPERATE)


def rebuild(
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="File with a signed checkpoint that somebody kept; may be given often.")
    ] = None,
) -> None:
    """Make the log folder again from the ledger, if the ledger is still the one that was signed; the sealer must not run."""
    from ..wiring import rebuild_log

    done = rebuild_log(load_settings(), checkpoint or ())
    typer.echo(f"The log folder holds {done.size:,} events; the ledger agreed with {done.compared:,} remembered checkpoints.")
    typer.echo(f"{done.written:,} files were written." if done.written else "No file was missing or wrong.")
    for name in done.wrong:
        typer.echo(f"{name} was wrong; what lay there is in {done.aside}")


def compare(
    witness: Annotated[str, typer.Argument(help="Address of a witness that keeps what it cosigned, as `tenuto witness` does.")],
) -> None:
    """Look for checkpoints that a witness cosigned and the published log does not show."""
    from ..wiring import withheld_from

    settings = load_settings()
    name, missing, size = withheld_from(settings, witness)
    if missing:
        typer.echo(f"{name} cosigned checkpoints that this log does not show, over {', '.join(map(str, missing))} events.", err=True)
        raise typer.Exit(WITHHELD)
    typer.echo(f"Every checkpoint up to {size:,} events that {name} cosigned is in the archive.")

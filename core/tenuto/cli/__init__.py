"""The `tenuto` command. It assembles itself: each package adds its own subcommands by an entry point.

Exit codes: 0 done, 1 nothing found or not as hoped, 2 wrong usage or a part that is away, 3 the log is not what it claims
to be.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version
from typing import Annotated, NoReturn

import typer

from ..errors import TenutoError
from .panels import ByErrand

GROUP = "tenuto.commands"
USAGE, NOT_INTACT = 2, 3


def build() -> typer.Typer:
    """Return the whole command line: the commands of every installed package, by errand."""
    app = typer.Typer(
        name="tenuto",
        cls=ByErrand,
        help="Holds AI agents to account: every decision, tool call and approval on a signed, verifiable record.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        point.load()(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tenuto {version('tenuto')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before any command."""


def main() -> NoReturn:
    """Run the command line; a refusal or a missing part is one sentence on stderr, never a traceback."""
    try:
        build()()
    except TenutoError as error:
        typer.echo(f"tenuto: {error}", err=True)
        sys.exit(exit_code(error))
    sys.exit(0)


def exit_code(error: TenutoError) -> int:
    """Return 3 when the log is not what it claims to be, 2 for everything else that a person has to mend."""
    from ..verification import VerificationFailed

    return NOT_INTACT if isinstance(error, VerificationFailed) else USAGE

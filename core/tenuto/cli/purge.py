"""`tenuto purge`: make payloads unreadable for ever, with people's agreement and on record. The events stay and verify."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..errors import NotConfigured
from ..events.record import PurgeReason
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..purging import Applied, Asked, Purging

REASONS = get_args(PurgeReason)

Events = Annotated[list[str], typer.Argument(metavar="EVENT", help="Ids of events, or their positions in the log.")]
Why = Annotated[str, typer.Option(help="A sentence for the reviewers. Do not repeat what is to be purged.")]
Reason = Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")]
Keeper = Annotated[str, typer.Option(help="Author with the role keeper, in whose name it is done.")]
Initiator = Annotated[str | None, typer.Option(help="The person behind it, who may not approve it; the keeper's owner by default.")]


def add_commands(app: typer.Typer) -> None:
    """Add the group `purge`."""
    group = typer.Typer(help="Make payloads unreadable for ever, as people agreed.", no_args_is_help=True)
    group.command("request")(request)
    group.command("apply")(apply)
    group.command("run")(run)
    app.add_typer(group, name="purge", rich_help_panel=Panel.OPERATE)


def request(
    events: Events, reason: Reason, why: Why = "", keeper: Keeper = "keeper", initiator: Initiator = None
) -> None:
    """Ask people to clear the purge of these payloads, and return; `tenuto purge apply` does it once they agreed."""
    with _purging(keeper) as purging:
        asked = _request(purging, events, reason, why, keeper=keeper, initiator=initiator)
    typer.echo(f"When they have agreed: tenuto purge apply {asked.request.approval}")


def apply(
    approval: Annotated[str, typer.Argument(metavar="REQUEST", help="Name of the request, approval-...")],
    keeper: Keeper = "keeper",
) -> None:
    """Destroy the keys and rows that a granted request names, and record it. May be repeated after a crash or a restore."""
    with _purging(keeper) as purging:
        _report(purging.apply(approval))


def run(events: Events, reason: Reason, why: Why = "", keeper: Keeper = "keeper", initiator: Initiator = None) -> None:
    """Ask people, wait for them, and purge: request and apply in one."""
    with _purging(keeper) as purging:
        asked = _request(purging, events, reason, why, keeper=keeper, initiator=initiator)
        typer.echo("Waiting for the reviewers; Ctrl-C leaves the request open for `tenuto purge apply`.")
        purging.wait(asked)
        _report(purging.apply(asked.request.approval))


@contextmanager
def _purging(keeper: str) -> Iterator[Purging]:
    from ..wiring import open_purging

    with open_purging(load_settings(), keeper) as purging:
        yield purging


def _request(
    purging: Purging, events: list[str], reason: str, why: str, *, keeper: str, initiator: str | None
) -> Asked:
    from .keys import current_keyring

    if reason not in REASONS:
        raise NotConfigured(f"{reason!r} is no reason. There are: {', '.join(REASONS)}.")
    owner = initiator or current_keyring(load_settings()).current(keeper).owner
    asked = purging.request(events, reason, why, owner)
    places = ", ".join(f"{position:,}" for position in asked.positions)
    typer.echo(f"{asked.request.approval} asks {asked.request.quorum} reviewers to clear the purge of {places} ({reason}).")
    return asked


def _report(done: Applied) -> None:
    places = ", ".join(f"{position:,}" for position in done.asked.positions)
    again = "It was on record already. " if done.before else ""
    typer.echo(f"{again}{done.keys} keys and {done.rows} rows were destroyed; the payloads of {places} cannot be read any more.")
    typer.echo("What may be readable still:")
    for sentence in done.still_readable:
        typer.echo(f"  {sentence}")

"""`tenuto hold ...`: say what must be kept, whatever else was decided. Arguments to calls, nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..holding import Holds

SOFTWARE = "tenuto-hold"

Hold = Annotated[str, typer.Argument(metavar="HOLD", help="Name of the hold, such as case-2026-12.")]
Custodian = Annotated[str, typer.Option("--as", help="The custodian, or root, whose key is in the home.", metavar="AUTHOR")]


def add_commands(app: typer.Typer) -> None:
    """Add the group `hold`."""
    holds = typer.Typer(help="Place, lift and list legal holds.", no_args_is_help=True)
    holds.command("place")(place)
    holds.command("lift")(lift)
    holds.command("list")(list_holds)
    app.add_typer(holds, name="hold", rich_help_panel=Panel.OPERATE)


def place(
    hold: Hold,
    *,
    author: Custodian,
    reason: Annotated[str, typer.Option(help="Why, in words; it is encrypted like every payload.")],
    run: Annotated[str | None, typer.Option(help="Every event of this run, also those still to come.")] = None,
    positions: Annotated[
        str | None, typer.Option(help="FIRST..LAST, both included; either may be left out.", metavar="RANGE")
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="The whole log.")] = False,
) -> None:
    """Place a legal hold on a run, a range of positions, or the whole log."""
    from ..documents import Reason
    from ..events import HoldPlaced
    from ..wiring import open_recorder

    if everything == (run is not None or positions is not None):
        raise NotConfigured("Say what is held: --run and --positions, one of them, or --everything.")
    first, last = (None, None) if positions is None else parsed_range(positions)
    settings = load_settings()
    with open_recorder(settings, author, software=SOFTWARE) as custodian:
        event = custodian.record(HoldPlaced, document=Reason(text=reason), hold=hold, run=run, first=first, last=last)
        receipt = custodian.wait(event, settings.receipt_seconds)
    typer.echo(f"The hold {hold} is in force since position {receipt.position}.")


def lift(
    hold: Hold, *, author: Custodian, reason: Annotated[str, typer.Option(help="Why it may end, in words.")]
) -> None:
    """Lift a hold: what you placed under this name; as root, all of it."""
    from ..documents import Reason
    from ..events import HoldLifted
    from ..keyring import ROOT
    from ..wiring import open_recorder

    settings = load_settings()
    names = {one.hold for one in current_holds().in_force() if author in (one.author, ROOT)}
    if hold not in names:
        own = ", ".join(sorted(names)) or "none"
        raise NotConfigured(f"{author} can lift no hold {hold}; those it can lift: {own}. See `tenuto hold list`.")
    with open_recorder(settings, author, software=SOFTWARE) as custodian:
        custodian.wait(custodian.record(HoldLifted, document=Reason(text=reason), hold=hold), settings.receipt_seconds)
    still = {one.author for one in current_holds().in_force() if one.hold == hold}
    rest = f", but it stays in force by the word of {', '.join(sorted(still))}" if still else ""
    typer.echo(f"{author} lifted the hold {hold}{rest}.")


def list_holds() -> None:
    """Print the holds that are in force, as the verified ledger says."""
    holds = current_holds().in_force()
    for one in holds:
        parts = [] if one.run is None else [f"run {one.run}"]
        if one.first is not None or one.last is not None:
            parts.append(f"positions {one.first or 0} to {'the end' if one.last is None else one.last}")
        covers = " and ".join(parts) or "the whole log"
        typer.echo(f"{one.hold:24} {covers}; placed by {one.author} on {one.since:%Y-%m-%d} at position {one.position}")
    if not holds:
        typer.echo("No hold is in force.")


def parsed_range(said: str) -> tuple[int | None, int | None]:
    """Return the two ends of `FIRST..LAST`; raises NotConfigured unless it names one at least and they are in order."""
    ends = said.split("..")
    if len(ends) != 2 or not any(ends) or not all(end == "" or end.isdecimal() for end in ends):
        raise NotConfigured(f"{said!r} is no range of positions. Write FIRST..LAST, such as 100..2000 or 100.. .")
    first, last = (int(end) if end else None for end in ends)
    if first is not None and last is not None and first > last:
        raise NotConfigured(f"The range {said} ends before it begins.")
    return first, last


def current_holds() -> Holds:
    """Return the holds as the signed log has them now."""
    from ..holding import Holds
    from ..wiring import open_follower

    holds = Holds()
    for verified in open_follower(load_settings(), payloads=False).catch_up():
        holds.apply(verified)
    return holds

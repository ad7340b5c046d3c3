"""`tenuto spotcheck ...`: which approvals get a second look, and is the draw what the log says it is?

`verify` repeats the draw from the published checkpoints: it takes nobody's word for it. Exit codes: 0 fine, 1 not drawn yet
or nothing found, 2 wrong usage or a part that is away, 3 the draw or the log is not what it claims to be.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from tenuto.cli.panels import Panel

from . import commands as shared

if TYPE_CHECKING:
    from tenuto.approvals.spotcheck import Spotcheck, Spotchecks
    from tenuto.log.archive import Covering
    from tenuto.settings import Settings
    from tenuto.trust import Trust


class Folded(NamedTuple):
    """The spot checks of the whole verified log, at the ledger's own time."""

    checks: Spotchecks
    now: datetime


def add_commands(app: typer.Typer) -> None:
    """Add the group `spotcheck`."""
    group = typer.Typer(help="List second looks at approved actions, and repeat a draw.", no_args_is_help=True)
    group.command("list")(list_checks)
    group.command("verify")(verify)
    app.add_typer(group, name="spotcheck", rich_help_panel=Panel.REVIEW)


def list_checks(
    every: Annotated[bool, typer.Option("--all", help="Also those that were spared or looked at.")] = False,
) -> None:
    """List the approvals that want a second look, oldest first, with who may not take it."""
    from rich.text import Text

    from .replay.records import Output, printable, stamp

    with shared._sentences():
        folded, output = _folded(), Output()
        shown = [check for check in folded.checks.all() if every or check.state(folded.now) in ("waiting", "due", "overdue")]
        for check in shown:
            state = check.state(folded.now)
            record = {
                "approval": check.approval, "state": state, "position": check.position, "spent_at": stamp(check.at),
                "overdue_after": stamp(check.overdue_from) if check.overdue_from and not check.by else None,
                "approved_by": list(check.approved_by), "excluded": sorted(check.excluded), "by": check.by or None,
            }  # fmt: skip
            said = f"{check.approval}  approved by {', '.join(check.approved_by)}"
            said += f", looked at by {check.by}" if check.by else f"; not for {', '.join(sorted(check.excluded))}"
            if state in ("due", "overdue") and check.overdue_from is not None:
                said += f"; {'was' if state == 'overdue' else 'is'} due until {stamp(check.overdue_from)}"
            output.emit(record, [Text.assemble((f"{state:<9} ", _STYLES.get(state, "dim")), printable(said))])
        if not shown:
            shared._say("No approval wants a second look." if not every else "No approval was spent yet.")


def verify(
    name: Annotated[str, typer.Argument(metavar="APPROVAL", help="Name of an approval that was spent.")],
    witness: Annotated[
        str | None, typer.Option(help="Address of the draw witness; shows whether a checkpoint was withheld from the draw.")
    ] = None,
) -> None:
    """Repeat the draw: find the first cosigned checkpoint over the spending, hash, and compare with what is on record."""
    from tenuto.approvals.spotcheck import redraw
    from tenuto.log.archive import NotCovered
    from tenuto.log.witnessing import parse_policy
    from tenuto.wiring import open_trust

    with shared._sentences():
        settings = shared._settings()
        trust, check = open_trust(settings), _check(name)
        try:
            covering, ticket = redraw(settings.tiles, check.one, parse_policy(trust.policy), trust.origin)
        except NotCovered as waiting:
            shared._fail(f"There is no draw for {name} yet: {waiting}", shared.NOT_FOUND)
        hidden = () if witness is None else _withheld(settings, trust, covering, witness)
        _report(check, covering, ticket, hidden, asked=witness is not None)


class Found(NamedTuple):
    """One check, the draw on record if there is one, and its state."""

    one: Spotcheck
    draw: Any
    state: str


def _report(check: Found, covering: Covering, ticket: str, hidden: tuple[int, ...], *, asked: bool) -> None:
    from rich.text import Text
    from tenuto.approvals.spotcheck import is_drawn

    from .replay.records import Output

    drawn, draw = is_drawn(ticket), check.draw
    faults = []
    if draw is not None and (draw.ticket, draw.size, draw.drawn) != (ticket, covering.checkpoint.size, drawn):
        faults.append("The draw on record is another than the published checkpoints give.")
    if hidden:
        faults.append(f"The witness cosigned checkpoints over {', '.join(map(str, hidden))} entries that the log does not show.")
    record = {
        "approval": check.one.approval, "position": check.one.position, "size": covering.checkpoint.size,
        "cosignature": covering.cosignature.line.decode().strip(), "ticket": ticket, "drawn": drawn,
        "on_record": None if draw is None else {"ticket": draw.ticket, "size": draw.size, "drawn": draw.drawn},
        "state": check.state, "withheld": list(hidden) if asked else None, "faults": faults,
    }  # fmt: skip
    lines = [
        Text(f"{check.one.approval} was spent at position {check.one.position}.", style="bold"),
        Text(f"  first checkpoint over it   {covering.checkpoint.size} entries"),
        Text(f"  cosigned by                {covering.cosignature.name}"),
        Text(f"  ticket                     {ticket}"),
        Text(f"  15 % of 2^256              {15 * 2**256 // 100:064x}"),
        Text(f"  so it is {'DRAWN' if drawn else 'spared'}; it is {check.state} now", style="bold yellow" if drawn else "bold"),
        Text(f"  on record                  {'the same' if draw is not None and not faults else 'no draw yet' if draw is None else 'see below'}"),
    ]
    if not asked:
        lines.append(Text("  Whether the sealer held a checkpoint back: ask its witness too, with --witness.", style="dim"))
    Output().emit(record, [*lines, *(Text(f"  ✗ {fault}", style="bold red") for fault in faults)])
    if faults:
        raise typer.Exit(shared.NOT_INTACT)


def _check(name: str) -> Found:
    from .replay.links import NothingFound

    checks, now = _folded()
    one = checks.find(name)
    if one is None:
        raise NothingFound(f"No approval called {name} was spent.")
    return Found(one, checks.draw_of(name), one.state(now))


def _folded() -> Folded:
    """Fold the whole log; returned only after the root over all events was compared with the checkpoint."""
    from tenuto.approvals import Approvals
    from tenuto.approvals.spotcheck import Spotchecks
    from tenuto.clock import EPOCH

    approvals, now = Approvals(), EPOCH
    checks = Spotchecks(approvals)
    follower = shared._follower(shared._settings(), payloads=False)
    for page in follower.pages():
        for verified in page:
            approvals.apply(verified)
            checks.apply(verified)
            now = verified.recorded_at
    return Folded(checks, now)


def _withheld(settings: Settings, trust: Trust, covering: Covering, address: str) -> tuple[int, ...]:
    from tenuto.adapters.witness_http import HttpWitness
    from tenuto.log.archive import CheckpointArchive, draw_witness, withheld
    from tenuto.log.witnessing import parse_policy

    policy = parse_policy(trust.policy)
    remembered = HttpWitness(address, draw_witness(policy).vkey).archive(trust.origin)
    log, size = CheckpointArchive(settings.tiles), covering.checkpoint.size
    return tuple(withheld(log, remembered, policy, trust.origin, size))


_STYLES = {"waiting": "dim", "due": "yellow", "overdue": "bold red", "agreed": "green", "disagreed": "bold red", "spared": "dim"}

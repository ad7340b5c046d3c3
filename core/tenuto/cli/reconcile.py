"""`tenuto reconcile`: a person says how a call ended whose outcome nobody knew. Nothing else lets the agent try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..outcomes import Lost, Outcomes

SOFTWARE = "tenuto-reconcile"
OUTCOMES = ("done", "not_done", "mended")


def add_commands(app: typer.Typer) -> None:
    """Add `reconcile`."""
    app.command("reconcile", rich_help_panel=Panel.CONTAIN)(reconcile)


def reconcile(
    call: Annotated[str | None, typer.Argument(metavar="[CALL]", help="Name of the call; all that wait when left out.")] = None,
    outcome: Annotated[str | None, typer.Option(help=f"What you found: {', '.join(OUTCOMES)}.")] = None,
    reason: Annotated[str, typer.Option(help="How you found out, in words; it is encrypted like every payload.")] = "",
    author: Annotated[str | None, typer.Option("--as", help="The reviewer whose key is in the home.", metavar="AUTHOR")] = None,
) -> None:
    """List calls of unknown outcome, or say how one ended.

    You say it after you have looked.

    Until then the agent does not begin the same tool on the same resource again. A reviewer says it, who does not answer
    for that agent.
    """
    waiting = current_outcomes().unknown()
    if call is None:
        _print(waiting)
        return
    found = [lost for lost in waiting if lost.call == call]
    if not found:
        names = ", ".join(lost.call for lost in waiting) or "none"
        raise NotConfigured(f"No call {call} is unknown; those that are: {names}.")
    if outcome not in OUTCOMES or author is None or not reason.strip():
        raise NotConfigured(f"Say what you found, how, and who you are: --outcome {'|'.join(OUTCOMES)} --reason TEXT --as AUTHOR.")
    _record(found[0], cast("Literal['done', 'not_done', 'mended']", outcome), reason, author)


def current_outcomes() -> Outcomes:
    """Return the calls as the signed log has them now."""
    from ..approvals import Approvals
    from ..outcomes import Outcomes
    from ..wiring import open_follower

    approvals = Approvals()
    outcomes = Outcomes(approvals.roster)
    for verified in open_follower(load_settings(), payloads=False).catch_up():
        approvals.apply(verified)
        outcomes.apply(verified)
    return outcomes


def _record(lost: Lost, outcome: Literal["done", "not_done", "mended"], reason: str, author: str) -> None:
    from ..documents import Reason
    from ..events import ToolReconciled
    from ..wiring import open_recorder

    settings = load_settings()
    with open_recorder(settings, author, software=SOFTWARE) as person:
        event = person.record(
            ToolReconciled, document=Reason(text=reason.strip()), run=lost.run, agent=lost.agent, call=lost.call,
            tool=lost.tool, outcome=outcome,
        )  # fmt: skip
        receipt = person.wait(event, settings.receipt_seconds)
    said = [one for one in current_outcomes().said(lost.agent, lost.call) if one.position == receipt.position]
    if said and said[0].sentence:
        raise NotConfigured(f"It is on record at position {receipt.position} and does not count: {said[0].sentence}")
    typer.echo(f"{lost.call} is reconciled as {outcome} at position {receipt.position}; {lost.agent} may go on.")


def _print(waiting: tuple[Lost, ...]) -> None:
    for lost in waiting:
        why = "its author cannot say" if lost.told else "its process ended in the middle"
        where = f"{lost.tool} on {lost.resource}" if lost.resource else lost.tool
        typer.echo(f"{lost.call}  {where}  by {lost.agent} in {lost.run or 'no run'}, since {lost.recorded_at:%Y-%m-%d %H:%M:%S}Z: {why}")
    if not waiting:
        typer.echo("No outcome is unknown.")

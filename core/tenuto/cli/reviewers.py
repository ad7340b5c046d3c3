"""`tenuto reviewer ...`: who reviews what and when, and how much in an hour; events that the root signs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NotConfigured
from ..settings import load_settings

if TYPE_CHECKING:
    from ..events import Event

SOFTWARE = "tenuto-reviewer"
_SHIFT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def add_commands(app: typer.Typer) -> None:
    """Add the group `reviewer`."""
    group = typer.Typer(help="Enrol reviewers, limit them, and list them.", no_args_is_help=True)
    group.command("enrol")(enrol)
    group.command("limit")(limit)
    group.command("list")(list_reviewers)
    app.add_typer(group, name="reviewer")


def enrol(
    reviewer: Annotated[str, typer.Argument(help="The author, whose key is registered with the role reviewer.")],
    role: Annotated[list[str], typer.Option(help="What may be asked of the reviewer, such as sre or security; repeatable.")],
    shift: Annotated[str | None, typer.Option(help="UTC hours, such as 08:00-16:00; always, when left out.")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Ask nothing of the reviewer and count no decision.")] = False,
) -> None:
    """Say what a reviewer may be asked for and when; it replaces what was said before."""
    from ..events import ReviewerEnrolled

    start, end = minutes_of(shift)
    _record(ReviewerEnrolled, reviewer=reviewer, roles=tuple(role), shift_start=start, shift_end=end, active=not inactive)
    typer.echo(f"{reviewer} is {'not active' if inactive else 'enrolled for ' + ', '.join(role)}.")


def limit(
    per_hour: Annotated[int, typer.Option(min=1, max=1000, help="Decisions of one reviewer in any sliding 60 minutes.")] = 10,
    escalate_seconds: Annotated[int, typer.Option(min=10, max=86_400, help="When an unanswered request goes on.")] = 900,
    spotcheck_seconds: Annotated[
        int, typer.Option(min=60, max=30 * 86_400, help="When a second look that nobody took is overdue.")
    ] = 86_400,
) -> None:
    """Set for everybody how much is decided in an hour, and when a request or a second look is late; nothing else sets it."""
    from ..events import ReviewerLimited

    _record(
        ReviewerLimited, decisions_per_hour=per_hour, escalate_seconds=escalate_seconds, spotcheck_seconds=spotcheck_seconds
    )
    typer.echo(f"Each reviewer decides {per_hour} times in any 60 minutes; after {escalate_seconds} seconds a request goes on.")
    typer.echo(f"A second look that nobody took is overdue after {spotcheck_seconds} seconds.")


def list_reviewers() -> None:
    """Print who reviews, as the verified ledger says."""
    from ..approvals.desk import Desk
    from ..clock import SystemClock
    from ..wiring import open_follower

    desk, now = Desk(), SystemClock().now()
    for verified in open_follower(load_settings(), payloads=False).catch_up():
        desk.apply(verified)
    for one in desk.roster.reviewers():
        shift = "always" if one.shift is None else "{:02}:{:02}-{:02}:{:02} UTC".format(*divmod(one.shift[0], 60), *divmod(one.shift[1], 60))
        roles = "every role" if one.roles is None else ", ".join(sorted(one.roles))
        places = f"{max(0, desk.places(one.owner, now))} of {desk.roster.decisions_per_hour} places, {desk.on_desk(one.owner, now)} open"
        typer.echo(f"{one.name:24} {'active' if one.active else 'INACTIVE':8} {shift:16} {places:28} {roles}")


def minutes_of(shift: str | None) -> tuple[int | None, int | None]:
    """Return the minutes of the day at which a shift begins and ends; raises NotConfigured when it is written otherwise."""
    if shift is None:
        return None, None
    found = _SHIFT.fullmatch(shift)
    if found is None:
        raise NotConfigured(f"{shift!r} is no shift. Write it in UTC, such as 08:00-16:00 or 22:00-06:00.")
    hour, minute, until_hour, until_minute = map(int, found.groups())
    return hour * 60 + minute, until_hour * 60 + until_minute


def _record(kind: type[Event], **fields: Any) -> None:
    from ..wiring import open_recorder

    settings = load_settings()
    with open_recorder(settings, "root", software=SOFTWARE) as root:
        root.wait(root.record(kind, **fields), settings.receipt_seconds)

"""`tenuto reviewer ...`: who reviews what and when, how much in an hour, and which login is whom; events of administrators.

Look at the person, or call, before you bind a login: from then on whoever logs in so is that reviewer to the console.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..approvals.desk import Desk
    from ..events import Event

SOFTWARE = "tenuto-reviewer"
REASONS = ("owner_left", "compromised", "mistake", "retired")
_HASH = re.compile(r"[0-9a-f]{64}")
_SHIFT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

Administrator = Annotated[
    str, typer.Option("--as", help="The author who says so, the root or of the role administrator; its key is in the key folder.")
]
Identity = Annotated[str, typer.Argument(help="The login's identity: 64 hex digits, as the console and `tenuto reviewer identity` show it.")]


def add_commands(app: typer.Typer) -> None:
    """Add the group `reviewer`."""
    group = typer.Typer(help="Enrol, limit and list reviewers; say who logs in as whom.", no_args_is_help=True)
    group.command("enrol")(enrol)
    group.command("limit")(limit)
    group.command("bind")(bind)
    group.command("unbind")(unbind)
    group.command("identity")(identity)
    group.command("list")(list_reviewers)
    app.add_typer(group, name="reviewer", rich_help_panel=Panel.PEOPLE)


def enrol(
    reviewer: Annotated[str, typer.Argument(help="The author, whose key is registered with the role reviewer.")],
    role: Annotated[list[str], typer.Option(help="What may be asked of the reviewer, such as sre or security; repeatable.")],
    shift: Annotated[str | None, typer.Option(help="UTC hours, such as 08:00-16:00; always, when left out.")] = None,
    *,
    inactive: Annotated[bool, typer.Option("--inactive", help="Ask nothing of the reviewer and count no decision.")] = False,
    passkey_only: Annotated[bool, typer.Option("--passkey-only", help="Count what the reviewer's passkey signed and nothing else.")] = False,
    by: Administrator = "root",
) -> None:
    """Say what a reviewer may be asked for and when; it replaces what was said before."""
    from ..events import ReviewerEnrolled

    start, end = minutes_of(shift)
    _record(
        by, ReviewerEnrolled, reviewer=reviewer, roles=tuple(role), shift_start=start, shift_end=end, active=not inactive,
        passkey_only=passkey_only,
    )  # fmt: skip
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
        "root", ReviewerLimited, decisions_per_hour=per_hour, escalate_seconds=escalate_seconds,
        spotcheck_seconds=spotcheck_seconds,
    )  # fmt: skip
    typer.echo(f"Each reviewer decides {per_hour} times in any 60 minutes; after {escalate_seconds} seconds a request goes on.")
    typer.echo(f"A second look that nobody took is overdue after {spotcheck_seconds} seconds.")


def bind(reviewer: Annotated[str, typer.Argument(help="Who it is.")], login: Identity, by: Administrator = "root") -> None:
    """Say that whoever logs in so is this reviewer. Nobody binds himself, and an identity has one reviewer at a time."""
    from ..events import ReviewerBound

    _demand_identity(login)
    _record(by, ReviewerBound, reviewer=reviewer, identity=login)
    stands = _folded().roster.identities.reviewer_of(login)
    if stands != reviewer:
        why = f"the login is bound to {stands}; unbind it first" if stands else f"{by} answers for {reviewer}, and nobody binds himself"
        raise NotConfigured(f"The ledger has it, and it changes nothing: {why}.")
    typer.echo(f"Whoever logs in as {login[:16]} is {reviewer} now.")


def unbind(
    login: Identity,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = "owner_left",
    by: Administrator = "root",
) -> None:
    """End a login: from now on nobody is a reviewer by it, whatever a browser still holds."""
    from ..events import ReviewerUnbound

    _demand_identity(login)
    if reason not in REASONS:
        raise NotConfigured(f"{reason!r} is no reason. There are: {', '.join(REASONS)}.")
    reviewer = _folded().roster.identities.reviewer_of(login)
    if reviewer is None:
        raise NotConfigured(f"Nobody is bound to {login[:16]}. `tenuto reviewer list` shows who logs in as whom.")
    _record(by, ReviewerUnbound, reviewer=reviewer, identity=login, reason=reason)
    typer.echo(f"Nobody is {reviewer} by {login[:16]} any more.")


def identity(
    issuer: Annotated[str, typer.Option(help="The provider, as its metadata calls it: the claim `iss`.")],
    subject: Annotated[str, typer.Option(help="The person there: the claim `sub`, letter for letter. Not an e-mail address.")],
) -> None:
    """Print what the ledger calls a person at a provider, for `bind`."""
    from ..approvals.identities import identity_of

    typer.echo(identity_of(issuer, subject))


def list_reviewers() -> None:
    """Print who reviews, and who logs in as whom, as the verified ledger says."""
    from ..clock import SystemClock

    desk, now = _folded(), SystemClock().now()
    for one in desk.roster.reviewers():
        shift = "always" if one.shift is None else "{:02}:{:02}-{:02}:{:02} UTC".format(*divmod(one.shift[0], 60), *divmod(one.shift[1], 60))
        roles = "every role" if one.roles is None else ", ".join(sorted(one.roles))
        places = f"{max(0, desk.places(one.owner, now))} of {desk.roster.decisions_per_hour} places, {desk.on_desk(one.owner, now)} open"
        typer.echo(f"{one.name:24} {'active' if one.active else 'INACTIVE':8} {shift:16} {places:28} {roles}{', by passkey only' if one.passkey_only else ''}")
    for bound in desk.roster.identities.all():
        if bound.until is None:
            typer.echo(f"{bound.identity} logs in as {bound.reviewer}, since position {bound.since}")


def minutes_of(shift: str | None) -> tuple[int | None, int | None]:
    """Return the minutes of the day at which a shift begins and ends; raises NotConfigured when it is written otherwise."""
    if shift is None:
        return None, None
    found = _SHIFT.fullmatch(shift)
    if found is None:
        raise NotConfigured(f"{shift!r} is no shift. Write it in UTC, such as 08:00-16:00 or 22:00-06:00.")
    hour, minute, until_hour, until_minute = map(int, found.groups())
    return hour * 60 + minute, until_hour * 60 + until_minute


def _demand_identity(login: str) -> None:
    if _HASH.fullmatch(login) is None:
        raise NotConfigured(f"{login!r:.80} is no identity: 64 hex digits are. `tenuto reviewer identity` makes one from issuer and subject.")


def _folded() -> Desk:
    from ..approvals.desk import Desk
    from ..wiring import open_follower

    desk = Desk()
    for verified in open_follower(load_settings(), payloads=False).catch_up():
        desk.apply(verified)
    return desk


def _record(author: str, kind: type[Event], **fields: Any) -> None:
    from ..wiring import open_recorder

    settings = load_settings()
    with open_recorder(settings, author, software=SOFTWARE) as recorder:
        recorder.wait(recorder.record(kind, **fields), settings.receipt_seconds)

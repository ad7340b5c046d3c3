"""`tenuto passkey ...`: which passkeys sign for whom. A person offers one in the console; an administrator enrols it here.

Look at the person, or call, before you enrol: from then on whoever holds that device decides in that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..approvals import Approvals
    from ..events import PasskeyOffered
    from ..recorder import Recorder
    from ..settings import Settings

SOFTWARE = "tenuto-passkey"
REASONS = ("lost", "compromised", "retired", "owner_left")
SHOWN_CHARACTERS = 16

Credential = Annotated[str, typer.Argument(help="The passkey's name as `tenuto passkey list` shows it, or more of it.")]
Administrator = Annotated[
    str, typer.Option("--as", help="The author who says so, of the role administrator; its key is in the key folder.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the group `passkey`."""
    group = typer.Typer(help="Enrol, revoke and list the passkeys of reviewers.", no_args_is_help=True)
    group.command("list")(list_passkeys)
    group.command("enrol")(enrol)
    group.command("revoke")(revoke)
    app.add_typer(group, name="passkey", rich_help_panel=Panel.PEOPLE)


def list_passkeys() -> None:
    """Print the passkeys that are offered and those that are enrolled, as the verified ledger says."""
    fold = _folded(load_settings())
    for offer in fold.passkeys.offers():
        typer.echo(f"{offer.credential[:SHOWN_CHARACTERS]}  {offer.reviewer:24} offered, made on {offer.web_origin}")
    for passkey in fold.passkeys.all():
        state = "valid" if passkey.until is None else f"revoked at position {passkey.until}"
        shown = f"{passkey.offer.credential[:SHOWN_CHARACTERS]}  {passkey.offer.reviewer:24} of {passkey.owner}"
        typer.echo(f"{shown}, since position {passkey.since}, for {passkey.offer.web_origin}, {state}")


def enrol(
    credential: Credential,
    owner: Annotated[str, typer.Option(help="The person; approvals exclude by it, not by the reviewer's name.")],
    by: Administrator = "root",
) -> None:
    """Let an offered passkey sign for its reviewer. Nobody enrols his own, nor one that his own console offered."""
    from ..events import PasskeyEnrolled

    settings = load_settings()
    fold = _folded(settings)
    offer = _one([offer for offer in fold.passkeys.offers() if offer.credential.startswith(credential)], credential, "offered")
    with _recorder(settings, by) as recorder:
        event = recorder.record(PasskeyEnrolled, reviewer=offer.reviewer, owner=owner, credential=offer.credential)
        recorder.wait(event, settings.receipt_seconds)
    if not any(held.offer.credential == offer.credential for held in _folded(settings).passkeys.of(offer.reviewer)):
        raise NotConfigured(
            f"The ledger has it, and it changes nothing: {by} made or offered this passkey, or {offer.reviewer} is known as"
            " another person. Have somebody else enrol it, with the right --owner."
        )
    typer.echo(f"{offer.reviewer} signs with the passkey {offer.credential[:SHOWN_CHARACTERS]} now.")


def revoke(
    credential: Credential,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = "lost",
    by: Administrator = "root",
) -> None:
    """End a passkey: nothing that it signs counts from then on; what counted before still does."""
    from ..events import PasskeyRevoked

    if reason not in REASONS:
        raise NotConfigured(f"{reason!r} is no reason. There are: {', '.join(REASONS)}.")
    settings = load_settings()
    held = [one.offer for one in _folded(settings).passkeys.all() if one.until is None]
    offer = _one([offer for offer in held if offer.credential.startswith(credential)], credential, "enrolled")
    with _recorder(settings, by) as recorder:
        event = recorder.record(PasskeyRevoked, reviewer=offer.reviewer, credential=offer.credential, reason=reason)
        recorder.wait(event, settings.receipt_seconds)
    typer.echo(f"The passkey {offer.credential[:SHOWN_CHARACTERS]} of {offer.reviewer} is revoked.")


def _one(found: list[PasskeyOffered], credential: str, how: str) -> PasskeyOffered:
    if len(found) != 1:
        several = f"{len(found)} passkeys begin so; write more of the name" if found else f"No such passkey is {how}"
        raise NotConfigured(f"{credential}: {several}. `tenuto passkey list` shows them.")
    return found[0]


def _folded(settings: Settings) -> Approvals:
    from ..approvals import Approvals
    from ..wiring import open_follower

    fold = Approvals()
    for verified in open_follower(settings, payloads=False).catch_up():
        fold.apply(verified)
    return fold


def _recorder(settings: Settings, author: str) -> Recorder:
    from ..wiring import open_recorder

    return open_recorder(settings, author, software=SOFTWARE)

"""`tenuto init` and `tenuto key ...`: the root of trust, and who may sign what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from . import epoch, storage
from .panels import Panel

if TYPE_CHECKING:
    from ..keyring import Keyring
    from ..settings import Settings

SOFTWARE = "tenuto-key"
ROLES = (
    "agent", "reviewer", "pipeline", "ingest", "delivery", "gate", "detector", "console", "router", "administrator",
    "custodian", "keeper", "redteam", "statekeeper",
)  # fmt: skip
REASONS = ("compromised", "retired", "lost", "owner_left")

Author = Annotated[str, typer.Argument(help="Name of the author, such as code-review.")]


def add_commands(app: typer.Typer) -> None:
    """Add `init` and the group `key`."""
    app.command("init", rich_help_panel=Panel.START)(init)
    keys = typer.Typer(help="Register, rotate, revoke and list the keys of authors.", no_args_is_help=True)
    keys.command("add")(add)
    keys.command("rotate")(rotate)
    keys.command("revoke")(revoke)
    keys.command("list")(list_keys)
    epoch.add_commands(keys)
    storage.add_commands(keys)
    app.add_typer(keys, name="key", rich_help_panel=Panel.PEOPLE)


def init(
    origin: Annotated[str, typer.Option(help="Name of the log, such as example.com/payments.")] = "localhost/tenuto",
) -> None:
    """Make the root of trust of a new log.

    That is the root, log, witness, storage and epoch keys, and the public trust file.
    """
    from ..founding import found

    settings = load_settings()
    trust = found(settings.home.absolute(), origin)
    typer.echo(f"The log {trust.origin} is founded. Keys (mode 0600): {settings.keys}. Public trust: {settings.home}/trust.json.")
    typer.echo("Keep the root key away from this machine once the authors are registered.")


def add(
    author: Author,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    owner: Annotated[str, typer.Option(help="The person who answers for this author.")],
    insecure_demo: Annotated[bool, typer.Option("--insecure-demo", help="Mark everything it signs.")] = False,
) -> None:
    """Make a key for an author and register it, signed by the root."""
    from ..registering import Enrolment, register
    from ..wiring import open_recorder

    if role not in ROLES:
        raise NotConfigured(f"There is no role {role!r}. There are: {', '.join(ROLES)}.")
    settings = load_settings()
    person = Enrolment(author, role, owner, insecure_demo)  # type: ignore[arg-type]
    with open_recorder(settings, "root", software=SOFTWARE) as root:
        done = register(root, current_keyring(settings), settings.keys, [person], settings.receipt_seconds)
    typer.echo(f"{author} is registered." if done else f"{author} was registered already, with the key that is here.")


def rotate(author: Author) -> None:
    """Replace the key of an author by a new one."""
    from ..registering import rotate as replace
    from ..wiring import open_recorder

    settings = load_settings()
    with open_recorder(settings, "root", software=SOFTWARE) as root:
        key = replace(root, current_keyring(settings), settings.keys, author, settings.receipt_seconds)
    typer.echo(f"{author} signs with {key} now; the key before it is at its end. Restart what signs for it.")


def revoke(
    author: Author, reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = "compromised"
) -> None:
    """End the key of an author: nothing that it signs counts from then on."""
    from ..registering import revoke as end
    from ..wiring import open_recorder

    if reason not in REASONS:
        raise NotConfigured(f"{reason!r} is no reason. There are: {', '.join(REASONS)}.")
    settings = load_settings()
    with open_recorder(settings, "root", software=SOFTWARE) as root:
        event = end(root, current_keyring(settings), author, reason, settings.receipt_seconds)
    typer.echo(f"The key {event.subject_key_id} of {author} is revoked.")


def list_keys() -> None:
    """Print every key that was ever in the ring, as the verified ledger says."""
    for key in current_keyring(load_settings()).keys():
        until = "valid" if key.until is None else f"ended at position {key.until}"
        since = "pinned" if key.since < 0 else f"since position {key.since}"
        mark = "  INSECURE DEMO KEY" if key.insecure_demo else ""
        typer.echo(f"{key.key_id}  {key.author:24} {key.role:10} owner {key.owner:16} {since}, {until}{mark}")


def current_keyring(settings: Settings) -> Keyring:
    """Return the keyring as the signed log has it now."""
    from ..wiring import open_follower

    follower = open_follower(settings, payloads=False)
    follower.catch_up()
    return follower.walk.keyring

"""`tenuto state`: run the state store, let agents and people in, and the few things that people do by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .credentials import Credentials
    from .keyports import KeyPort
    from .visiting import StateStore

AUTHOR = "state-store"
SOFTWARE = "tenuto-state"
state = typer.Typer(help="Keep the state of infrastructure, versioned and sealed.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the state.")]
Person = Annotated[str, typer.Option("--as", help="Who comes; the token is in the key folder.")]
Code = Annotated[str, typer.Option("--code", help="The person's one-time code, used once.", prompt="One-time code")]


def token_file(keys: Path, name: str) -> Path:
    """Return where the token of `name` lies in a key folder."""
    return keys / f"state-{name}.token"


@state.command("serve")
def serve() -> None:
    """Serve Terraform's HTTP state protocol on this machine's loopback until SIGTERM; every access is an event."""
    from tenuto.clock import SystemClock
    from tenuto.running import stop_flag
    from tenuto.settings import load_settings
    from tenuto.wiring import open_recorder

    from .door import Door
    from .protocol import serving
    from .versions import States

    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = stop_flag()
    port = open_key_port(settings)
    states = States(settings.state / "states", port, SystemClock())
    with open_recorder(settings, AUTHOR, software=SOFTWARE) as recorder:
        door = Door(states, open_credentials(settings, port), recorder)
        with serving(door, settings.state_port) as address:
            typer.echo(f"The state store answers at {address}", err=True)
            stop.wait()


@state.command("grant")
def grant(
    name: Annotated[str, typer.Argument(help="Agent or person to let in.")],
    person: Annotated[bool, typer.Option("--person", help="A person: every access takes a one-time code besides.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="May read and not write.")] = False,
) -> None:
    """Let an agent or a person in with a new token, which goes into the key folder; a person's codes begin with the seed printed."""
    import os

    from tenuto.settings import load_settings

    settings = load_settings()
    kind: Literal["agent", "person"] = "person" if person else "agent"
    token, seed = open_credentials(settings).grant(name, kind, ("read",) if read_only else ("read", "write"))
    file = token_file(settings.keys, name)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
        made.write(token + "\n")
    typer.echo(f"{name} may come with the token in {file.name} of the key folder.", err=True)
    if seed:
        typer.echo(f"otpauth://totp/tenuto-state:{name}?secret={seed}&issuer=tenuto-state")


@state.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Agent or person whose token is worth nothing from now on.")]) -> None:
    """End a token; a store that runs knows it with the next request."""
    from tenuto.settings import load_settings

    open_credentials(load_settings()).revoke(name)
    typer.echo(f"{name} is not let in any more.", err=True)


@state.command("pull")
def pull(
    name: Name, person: Person, code: Code,
    version: Annotated[int | None, typer.Option(help="Which version; the newest by default.")] = None,
) -> None:  # fmt: skip
    """Print a version of a state; it holds secrets in clear."""
    import sys

    found = open_store(name, person).read(code=code, version=version)
    if found is None:
        typer.echo(f"There is no such version of {name}.", err=True)
        raise typer.Exit(1)
    sys.stdout.buffer.write(found.content)


@state.command("versions")
def versions(name: Name, person: Person, code: Code) -> None:
    """List the versions of a state: when, by whom, under which lock, with which digest."""
    for facts in open_store(name, person).versions(code=code):
        typer.echo(f"{facts.version:>5}  serial {facts.serial:<5} {facts.at}  {facts.principal}  {facts.lock}  {facts.digest}")


@state.command("break-lock")
def break_lock(name: Name, person: Person, code: Code) -> None:
    """Take the lock of a state away from whoever holds it; only a person can, and it stands on record."""
    open_store(name, person).break_lock(code=code)
    typer.echo(f"{name} is not locked any more.", err=True)


def open_key_port(settings: Settings) -> KeyPort:
    """Return the key that protects state at rest, as the settings name it; raises NotConfigured."""
    from tenuto.errors import NotConfigured

    from .keyports import LocalKey, TransitKey
    from .visiting import read_token

    if settings.state_key is None:
        return LocalKey(settings.keys / "state-key")
    address, _, key = settings.state_key.rpartition("/")
    if not address or not key:
        raise NotConfigured(f"TENUTO_STATE_KEY is {settings.state_key!r:.200} and should be https://HOST:8200/KEY.")
    return TransitKey(address, key, read_token(settings.keys / "state-key.token"))


def open_credentials(settings: Settings, port: KeyPort | None = None) -> Credentials:
    """Return who may come to this home's state store."""
    from tenuto.clock import SystemClock

    from .credentials import Credentials

    return Credentials(settings.state / "state-credentials.json", port or open_key_port(settings), SystemClock())


def open_store(name: str, person: str) -> StateStore:
    """Return the running store, with a person's token from this home; raises NotConfigured."""
    from tenuto.settings import load_settings

    from .visiting import StateAddress, StateStore, read_token

    settings = load_settings()
    address = settings.state_store or f"http://127.0.0.1:{settings.state_port}"
    return StateStore(StateAddress(address, name, person, read_token(token_file(settings.keys, person))))

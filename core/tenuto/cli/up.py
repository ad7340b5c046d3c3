"""`tenuto up` and `tenuto status`: all processes of the road on one machine, and where each of them stands."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..registering import Enrolment
    from ..supervising import Platform

SOFTWARE = "tenuto-up"
LOOK_SECONDS = 0.5
FOUNDING_SECONDS_MAX = 60.0
HEALTH_SECONDS_MAX = 2.0
WATCHER = "anomaly-watch"


def add_commands(app: typer.Typer) -> None:
    """Add `up` and `status`."""
    app.command("up")(up)
    app.command("status")(status)


def up(
    origin: Annotated[str, typer.Option(help="Name of the log, used when it is founded now.")] = "localhost/tenuto",
    database_only: Annotated[bool, typer.Option("--database-only", help="Start the stores and no process.")] = False,
) -> None:
    """Run the whole road on this machine until Ctrl-C: stores, ingest, seal, witness, deliver, project, watch, console."""
    from ..running import stop_flag
    from ..supervising import Platform

    stop = stop_flag()
    with Platform(load_settings(), say, origin=origin) as platform:
        if not database_only:
            start_road(platform, own_people())
            platform.start("console", "console")
            say(f"The approval console is at {console_address(platform.settings)}")
        say(f"Database: {without_password(platform.settings.database_url or '')}")
        say(f"Broker:   {platform.settings.kafka}")
        while not stop.wait(LOOK_SECONDS):
            platform.demand_running()
    say("Stopped. What was recorded is kept.")


def own_people() -> list[Enrolment]:
    """Return the authors that the road itself needs."""
    from ..registering import Enrolment

    return [Enrolment("ingest", "ingest", "operations"), Enrolment(WATCHER, "detector", "operations")]


def start_road(platform: Platform, people: Sequence[Enrolment]) -> list[str]:
    """Start every process of the road, register those of `people` that are new, and return their names."""
    from ..adapters import keyfiles
    from ..embedded.child import LOOPBACK, free_port
    from ..registering import missing, register
    from ..supervising import ROAD
    from ..wiring import open_recorder
    from .keys import current_keyring

    settings = platform.settings
    for person in people:
        if not (settings.keys / keyfiles.author_file(person.author)).exists():
            keyfiles.create_key(settings.keys, keyfiles.author_file(person.author))
    port = free_port()
    platform.settings = platform.settings.model_copy(update={"witness_url": f"http://{LOOPBACK}:{port}"})
    platform.start("witness", "witness", "--port", str(port))
    for name in ROAD:
        if name != "witness":
            platform.start(name, name, metrics=True)
    done: list[str] = []
    keyring = current_keyring(settings)
    if missing(keyring, settings.keys, people):
        with open_recorder(settings, "root", software=SOFTWARE) as root:
            done = register(root, keyring, settings.keys, people, FOUNDING_SECONDS_MAX)
    platform.demand_running()
    platform.start("watch", "watch", metrics=True)
    return done


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False) -> None:
    """Show where everything is and how far each stage is behind the ledger."""
    found = facts(load_settings())
    if as_json:
        typer.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    for name, value in found.items():
        shown = json.dumps(value) if isinstance(value, dict) else " ".join(str(value).split())
        typer.echo(f"{name.replace('_', ' '):22} {shown}")


def facts(settings: Settings) -> dict[str, Any]:
    """Return every address, folder and lag of this home; a part that is away shows as null."""
    from ..addresses import running_addresses
    from ..errors import TenutoError
    from ..following import CheckpointFile
    from ..log.checkpoint import parse_checkpoint
    from ..wiring import database_url, open_reader, open_trust, with_addresses

    settings = with_addresses(settings)
    addresses = running_addresses(settings.home)
    trust = open_trust(settings)
    found: dict[str, Any] = {
        "origin": trust.origin,
        "home": str(settings.home),
        "tiles": str(settings.tiles),
        "keys": str(settings.keys),
        "database": without_password(database_url(settings)),
        "broker": settings.kafka,
        "console": addresses.get("console", console_address(settings)),
        "parts": {name: health_of(address) for name, address in addresses.get("health", {}).items()},
        "events": None,
        "signed": None,
        "unsigned": None,
    }
    note = CheckpointFile(settings.tiles).latest()
    if note is not None:
        found["signed"] = parse_checkpoint(note, trust.log_key, trust.origin).size
    try:
        with closing(open_reader(settings)) as reader:
            found["events"] = reader.head().size
        found["unsigned"] = found["events"] - (found["signed"] or 0)
    except TenutoError as error:
        found["database_error"] = str(error)
    return found


def health_of(address: str) -> dict[str, Any]:
    """Ask a part for its health; what does not answer is not healthy."""
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{address}/healthz", timeout=HEALTH_SECONDS_MAX) as answer:  # noqa: S310 - an address of our own
            told: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError) as error:
        told = {"healthy": False, "error": str(error)}
    return told | {"address": address}


def without_password(url: str) -> str:
    """Return a database URL as it may be shown: a password in it is replaced by asterisks."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@", 1)))


def console_address(settings: Settings) -> str:
    """Where the approval console listens."""
    return f"http://{settings.console_address}:{settings.console_port}"


def say(sentence: str) -> None:
    """Tell the person at the terminal."""
    typer.echo(sentence, err=True)

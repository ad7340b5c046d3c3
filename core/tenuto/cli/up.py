"""`tenuto up`: all processes of the road on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..settings import load_settings
from .panels import Panel
from .status import console_address, without_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events.key import Role
    from ..registering import Enrolment
    from ..supervising import Platform

SOFTWARE = "tenuto-up"
LOOK_SECONDS = 0.5
FOUNDING_SECONDS_MAX = 60.0
WATCHER, REPORTER, ROUTER, CONSOLE = "anomaly-watch", "reporter", "router", "console"
OPERATIONS = "operations"
"""Answers for the road's own authors, above all for the console: a reviewer who did would measure himself."""


def add_commands(app: typer.Typer) -> None:
    """Add `up`."""
    app.command("up", rich_help_panel=Panel.START)(up)


def up(
    origin: Annotated[str, typer.Option(help="Name of the log, used when it is founded now.")] = "localhost/tenuto",
    database_only: Annotated[bool, typer.Option("--database-only", help="Start the stores and no process.")] = False,
) -> None:
    """Run the whole road on this machine until Ctrl-C.

    That is the stores, ingest, seal, witness, deliver, project, watch, route and console.
    """
    from ..running import stop_flag
    from ..supervising import Platform

    stop = stop_flag()
    with Platform(load_settings(), say, origin=origin) as platform:
        if not database_only:
            start_road(platform, own_people())
            platform.start("console", "console")
            if platform.settings.notify is not None:
                platform.start_spare("notify", "notify")
            say(f"The approval console is at {console_address(platform.settings)}")
        say(f"Database: {without_password(platform.settings.database_url or '')}")
        say(f"Broker:   {platform.settings.kafka}")
        while not stop.wait(LOOK_SECONDS):
            platform.demand_running()
            platform.make_room()
    say("Stopped. What was recorded is kept.")


def own_people() -> list[Enrolment]:
    """Return the authors that the road itself needs."""
    from ..registering import Enrolment

    roles: tuple[tuple[str, Role], ...] = (
        ("ingest", "ingest"), (WATCHER, "detector"), (REPORTER, "detector"), (ROUTER, "router"), (CONSOLE, "console")
    )  # fmt: skip
    return [Enrolment(author, role, OPERATIONS) for author, role in roles]


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
    platform.start("route", "route", metrics=True)
    return done


def say(sentence: str) -> None:
    """Tell the person at the terminal."""
    typer.echo(sentence, err=True)

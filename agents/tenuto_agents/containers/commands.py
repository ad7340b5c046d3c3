"""The commands of the container site: watch what runs, quarantine by hand, open a snapshot, make a vulnerability database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .container_place import ContainerPlace
    from .watch import ContainerWatch

LOOK_SECONDS = 1.0
WATCHER, RESPONDER = "runtime", "responder"
log = logging.getLogger(__name__)


def add_container_commands(app: typer.Typer) -> None:
    """Add `watch-containers`, `quarantine`, `open-snapshot` and `advisories` to the command line."""
    app.command("watch-containers", rich_help_panel=Panel.CONTAIN)(watch_containers)
    app.command("quarantine", rich_help_panel=Panel.CONTAIN)(quarantine)
    app.command("open-snapshot", rich_help_panel=Panel.CONTAIN)(open_snapshot_file)
    app.command("advisories", rich_help_panel=Panel.CONTAIN)(make_advisories)


def watch_containers(
    author: Annotated[str, typer.Option("--as", help="Author that reports; registered with the role agent.")] = WATCHER,
) -> None:
    """Watch what runs, and cut off what is not allowed.

    Calls that are not allowed are cut off, flagged releases that are unwell are rolled back.
    """
    import signal

    from tenuto.clock import SystemClock
    from tenuto.errors import Busy
    from tenuto.settings import load_settings
    from tenuto.wiring import open_gate, open_recorder

    from .. import SOFTWARE
    from .watch import ContainerWatch

    settings = load_settings()
    places = _places(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_recorder(settings, author, software=SOFTWARE) as recorder:
        events_of = open_gate(settings, recorder).events_of
        watches: dict[str, ContainerWatch] = {}
        typer.echo(f"{author} watches the containers.", err=True)
        while not stop.wait(LOOK_SECONDS):
            for name, place in places().items():
                if name not in watches:
                    watches[name] = ContainerWatch(place.rollout, place.quarantine, recorder, events_of, SystemClock())
                try:
                    done = watches[name].look()
                except Busy as busy:
                    log.warning("%s", busy)
                else:
                    _tell(done)


def quarantine(
    container: Annotated[str, typer.Argument(help="Name of the container, as podman has it, or its service's.")],
    author: Annotated[str, typer.Option("--as", help="Author that reports; registered with the role agent.")] = RESPONDER,
) -> None:
    """Cut a running container off, keep all of it, and end it.

    What is kept is for the investigator; the release before it comes back.
    """
    from tenuto.clock import SystemClock
    from tenuto.errors import NotConfigured
    from tenuto.settings import load_settings
    from tenuto.wiring import open_gate, open_recorder

    from .. import SOFTWARE
    from .watch import ContainerWatch

    settings = load_settings()
    for name, place in _places(settings)().items():
        now = place.rollout.in_force()
        if now is not None and container in (name, now.instance.name):
            with open_recorder(settings, author, software=SOFTWARE) as recorder:
                events_of = open_gate(settings, recorder).events_of
                watch = ContainerWatch(place.rollout, place.quarantine, recorder, events_of, SystemClock())
                typer.echo(watch.contain(now))
            return
    raise NotConfigured(f"No container called {container} is in force on this site.")


def open_snapshot_file(
    file: Annotated[Path, typer.Argument(help="The snapshot.")],
    key: Annotated[Path, typer.Option("--key", help="File with the investigator's X25519 private key, 64 hex digits.")],
    folder: Annotated[Path, typer.Option("--into", help="An existing folder for what is in it.")],
) -> None:
    """Decrypt a snapshot for an investigation.

    Prints what is in it.
    """
    from .quarantine import read_investigator
    from .snapshot import open_snapshot

    for name in open_snapshot(file, read_investigator(key), folder):
        typer.echo(name)


def make_advisories(
    file: Annotated[Path, typer.Argument(help="JSON list of advisories.")],
) -> None:
    """Make the scanner's database from advisories.

    It is the vulnerability database of the container site.
    """
    from tenuto.clock import SystemClock
    from tenuto.settings import load_settings

    from .advisories import read_advisories, write_database
    from .site import load_site

    advisories = read_advisories(file)
    site = load_site(_site_file(load_settings()))
    write_database(advisories, Path(site.advisories), SystemClock().now())
    typer.echo(f"{len(advisories)} advisories are in the database.")


def _places(settings: Settings) -> Callable[[], dict[str, ContainerPlace]]:
    """Return what gives all services that ever were in force here; asked again, it also knows the new ones."""
    from tenuto.clock import SystemClock

    from .container_place import open_places
    from .rollout import STATE
    from .site import load_site

    folder = settings.home / "containers"
    place = open_places(load_site(_site_file(settings)), folder, SystemClock())
    return lambda: {file.parent.name: place(file.parent.name) for file in sorted(folder.glob(f"*/{STATE}"))}


def _site_file(settings: Settings) -> Path:
    from tenuto.errors import NotConfigured

    if settings.containers is None:
        raise NotConfigured("No container site is set up. Name its file in TENUTO_CONTAINERS.")
    return settings.containers


def _tell(done: str | None) -> None:
    if done is not None:
        typer.echo(done)

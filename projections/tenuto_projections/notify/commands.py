"""`tenuto notify`: tell people that the console waits for them. Arguments to calls, nothing more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

from .. import commands as shared

if TYPE_CHECKING:
    from pathlib import Path

    from tenuto.settings import Settings

IDLE_SECONDS = 0.5
ROLE = "tenuto_notifier"
FOLDER, STATUS = "notify", "status.json"


def add_commands(app: typer.Typer) -> None:
    """Add notify to the `tenuto` command."""
    app.command(rich_help_panel=Panel.REVIEW)(notify)


def notify(
    trial: Annotated[
        str | None, typer.Option("--try", help="Send one trial letter to this person on each of its channels, and end.")
    ] = None,
) -> None:
    """Tell people that the console waits for them.

    By webhook, Slack or e-mail, until SIGTERM; needs TENUTO_NOTIFY.
    """
    with shared._sentences():
        settings = shared._settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
        if trial is None:
            _serve(settings)
        elif not _try(settings, trial):
            raise typer.Exit(shared.NOT_FOUND)


def _serve(settings: Settings) -> None:
    from contextlib import closing
    from datetime import timedelta

    from tenuto.addresses import console_link
    from tenuto.clock import SystemClock
    from tenuto.running import run_until, stop_flag
    from tenuto.telemetry import Telemetry
    from tenuto.wiring import open_trust

    from .channels import open_senders
    from .contacts import load_contacts
    from .notifying import Notifier
    from .outbox import Outbox
    from .telling import Telling

    stop, file, folder = stop_flag(), _file(settings), settings.state / FOLDER
    contacts, origin = load_contacts(file), open_trust(settings).origin
    senders = open_senders(contacts, file.parent, SystemClock())
    lead = timedelta(minutes=contacts.expiring_minutes)
    telling = Telling(origin, frozenset(contacts.people), contacts.alerts, lead=lead)
    with Telemetry("notify", settings.metrics_port) as telemetry, closing(Outbox(folder)) as outbox:
        notifier = Notifier(
            shared._follower(settings, payloads=False, role=ROLE), telling, outbox, contacts, senders, origin=origin,
            console=console_link(settings), clock=SystemClock(), status=folder / STATUS,
        )  # fmt: skip
        run_until(stop, lambda: notifier.step(stop.is_set), telemetry, idle_seconds=IDLE_SECONDS)


def _try(settings: Settings, person: str) -> bool:
    """Send a trial; say for each channel how it went, and return whether all took it."""
    from tenuto.addresses import console_link
    from tenuto.clock import SystemClock
    from tenuto.errors import Busy, Refused
    from tenuto.wiring import open_trust

    from .channels import open_senders
    from .contacts import load_contacts
    from .notices import Notice, notice_id
    from .wording import letter_of

    file, clock = _file(settings), SystemClock()
    contacts = load_contacts(file)
    contact = contacts.people.get(person)
    if contact is None:
        shared._fail(f"{file} has no [people.{person}]. It has: {', '.join(sorted(contacts.people)) or 'nobody'}.", shared.USAGE)
    now = clock.now()
    name = notice_id(open_trust(settings).origin, "trial", person, now.isoformat())
    letter = letter_of(Notice(id=name, reason="trial", person=person, about="", position=0, at=now), console_link(settings))
    senders, well = open_senders(contacts, file.parent, clock), True
    for channel in contact.channels:
        try:
            senders[channel].send(letter, contact)
            shared._say(f"{channel} took the letter for {person}.")
        except (Busy, Refused) as error:
            well = False
            shared._say(f"{channel} did not take it: {error}")
    return well


def _file(settings: Settings) -> Path:
    from tenuto.errors import NotConfigured

    if settings.notify is None:
        raise NotConfigured("TENUTO_NOTIFY is not set. Name the settings file of notifications, see docs/how-to/tell-people.md.")
    return settings.notify.absolute()

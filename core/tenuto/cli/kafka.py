"""`tenuto kafka ...`: the accounts, rights and topics of a Kafka that knows its clients, as code.

These commands act as the administrator of the cluster, `kafka-admin` unless TENUTO_KAFKA_USER says otherwise. Nothing else
does: every process acts under the name of its author.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import EVENTS_TOPIC, load_settings
from .keys import current_keyring
from .panels import Panel

if TYPE_CHECKING:
    from ..adapters.kafka import KafkaBus
    from ..settings import Settings

NOT_AS_WANTED = 1


def add_commands(app: typer.Typer) -> None:
    """Add the group `kafka`."""
    kafka = typer.Typer(help="Make the accounts, rights and topics of Kafka.", no_args_is_help=True)
    kafka.command("acls")(acls)
    kafka.command("account")(account)
    kafka.command("topics")(topics)
    app.add_typer(kafka, name="kafka", rich_help_panel=Panel.OPERATE)


def acls(
    apply: Annotated[bool, typer.Option("--apply", help="Make it so; without it, nothing is changed.")] = False,
) -> None:
    """Compare the rights on the broker with those that the registered authors should have; 0 when they are the same.

    `+` is missing, `-` is too much, `!` reaches our topics from outside or denies, and is left to a person.
    """
    from ..adapters.kafka_acls import change_rights, found_rights
    from ..adapters.kafka_rights import compare, wanted_rights

    settings = load_settings()
    wanted, cluster = wanted_rights(current_keyring(settings).keys()), as_admin(settings).cluster
    difference = compare(wanted, found_rights(cluster))
    for line in difference.lines():
        typer.echo(line)
    if apply and (difference.missing or difference.foreign):
        change_rights(cluster, difference)
        typer.echo(f"Gave {len(difference.missing)} rights and took {len(difference.foreign)} away.")
        difference = compare(wanted, found_rights(cluster))
    if difference:
        raise typer.Exit(NOT_AS_WANTED)
    typer.echo(f"The rights of {len({right.principal for right in wanted})} accounts are as they should be.")


def account(
    name: Annotated[str, typer.Argument(help="Name of the author or process, such as code-review.")],
    new: Annotated[bool, typer.Option("--new", help="Replace the password by a new one.")] = False,
) -> None:
    """Make the SCRAM account of an author, with a random password in the key folder; doing it again is harmless."""
    from ..adapters import keyfiles
    from ..adapters.kafka_access import load_password
    from ..adapters.kafka_acls import set_password

    settings = load_settings()
    _demand_known(settings, name)
    file = keyfiles.password_file(name)
    staged = f"{file}.next"
    if new and not (settings.keys / staged).exists():
        keyfiles.create_key(settings.keys, staged)
    elif not new and not (settings.keys / file).exists():
        keyfiles.create_key(settings.keys, file)
    # Stopped after the broker took a new password, the same command sends the same one again and moves the file.
    set_password(as_admin(settings).cluster, name, load_password(settings.keys / (staged if new else file)))
    if new:
        (settings.keys / staged).replace(settings.keys / file)
    typer.echo(f"{name} has its account. Its password is in {settings.keys / file}; hand that file to {name} alone.")


def topics() -> None:
    """Make the topic of events, which no other account may make; a topic that is there is left as it is."""
    settings = load_settings()
    as_admin(settings).ensure_topics({EVENTS_TOPIC: settings.partitions})
    typer.echo(f"{EVENTS_TOPIC} has {settings.partitions} partitions. Delivery makes the inboxes.")


def as_admin(settings: Settings) -> KafkaBus:
    """Return the bus as the administrator of the cluster."""
    from ..adapters.kafka_rights import ADMIN
    from ..wiring import open_bus

    if settings.kafka_security == "plaintext":
        raise NotConfigured("Over a plaintext connection there are no accounts. Set TENUTO_KAFKA_SECURITY, see deploy/.")
    return open_bus(settings, settings.kafka_user or ADMIN)


def _demand_known(settings: Settings, name: str) -> None:
    from ..adapters.kafka_rights import PROCESSES, RESERVED

    if name not in (*PROCESSES, *RESERVED):
        current_keyring(settings).current(name)

"""The settings file of notifications: channels, people, limits. TOML, read once, wrong in nothing or refused.

    per_hour = 6
    expiring_minutes = 10
    alerts = ["ops"]

    [channels.mail]
    kind = "email"
    host = "smtp.example.com"
    sender = "tenuto@example.com"
    user = "tenuto"
    password_file = "smtp-password"

    [channels.team]
    kind = "slack"
    url_file = "slack-url"

    [channels.pager]
    kind = "webhook"
    url = "https://pager.example.com/tenuto"
    secret_file = "pager-secret"

    [people.lena]
    channels = ["mail", "team"]
    email = "lena@example.com"

    [people.ops]
    channels = ["pager"]

A person is a reviewer, by the name that the ledger has, or an initiator, or somebody on the list `alerts`. Secrets stand in files of
their own, mode 0600; a relative name is looked for beside this file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from tenuto.errors import NotConfigured

from .notices import Reason

FILE_BYTES_MAX = 1 << 20
SECRET_BYTES_MAX = 4096
_OTHERS = 0o077
_WORD = r"^[a-z0-9][a-z0-9._-]{0,31}$(?!\n)"
_PERSON = r"^[a-z0-9][a-z0-9._:/@+-]{0,127}$(?!\n)"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
"""An addr-spec of RFC 5321 without quoting: nothing in it can end a line or begin another header."""

Word = Annotated[str, msgspec.Meta(pattern=_WORD)]
Person = Annotated[str, msgspec.Meta(pattern=_PERSON)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: a misspelt name in it is an error."""


class EmailChannel(_Table, frozen=True, kw_only=True, tag="email", tag_field="kind"):
    """SMTP with STARTTLS (RFC 3207), never without. ca: PEM file of the server's authority; the system's when unset."""

    host: str
    sender: str
    port: Port = 587
    user: str = ""
    password_file: str = ""
    ca: str = ""


class SlackChannel(_Table, frozen=True, kw_only=True, tag="slack", tag_field="kind"):
    """An incoming webhook as Slack, Mattermost and others have it. Its address is the secret, so it stands in a file."""

    url_file: str
    ca: str = ""


class WebhookChannel(_Table, frozen=True, kw_only=True, tag="webhook", tag_field="kind"):
    """A signed POST (Standard Webhooks). secret_file: a `whsec_...` a line; all sign, so that a receiver can change over."""

    url: str
    secret_file: str
    ca: str = ""


Channel = EmailChannel | SlackChannel | WebhookChannel


class Contact(_Table, frozen=True, kw_only=True):
    """How one person is reached. email: for channels of that kind. slack_id: is mentioned there. reasons: all when unset."""

    channels: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=8)]
    email: str = ""
    slack_id: Annotated[str, msgspec.Meta(pattern=r"^([UW][A-Z0-9]{1,20})?$(?!\n)")] = ""
    reasons: tuple[Reason, ...] = ()


class Contacts(_Table, frozen=True, kw_only=True):
    """The whole file. per_hour: what one person is sent in any sliding 60 minutes, ordinary and urgent things each."""

    channels: dict[Word, Channel]
    people: dict[Person, Contact]
    alerts: tuple[Person, ...] = ()
    per_hour: Annotated[int, msgspec.Meta(ge=1, le=60)] = 6
    expiring_minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 10

    def wants(self, person: str, reason: Reason) -> bool:
        """Whether this person is told of such a thing."""
        contact = self.people.get(person)
        return contact is not None and (not contact.reasons or reason in contact.reasons or reason in ("digest", "trial"))


def load_contacts(path: Path) -> Contacts:
    """Return the settings in this file; raises NotConfigured, naming what is wrong in it."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise NotConfigured(f"{path} has more than {FILE_BYTES_MAX:,} bytes.")
        contacts = msgspec.convert(tomllib.loads(text.decode("utf-8")), Contacts)
    except OSError as error:
        raise NotConfigured(f"The settings of notifications at {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise NotConfigured(f"{path} is no settings file of notifications: {error}.") from error
    fault = next(_faults(contacts), None)
    if fault is not None:
        raise NotConfigured(f"{path}: {fault}")
    return contacts


def read_secret(folder: Path, name: str) -> str:
    """Return the text of a secret's file; raises NotConfigured when it is missing, empty, too long or open to others."""
    path = folder / name
    try:
        if path.stat().st_mode & _OTHERS:
            raise NotConfigured(f"{path} is open to others on this machine. Run `chmod 600 {path}`, and change the secret.")
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"The secret {path} cannot be read: {error}.") from error
    if not secret or len(secret) > SECRET_BYTES_MAX:
        raise NotConfigured(f"The secret {path} should hold 1 to {SECRET_BYTES_MAX} characters.")
    return secret


def demand_web_address(url: str, what: str) -> None:
    """Raise NotConfigured unless `url` is https, or http on this machine, without a name and password in it."""
    parts = urlsplit(url)
    try:
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        port_is_one = False
    plain = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or plain) or not parts.hostname or not port_is_one or parts.username is not None:
        raise NotConfigured(f"{what} is no address to send to. Give https://HOST/PATH; http:// is for this machine only.")
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise NotConfigured(f"{what} has characters that no address has.")


def _faults(contacts: Contacts) -> Iterator[str]:
    for name, channel in contacts.channels.items():
        if isinstance(channel, EmailChannel):
            if not _ADDRESS.fullmatch(channel.sender):
                yield f"the sender of the channel {name} is no plain address such as tenuto@example.com."
            if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", channel.host):
                yield f"the host of the channel {name} is no name of a machine."
            if bool(channel.user) != bool(channel.password_file):
                yield f"the channel {name} needs both user and password_file, or neither."
        elif isinstance(channel, WebhookChannel):
            demand_web_address(channel.url, f"The url of the channel {name}")
    for name, contact in contacts.people.items():
        unknown = [one for one in contact.channels if one not in contacts.channels]
        if unknown:
            yield f"{name} has the channel {unknown[0]}, and there is none of that name."
        mailed = any(isinstance(contacts.channels[one], EmailChannel) for one in contact.channels)
        if mailed and not _ADDRESS.fullmatch(contact.email):
            yield f"{name} needs a plain address such as lena@example.com for the channel of e-mail."
    for name in contacts.alerts:
        if name not in contacts.people:
            yield f"the list alerts names {name}, and there is no [people.{name}]."


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

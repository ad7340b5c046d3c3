"""The ways out: signed webhook, Slack-compatible webhook, e-mail. Each sends one letter and says how it went.

Three outcomes, as everywhere: it was taken; `Busy`, the receiver is away or in trouble and everything waits for it; `Refused`, this
letter will never be taken there. Nothing else leaves `send`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
from tenuto.clock import Clock
from tenuto.errors import NotConfigured

from .contacts import (
    Channel,
    Contact,
    Contacts,
    EmailChannel,
    SlackChannel,
    WebhookChannel,
    demand_web_address,
    read_secret,
)
from .posting import SECONDS, post
from .smtp import hand_over
from .wording import CLOSING, Letter

SECRET_PREFIX = "whsec_"  # noqa: S105 - how such a secret begins
SECRET_BYTES_MIN, SECRET_BYTES_MAX, SECRETS_MAX = 24, 64, 4
_WORD_JOINER = "\u2060"


class Sender(Protocol):
    """One open channel."""

    def send(self, letter: Letter, contact: Contact) -> None:
        """Hand the letter over; on return the receiver has it. Raises Busy or Refused."""
        ...


class Webhook:
    """Standard Webhooks 1.0: id, timestamp and HMAC-SHA256 over `id.timestamp.body`, in three headers.

    The id is the notice's and the same in every repetition; the timestamp is that of the sending, so that a receiver refuses both
    what it knows and what is old.
    """

    def __init__(self, url: str, secrets: Sequence[bytes], clock: Clock, *, tls: ssl.SSLContext, seconds: float = SECONDS) -> None:
        """`secrets`: each signs, the newest first."""
        self._url, self._secrets, self._clock, self._tls, self._seconds = url, tuple(secrets), clock, tls, seconds

    def send(self, letter: Letter, contact: Contact) -> None:
        """Post the letter as JSON."""
        body = msgspec.json.encode(webhook_body(letter))
        stamp = str(int(self._clock.now().timestamp()))
        post(self._url, body, signed_headers(letter.notice.id, stamp, body, self._secrets), tls=self._tls, seconds=self._seconds)


class Slack:
    """An incoming webhook: one JSON object with `text`."""

    def __init__(self, url: str, *, tls: ssl.SSLContext, seconds: float = SECONDS) -> None:
        """`url` is the secret of this channel; it stands in no error."""
        self._url, self._tls, self._seconds = url, tls, seconds

    def send(self, letter: Letter, contact: Contact) -> None:
        """Post the letter as text without markup."""
        body = msgspec.json.encode(slack_body(letter, contact.slack_id))
        post(self._url, body, {"Content-Type": "application/json"}, tls=self._tls, seconds=self._seconds)


class Email:
    """A plain text letter by SMTP with STARTTLS."""

    def __init__(self, channel: EmailChannel, password: str, clock: Clock, *, tls: ssl.SSLContext, seconds: float = SECONDS) -> None:
        """`tls` says which servers are believed."""
        self._channel, self._password, self._clock, self._tls, self._seconds = channel, password, clock, tls, seconds

    def send(self, letter: Letter, contact: Contact) -> None:
        """Send the letter to the person's address."""
        message = email_of(letter, self._channel.sender, contact.email)
        message["Date"] = format_datetime(self._clock.now())
        channel = self._channel
        login = (channel.user, self._password) if channel.user else None
        hand_over((channel.host, channel.port), message, login=login, tls=self._tls, seconds=self._seconds)


def signed_headers(message_id: str, stamp: str, body: bytes, secrets: Sequence[bytes]) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks (specification 1.0.0, "Signature scheme"): one `v1` signature for each secret."""
    content = f"{message_id}.{stamp}.".encode() + body
    made = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "Content-Type": "application/json", "webhook-id": message_id, "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }  # fmt: skip


def parse_secrets(text: str, where: str) -> list[bytes]:
    """Return the keys in a secret's file, a `whsec_` and base64 a line; raises NotConfigured with the remedy."""
    keys = []
    for line in text.split():
        try:
            key = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not line.startswith(SECRET_PREFIX) or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
            raise NotConfigured(
                f"{where} holds a line that is no secret of Standard Webhooks: {SECRET_PREFIX} and the base64 of"
                f" {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes."
            )
        keys.append(key)
    if not 1 <= len(keys) <= SECRETS_MAX:
        raise NotConfigured(f"{where} should hold 1 to {SECRETS_MAX} secrets, the newest first.")
    return keys


def webhook_body(letter: Letter) -> dict[str, Any]:
    """Return what is posted: `type`, `timestamp` and `data`, as Standard Webhooks recommends."""
    notice = letter.notice
    data = {
        "id": notice.id, "reason": notice.reason, "person": notice.person, "about": notice.about, "sentence": letter.title,
        "subject": notice.subject, "risks": list(notice.risks), "severity": notice.severity, "rule": notice.rule,
        "expires": notice.expires, "lines": list(notice.lines), "link": letter.link,
    }  # fmt: skip
    return {
        "type": f"tenuto.{notice.reason}", "timestamp": notice.at,
        "data": {name: value for name, value in data.items() if value not in ("", [], None)},
    }  # fmt: skip


def slack_body(letter: Letter, slack_id: str = "") -> dict[str, Any]:
    """Return the message for an incoming webhook. Foreign text cannot mention, link or format in it.

    Markup is switched off (`mrkdwn`, `parse`, `link_names`), and nothing is fetched for a preview. Where a receiver does not know
    these switches, the three characters of its control sequences are escaped, and no `@` stands before a letter.
    """
    facts = "".join(f"\n{name}: {slack_text(value)}" for name, value in letter.facts)
    lines = "".join(f"\n• {slack_text(line)}" for line in letter.notice.lines)
    mention = f"<@{slack_id}> " if slack_id else ""
    return {
        "text": f"{mention}{slack_text(letter.title)}{facts}{lines}\n<{slack_text(letter.link)}>\n{CLOSING}",
        "mrkdwn": False, "parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False,
    }  # fmt: skip


def slack_text(text: str) -> str:
    """Return foreign text for Slack: `&`, `<` and `>` as entities, as its rules demand, and no `@` that could call anybody."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.replace("@", "@" + _WORD_JOINER).split())


def email_of(letter: Letter, sender: str, to: str) -> EmailMessage:
    """Return the message without its date. A header with a line break in it is refused by the policy (RFC 5322), not sent."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = sender, to
    message["Subject"] = " ".join(f"Tenuto: {letter.title}".split())
    message["Message-ID"] = f"<{letter.notice.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice comes back
    message.set_content(letter.text())
    return message


def open_senders(contacts: Contacts, folder: Path, clock: Clock) -> dict[str, Sender]:
    """Return every channel, with its secrets read from `folder`; raises NotConfigured for one that cannot be used."""
    return {name: _open(name, channel, folder, clock) for name, channel in contacts.channels.items()}


def _open(name: str, channel: Channel, folder: Path, clock: Clock) -> Sender:
    tls = _tls(folder, channel.ca)
    if isinstance(channel, EmailChannel):
        password = read_secret(folder, channel.password_file) if channel.password_file else ""
        return Email(channel, password, clock, tls=tls)
    if isinstance(channel, SlackChannel):
        url = read_secret(folder, channel.url_file)
        demand_web_address(url, f"What {folder / channel.url_file} holds")
        return Slack(url, tls=tls)
    assert isinstance(channel, WebhookChannel)
    secrets = parse_secrets(read_secret(folder, channel.secret_file), str(folder / channel.secret_file))
    return Webhook(channel.url, secrets, clock, tls=tls)


def _tls(folder: Path, ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(folder / ca) if ca else None)
    except OSError as error:
        raise NotConfigured(f"{folder / ca} is no file of PEM certificates: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context



"""Messages between authors travel as ledger events: sent once, delivered with proof, or refused by the receiver."""

from __future__ import annotations

from typing import Literal

from .base import Count, Event, Name


class MessageSent(Event, frozen=True, kw_only=True, tag="message.sent"):
    """A message to the author named in `to`; `topic` says what it is about, the payload is the message."""

    topic: Name


class MessageDelivered(Event, frozen=True, kw_only=True, tag="message.delivered"):
    """The receiver verified the message at `position` for itself and now processes it; `cause` holds its id."""

    position: Count


class MessageRefused(Event, frozen=True, kw_only=True, tag="message.refused"):
    """The receiver's own verification failed, so it did not process what stands at `position`."""

    position: Count
    reason: Literal["malformed", "key", "signature", "payload", "proof", "checkpoint", "not_addressed", "entitlement"]

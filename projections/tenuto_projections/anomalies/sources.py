"""Rules about who speaks to whom: the wrong sender, a new source, a receiver that does not exist."""

from __future__ import annotations

from tenuto.events import MessageSent
from tenuto.verification import Verified

from .finding import Finding, found, said
from .history import History
from .road import ROAD, on_road

LEARNING_MESSAGES = 100
"""So many messages are seen before an unknown combination of author, topic and receiver is worth a person's time."""


def wrong_sender(_: History, verified: Verified) -> Finding | None:
    """A topic of the road from anybody but its sender, in another role, or to anybody but its receiver."""
    event = verified.event
    if not isinstance(event, MessageSent) or event.topic not in ROAD or on_road(verified, event):
        return None
    leg, role = ROAD[event.topic], verified.key.role
    sentence = (
        f"{said(event.author)} ({role}) sent {said(event.topic)} to {said(event.to or 'nobody')};"
        f" only {leg.sender} ({leg.role}) sends it, and only to {leg.receiver}."
    )
    return found("wrong_sender", verified, sentence)


def new_source(history: History, verified: Verified) -> Finding | None:
    """An author sends a topic to a receiver for the first time, after the learning period; the road is no news."""
    event = verified.event
    if not isinstance(event, MessageSent) or event.topic in ROAD or history.messages < LEARNING_MESSAGES:
        return None
    if history.sources.get((event.author, event.topic, event.to or "")):
        return None
    sentence = (
        f"{said(event.author)} sent {said(event.topic)} to {said(event.to or 'nobody')} for the first time in"
        f" {history.messages:,} messages."
    )
    return found("new_source", verified, sentence, figures={"messages_before": float(history.messages)})


def unknown_receiver(history: History, verified: Verified) -> Finding | None:
    """A message to nobody, or to an author without a valid key at this position."""
    event = verified.event
    if not isinstance(event, MessageSent) or history.valid_keys.get(event.to or ""):
        return None
    if event.to is None:
        sentence = f"{said(event.author)} sent {said(event.topic)} to nobody."
    else:
        why = "whose keys were all revoked" if event.to in history.valid_keys else "whom the ledger does not know"
        sentence = f"{said(event.author)} sent {said(event.topic)} to {said(event.to)}, {why}."
    return found("unknown_receiver", verified, sentence)

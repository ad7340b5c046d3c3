"""The rule about too many messages: a burst, measured against what the same author did before.

What arrives long after it was written (a backlog after an outage) is no burst: it is left out of the count, and its
lateness is a finding of its own, so that claiming an old time hides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.events import MessageSent

from .finding import Finding, found, said

if TYPE_CHECKING:
    from tenuto.verification import Verified

    from .history import History


def burst(history: History, verified: Verified) -> Finding | None:
    """The message that takes its author's minute over the limit; the rest of that burst is not said again."""
    event = verified.event
    pace = history.paces.get(event.author)
    if not isinstance(event, MessageSent) or pace is None or pace.over or history.is_late(verified):
        return None
    count = pace.window.count(verified.recorded_at) + 1
    if count <= pace.limit:
        return None
    before = f"its busiest minute until an hour ago had {pace.highest}"
    sentence = f"{said(event.author)} sent {count} messages within a minute; {before}."
    figures = {"messages": float(count), "limit": float(pace.limit), "highest_before": float(pace.highest)}
    return found("burst", verified, sentence, earlier=tuple(pace.window.ids), figures=figures)

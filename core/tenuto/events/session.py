"""A session is one life of one author's process: its own chain of events, opened and closed by signed events."""

from __future__ import annotations

from typing import Literal

from .base import Event, Name


class SessionOpened(Event, frozen=True, kw_only=True, tag="session.opened"):
    """The first event of a session (seq 0). `software` names what runs, such as `tenuto-agents/0.1.0`."""

    software: Name


class SessionClosed(Event, frozen=True, kw_only=True, tag="session.closed"):
    """The last event of a session; a session without one ended by a crash or is still running."""

    outcome: Literal["completed", "failed", "interrupted"]

"""A session is one life of one author's process: its own chain of events, opened and closed by signed events."""

from __future__ import annotations

from typing import Literal

from .base import Count, Event, Name


class SessionOpened(Event, frozen=True, kw_only=True, tag="session.opened"):
    """The first event of a session (seq 0). `software` names what runs, such as `tenuto-agents/0.1.0`."""

    software: Name


class SessionEpochFollowed(Event, frozen=True, kw_only=True, tag="session.epoch_followed"):
    """From here on this session seals its payloads to the key of this epoch, and to no earlier one."""

    epoch: Count


class SessionClosed(Event, frozen=True, kw_only=True, tag="session.closed"):
    """The last event of a session; a session without one ended by a crash or is still running."""

    outcome: Literal["completed", "failed", "interrupted"]

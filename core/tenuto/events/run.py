"""A run is one piece of work from start to finish: in the reference system, one pull request on its way to production."""

from __future__ import annotations

from typing import Literal

from .base import Event, GitRevision, Name


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started"):
    """A run began; `run` in the header is its name. The payload describes the change (repository, title, author)."""

    workflow: Name
    base: GitRevision | None = None
    head: GitRevision | None = None


class RunFinished(Event, frozen=True, kw_only=True, tag="run.finished"):
    """A run ended. `refused`: a control or a person stopped it, which is success of the controls."""

    outcome: Literal["succeeded", "refused", "failed"]

"""A tool call in its stages. A tool runs only after its start is on record, so an effect without a start is impossible."""

from __future__ import annotations

from typing import Literal

from .base import Count, Event, Hash, Name


class ToolRequested(Event, frozen=True, kw_only=True, tag="tool.requested"):
    """An agent wants to call `tool` on `resource`; the payload holds the arguments, `digest` binds what is acted on."""

    call: Name
    tool: Name
    resource: Name
    digest: Hash


class ToolStarted(Event, frozen=True, kw_only=True, tag="tool.started"):
    """The call begins now. Durable before the tool is touched."""

    call: Name
    tool: Name
    resource: Name
    digest: Hash


class ToolFinished(Event, frozen=True, kw_only=True, tag="tool.finished"):
    """The tool returned; the payload holds the result. `milliseconds` is the author's measure."""

    call: Name
    tool: Name
    milliseconds: Count


class ToolFailed(Event, frozen=True, kw_only=True, tag="tool.failed"):
    """The call did not happen or did not succeed; `refused` and `not_approved` mean that the tool was never touched."""

    call: Name
    tool: Name
    why: Literal["refused", "not_approved", "error", "timeout"]


class ToolUnknown(Event, frozen=True, kw_only=True, tag="tool.unknown"):
    """Whether the tool had its effect could not be learned. A person reconciles it; it is never retried blind."""

    call: Name
    tool: Name


class ToolReconciled(Event, frozen=True, kw_only=True, tag="tool.reconciled"):
    """A person looked at what a call left whose outcome nobody knew; the payload says how it was found out.

    agent, call, tool: which call of whom. outcome: done: it had its effect. not_done: it had none. mended: it had some of
    it, and what was half done was put right by hand. Until then the agent does not begin this tool on this resource again.
    """

    agent: Name
    call: Name
    tool: Name
    outcome: Literal["done", "not_done", "mended"]

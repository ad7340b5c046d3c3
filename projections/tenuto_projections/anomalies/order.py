"""Rules about the order of steps: what must precede a message or a tool call, and what may not follow a run's end."""

from __future__ import annotations

from tenuto.events import DecisionMade, MessageSent, RunFinished, ToolFinished, ToolStarted
from tenuto.verification import Verified

from .finding import Finding, found, said
from .history import History
from .road import NEEDS, REVIEWED_TOOLS, ROLLBACK_TOOL, step_of

_WORK = (DecisionMade, MessageSent, ToolStarted, RunFinished)


def out_of_order(history: History, verified: Verified) -> Finding | None:
    """A step of the road in a run (or in none) where the step before it is not on record."""
    event = verified.event
    step = step_of(event)
    needed = None if step is None else NEEDS.get(step)
    if needed is None or needed in history.run(event).facts:
        return None
    place = f"in the run {said(event.run)}" if event.run else "outside of any run"
    sentence = f"{said(event.author)} took the step '{step}' {place}, where '{needed}' is not on record before it."
    return found("out_of_order", verified, sentence)


def after_the_end(history: History, verified: Verified) -> Finding | None:
    """A decision, a message, the start of a tool or a success in a run that has ended.

    To end it again is harmless, and taking a release back after a second look comes after the end by its nature; that it was
    asked for and approved is `ungated_call`'s matter.
    """
    event = verified.event
    ended_by = history.run(event).ended_by
    if ended_by is None or not isinstance(event, _WORK):
        return None
    if isinstance(event, ToolStarted) and event.tool == ROLLBACK_TOOL:
        return None
    if isinstance(event, RunFinished) and event.outcome != "succeeded":
        return None
    sentence = f"{said(event.author)} wrote {event.kind} in the run {said(event.run)} after it had ended."
    return found("after_the_end", verified, sentence, earlier=(ended_by,))


def ungated_call(history: History, verified: Verified) -> Finding | None:
    """A tool call that starts without its request or policy's permission, or returns without a start.

    Permission is missed only where it is due: from an author who asked policy before, for the tools of the road, and
    after a denial. An author who records its tools without a gate has no policy that could permit anything.
    """
    event = verified.event
    if not isinstance(event, ToolStarted | ToolFinished):
        return None
    seen = history.calls.get((event.author, event.call)) or set()
    needed = {"tool.requested"} if isinstance(event, ToolStarted) else {"tool.started"}
    if isinstance(event, ToolStarted) and (event.author in history.gated or event.tool in REVIEWED_TOOLS):
        needed.add("policy.decided allow")
    missing = needed - seen
    if not missing:
        return None
    names = " and ".join(sorted(missing))
    sentence = f"{said(event.author)} wrote {event.kind} of {said(event.tool)} without {names} of the same call."
    return found("ungated_call", verified, sentence)

"""The way of a change to production, as data: who sends which topic to whom, and what must have happened before.

Agents check this for themselves when a message reaches them. The watch looks at it from outside, so that it also sees
what a hijacked agent would keep to itself; a test compares the table with the duties of the agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenuto.events import Event, MessageSent, RunStarted, ToolFinished, ToolStarted
from tenuto.verification import Verified

REVIEW = "code-review"


@dataclass(frozen=True, slots=True)
class Leg:
    """One piece of the road: only `sender`, in this role, sends its topic, and only to `receiver`."""

    sender: str
    role: str
    receiver: str


ROAD: Mapping[str, Leg] = {
    "review.requested": Leg("pipeline", "pipeline", REVIEW),
    "review.verdict": Leg(REVIEW, "agent", "infrastructure"),
    "infrastructure.applied": Leg("infrastructure", "agent", "deployment"),
}
RUN_STARTED = "run.started"
NEEDS: Mapping[str, str] = {
    "message review.requested": RUN_STARTED,
    "message review.verdict": "message review.requested",
    "message infrastructure.applied": "message review.verdict",
    "start of terraform.apply": "end of terraform.plan",
    "start of deploy.production": "message infrastructure.applied",
    "start of deploy.rollback": "end of deploy.production",
}
"""Each step and the fact that must be on record, in the same run, before it."""
REVIEWED_TOPICS = frozenset({"review.verdict", "infrastructure.applied"})
ROLLBACK_TOOL = "deploy.rollback"
REVIEWED_TOOLS = frozenset({"terraform.apply", "deploy.production", ROLLBACK_TOOL})
"""What nobody may send or ask for in a run without an approving decision of the code review."""


def step_of(event: Event) -> str | None:
    """Name the step that this event takes, in the words of NEEDS, or None."""
    if isinstance(event, MessageSent):
        return f"message {event.topic}"
    return f"start of {event.tool}" if isinstance(event, ToolStarted) else None


def fact_of(verified: Verified) -> str | None:
    """Name the fact that later steps may rest on, or None; what comes from the wrong author is none."""
    event = verified.event
    if isinstance(event, RunStarted):
        return RUN_STARTED if verified.key.role == "pipeline" else None
    if isinstance(event, MessageSent):
        return f"message {event.topic}" if on_road(verified, event) else None
    return f"end of {event.tool}" if isinstance(event, ToolFinished) else None


def on_road(verified: Verified, message: MessageSent) -> bool:
    """Whether the message takes its leg of the road as it should."""
    leg = ROAD.get(message.topic)
    return leg is not None and Leg(message.author, verified.key.role, message.to or "") == leg

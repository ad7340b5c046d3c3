"""Attempts to give orders to an agent, seen in the verified log: what was taken out, what got through, what was noticed.

| kind | means |
| --- | --- |
| order-taken-out | a line that speaks to the reviewer stood in the change, and the model did not see it |
| order-in-message | one stood in title, description or a commit message, which no model is shown |
| order-reached-model | one stood where cleaning does not reach: in a string or a name; what decides is policy, not the model |
| hidden-characters | the change has characters that show as nothing or turn the direction of reading |
| divergence | the model approved what static analysis would not |
| outside-schema | the model's answer was none of the schema |
| sandbox | something tried to get out of the review's sandbox |
| unsigned-policy | a text that nobody signed was put where policies are looked up |

The first four are read from payloads. Where those are closed or purged, only the others are counted, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tenuto.documents import Handover, PullRequest, Review
from tenuto.events import AlertRaised, DecisionMade, ToolRequested
from tenuto.verification import Verified

from ..payloads import AVAILABLE, NONE, document, payload_state

KINDS = (
    "order-taken-out", "order-in-message", "order-reached-model", "hidden-characters", "divergence", "outside-schema", "sandbox",
    "unsigned-policy",
)  # fmt: skip
UNKNOWN = "unknown"
RANGE = "range-"
FENCE = "| "
INVALID = "invalid: the answer is not in the schema"
_ORDER = re.compile(
    r"(ignore|disregard|forget)\W+(?:\w+\W+){0,3}(instructions|rules|prompt)"
    r"|\byou (must|shall|should|have to|will)\W+(approve|accept|merge)"
    r"|(^|\W)(system|assistant|developer)\s*:\s"
    r"|\b(approve|merge)\W+(this|it|the (change|pull request))\b"
    r"|\b(do not|don't|never)\W+(report|mention|flag)\b",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"\\u\{[0-9a-f]{1,6}\}")
_REPOSITORY = "repo:"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. position, at, event: of the event that shows it. exercise: the red team's own. times: lines or findings."""

    kind: str
    position: int
    at: datetime
    event: UUID
    agent: str
    repository: str
    author: str
    run: str
    times: int
    exercise: bool


@dataclass
class _Change:
    """What a run is about, as its first words say; all of it is somebody else's text."""

    repository: str = UNKNOWN
    author: str = UNKNOWN
    messages: tuple[str, ...] = ()


@dataclass
class Sightings:
    """The fold. closed: decisions whose payload could not be read."""

    attempts: list[Attempt] = field(default_factory=list)
    closed: list[tuple[datetime, int]] = field(default_factory=list)
    newest: Verified | None = None
    _changes: dict[str, _Change] = field(default_factory=dict)

    def take(self, verified: Verified) -> None:
        """Take the next verified event, in ledger order."""
        self.newest, event = verified, verified.event
        self._note_change(verified)
        if isinstance(event, DecisionMade):
            if payload_state(verified) not in (AVAILABLE, NONE):
                self.closed.append((verified.recorded_at, verified.position))
            self._add(verified, self._in_decision(verified, event))
        elif isinstance(event, AlertRaised):
            kind = "sandbox" if event.detector == "sandbox" else "unsigned-policy" if event.rule == "knowledge.not_signed" else ""
            self._add(verified, [(kind, 1)] if kind else [])

    def _in_decision(self, verified: Verified, event: DecisionMade) -> Iterator[tuple[str, int]]:
        change = self._changes.get(event.run or "", _Change())
        yield "order-in-message", sum(bool(_ORDER.search(message)) for message in change.messages)
        review = document(verified, Review)
        if review is not None:
            added = [line[1:] for line in review.diff.split("\n") if line.startswith("+") and not line.startswith("+++ ")]
            shown = "\n".join(line for line in review.prompt.split("\n") if line.startswith(FENCE))
            orders = [line for line in added if _ORDER.search(line)]
            reached = [line for line in orders if line.strip() in shown]
            yield "order-taken-out", len(orders) - len(reached)
            yield "order-reached-model", len(reached)
            yield "hidden-characters", sum(bool(_HIDDEN.search(line)) for line in review.diff.split("\n") if line[:1] == "+")
            yield "outside-schema", int(review.reasoning.startswith(INVALID))
        yield "divergence", int(event.diverges)

    def _add(self, verified: Verified, found: Iterator[tuple[str, int]] | list[tuple[str, int]]) -> None:
        event = verified.event
        change = self._changes.get(event.run or "", _Change())
        for kind, times in found:
            if times:
                self.attempts.append(Attempt(
                    kind, verified.position, verified.recorded_at, event.id, event.author, change.repository, change.author,
                    event.run or "", times, exercise=event.author.startswith(RANGE),
                ))  # fmt: skip

    def _note_change(self, verified: Verified) -> None:
        """What a run is about is said at its beginning; the first to say it counts, and a tool's resource where nobody says it."""
        run, event = verified.event.run, verified.event
        if run is None:
            return
        asked = document(verified, PullRequest)
        if asked is None and (handover := document(verified, Handover)) is not None:
            asked = handover.pull_request
        known = self._changes.get(run)
        if asked is not None and (known is None or known.author == UNKNOWN):
            messages = (asked.title, asked.description, *asked.commits)
            self._changes[run] = _Change(asked.repository or UNKNOWN, asked.author or UNKNOWN, messages)
        elif known is None and isinstance(event, ToolRequested) and event.resource.startswith(_REPOSITORY):
            self._changes[run] = _Change(event.resource.removeprefix(_REPOSITORY))

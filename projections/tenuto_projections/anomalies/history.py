"""What the rules remember of the ledger before the event at hand: a pure fold, bounded in memory.

Rules look at it and never change it; `take` moves it on by one event. Of runs, calls and messages the most recent are
kept, so a ledger of any length fits, and a walk from the first event always ends in the same state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

from tenuto.events import (
    ApprovalOpened,
    DecisionMade,
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    MessageRefused,
    MessageSent,
    PolicyDecided,
    RecordRefused,
    RunFinished,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto.keyring import ROOT
from tenuto.verification import Verified

from .pace import Pace, Window
from .road import REVIEW, fact_of

KEPT_MAX = 10_000
SKEW_MAX = timedelta(minutes=5)
REFUSALS_SPAN = timedelta(minutes=10)

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A mapping that keeps the KEPT_MAX (10,000) most recently set keys."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        """Start empty."""
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._kept_max = kept_max

    def get(self, key: Key) -> Value | None:
        """Return the value, or None."""
        return self._values.get(key)

    def set(self, key: Key, value: Value) -> Value:
        """Set the value as the most recent one and return it."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._kept_max:
            self._values.popitem(last=False)
        return value


@dataclass
class RunSoFar:
    """One run up to here.

    review, reviewed_by: the last word of the code review (approve, reject, comment, diverges or None) and its event.
    """

    facts: set[str] = field(default_factory=set)
    review: str | None = None
    reviewed_by: UUID | None = None
    ended_by: UUID | None = None


@dataclass
class History:
    """Everything the rules know.

    valid_keys: of each author. sources: (author, topic, receiver) so far. gated: who asked policy about a call before.
    """

    messages: int = 0
    valid_keys: dict[str, set[str]] = field(default_factory=lambda: {ROOT: {ROOT}})
    sources: Recent[tuple[str, str, str], bool] = field(default_factory=Recent)
    runs: Recent[str, RunSoFar] = field(default_factory=Recent)
    calls: Recent[tuple[str, str], set[str]] = field(default_factory=Recent)
    senders: Recent[UUID, str] = field(default_factory=Recent)
    opened: Recent[tuple[str, str, str], UUID] = field(default_factory=Recent)
    paces: dict[str, Pace] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    refusals: Recent[str, Window] = field(default_factory=Recent)
    refused_records: Recent[tuple[str, str], Window] = field(default_factory=Recent)
    skewed: Recent[tuple[UUID, bool], bool] = field(default_factory=Recent)

    def run(self, event: Event) -> RunSoFar:
        """Return what is known of the event's run; an empty one when it is unknown or the event has none."""
        return (event.run and self.runs.get(event.run)) or RunSoFar()

    def is_late(self, verified: Verified) -> bool:
        """Whether the claimed time lies more than SKEW_MAX (5 minutes) before the ledger's."""
        return verified.recorded_at - verified.event.at > SKEW_MAX

    def is_early(self, verified: Verified) -> bool:
        """Whether the claimed time lies more than SKEW_MAX after the ledger's."""
        return verified.event.at - verified.recorded_at > SKEW_MAX

    def refused_author(self, event: Event) -> str | None:
        """Return whom this event says to be refused, or None: by ingest, by a receiver, or by policy."""
        if isinstance(event, RecordRefused):
            return event.claimed_author
        if isinstance(event, MessageRefused):
            return next((sender for cause in event.cause if (sender := self.senders.get(cause))), None)
        return event.author if isinstance(event, PolicyDecided) and event.effect == "deny" else None

    def take(self, verified: Verified) -> None:
        """Move on by one event."""
        event = verified.event
        self._take_keys(event)
        self._take_message(verified)
        self._take_call(event)
        self._take_run(verified)
        self._take_refusal(verified)
        if isinstance(event, ApprovalOpened):
            self.opened.set((event.reviewer or event.author, event.approval, event.digest), event.id)
        if self.is_late(verified) or self.is_early(verified):
            self.skewed.set((event.session, self.is_early(verified)), True)

    def _take_keys(self, event: Event) -> None:
        if isinstance(event, KeyRegistered | KeyRotated):
            keys = self.valid_keys.setdefault(event.subject, set())
            keys.add(event.subject_key_id)
            if isinstance(event, KeyRotated):
                keys.discard(event.old_key_id)
        elif isinstance(event, KeyRevoked):
            self.valid_keys.get(event.subject, set()).discard(event.subject_key_id)

    def _take_message(self, verified: Verified) -> None:
        event = verified.event
        if not isinstance(event, MessageSent):
            return
        self.messages += 1
        self.sources.set((event.author, event.topic, event.to or ""), True)
        self.senders.set(event.id, event.author)
        if not self.is_late(verified):
            self.paces.setdefault(event.author, Pace()).take(verified.recorded_at, event.id)

    def _take_call(self, event: Event) -> None:
        if isinstance(event, ToolRequested | PolicyDecided | ToolStarted | ToolFinished | ToolFailed):
            name = event.kind
            if isinstance(event, PolicyDecided):
                name = f"{event.kind} {event.effect}"
                self.gated.add(event.author)
            seen = self.calls.get((event.author, event.call)) or set()
            self.calls.set((event.author, event.call), seen | {name})

    def _take_run(self, verified: Verified) -> None:
        event = verified.event
        if event.run is None:
            return
        run = self.runs.set(event.run, self.runs.get(event.run) or RunSoFar())
        fact = fact_of(verified)
        if fact is not None:
            run.facts.add(fact)
        if isinstance(event, DecisionMade) and (event.author, verified.key.role) == (REVIEW, "agent"):
            run.review = "diverges" if event.diverges else event.verdict
            run.reviewed_by = event.id
        elif isinstance(event, RunFinished):
            run.ended_by = event.id

    def _take_refusal(self, verified: Verified) -> None:
        event = verified.event
        author = self.refused_author(event)
        if author is None:
            return
        now = verified.recorded_at
        self.refusals.set(author, self.refusals.get(author) or Window(REFUSALS_SPAN)).take(now, event.id)
        if isinstance(event, RecordRefused):
            key = (author, event.reason)
            self.refused_records.set(key, self.refused_records.get(key) or Window(REFUSALS_SPAN)).take(now, event.id)

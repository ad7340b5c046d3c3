"""What a detector says, and the closed vocabulary of what it can say.

A finding is a value: the same events always give the same findings, under the same names. So a detector may walk the
ledger again from its first event whenever it likes, and whether a finding was raised already is a question of its name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from tenuto.events.alert import EVIDENCE_IDS_MAX, Severity
from tenuto.verification import Verified

RULES_DETECTOR, RULES_VERSION = "message-rules", "1"
CERTAIN = 1000
SAID_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a detector can find. `meaning` is a sentence for people; refs are ids of the threat model."""

    severity: Severity
    refs: tuple[str, ...]
    meaning: str


RULES: Mapping[str, Rule] = {
    "wrong_sender": Rule("critical", ("T7", "M29"), "A message of the road came from, or went to, somebody else."),
    "new_source": Rule("medium", ("T7", "M29"), "An author sent a topic to a receiver for the first time."),
    "unknown_receiver": Rule("medium", ("T7", "M29"), "A message goes to nobody who holds a valid key."),
    "burst": Rule("medium", ("T7", "M29"), "An author sends far more messages a minute than it ever did."),
    "out_of_order": Rule("high", ("T7", "M29"), "A step was taken before the step that must precede it."),
    "after_the_end": Rule("high", ("T7", "M29"), "Work went on in the name of a run that has ended."),
    "ungated_call": Rule("critical", ("T7", "M29"), "A tool call went on without what must be on record before it."),
    "unreviewed": Rule("high", ("T1", "T7", "M29"), "A change went on without an approving decision of the review."),
    "unopened": Rule("high", ("T4", "M13"), "A reviewer approved what was never opened."),
    "overdue_check": Rule("high", ("T4", "M14"), "A second look at an approval was not taken in time."),
    "refused_record": Rule("medium", ("T7", "M27", "M29"), "Ingest refused a record that somebody tried to pass off."),
    "repeated_refusals": Rule("high", ("T7", "M29"), "One author is refused again and again."),
    "equivocation": Rule("critical", ("T7", "M23", "M29"), "An author signed two events for one place in its chain."),
    "clock_ahead": Rule("high", ("T7", "M29"), "An author claims a time that has not come yet."),
    "clock_behind": Rule("low", ("T7", "M29"), "An event arrived long after the time that its author claims."),
    "outlier": Rule("medium", ("T7", "M29"), "A message is unlike those that the ledger's own history holds."),
}
"""Every rule, with the sentence that says what it means."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something abnormal at one event. A detector says each rule at most once for one position.

    score: parts in a thousand. suspect: the author it is about. evidence: event ids, the last is the triggering one.
    """

    rule: str
    position: int
    suspect: str
    sentence: str
    evidence: tuple[UUID, ...]
    run: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    detector: str = RULES_DETECTOR
    version: str = RULES_VERSION
    score: int = CERTAIN

    @property
    def alert(self) -> str:
        """The alert's name: the same whenever the same ledger is walked."""
        return f"{self.detector}/{self.rule}/{self.position}"


def found(
    rule: str, verified: Verified, sentence: str, *, suspect: str | None = None,
    earlier: tuple[UUID, ...] = (), figures: Mapping[str, float] | None = None,
) -> Finding:  # fmt: skip
    """Return a rule's finding at this event; `earlier` is further evidence, of which the last is kept."""
    event = verified.event
    evidence = (*[one for one in earlier if one != event.id][-(EVIDENCE_IDS_MAX - 1) :], event.id)
    return Finding(rule, verified.position, suspect or event.author, sentence, evidence, event.run, figures or {})


def said(text: object) -> str:
    """Make any text fit to stand in a sentence: one line, no control or direction character, at most 128 characters."""
    whole = str(text)
    shown = "".join(_visible(character) for character in whole[:SAID_CHARACTERS_MAX])
    return shown if len(whole) <= SAID_CHARACTERS_MAX else shown + "..."


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"):
        return character.encode("unicode_escape").decode()
    return character

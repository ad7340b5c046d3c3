"""Did people agree to the purge in this bundle? Recomputed from its own events, by the fold that ingest and gate use.

A purge travels with all that the fold asks about it: the call and what policy said, the list of what had to be seen, the
request, who looked, who signed, the grant, its consumption and the start, beside them the people's enrolments and passkeys
and the legal holds. A purge that does not count by what is here is not called false: what is missing is named.

What a part of a log cannot show: that nothing spoke against it, such as a denial, a hold or the end of a key that was left
out, and how many other decisions a reviewer made within the hour (rule 4). Whoever reads the whole log recomputes that too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import Refused
from ..events import (
    ApprovalConsumed,
    ApprovalGranted,
    ApprovalListed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    HoldLifted,
    HoldPlaced,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    PolicyDecided,
    RecordPurged,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerLimited,
    ReviewerUnbound,
    ToolRequested,
    ToolStarted,
)
from ..purges import PURGE_TOOL, PurgeRefused, Purges
from ..verification import VerificationFailed
from ..verified import Verified

_OF_APPROVAL = (
    ApprovalListed, ApprovalRequested, ApprovalViewed, ApprovalSigned, ApprovalGranted, ApprovalRevoked, ApprovalConsumed,
)  # fmt: skip
_OF_CALL = (ToolRequested, PolicyDecided, ToolStarted)
_STANDING = (
    ReviewerEnrolled, ReviewerLimited, ReviewerBound, ReviewerUnbound, PasskeyOffered, PasskeyEnrolled, PasskeyRevoked,
    HoldPlaced, HoldLifted,
)  # fmt: skip
"""Who may agree, and what must be kept: whatever the purge, all of it up to then."""


@dataclass
class Chains:
    """Which events belong to the approval of which purge; `take` the events in the order of the log."""

    _places: dict[str, list[int]] = field(default_factory=dict)
    _calls: dict[str, list[int]] = field(default_factory=dict)
    _consumed: dict[str, str] = field(default_factory=dict)
    _standing: list[int] = field(default_factory=list)

    def take(self, event: Event, position: int) -> None:
        """Take the next event."""
        if isinstance(event, _OF_APPROVAL):
            self._places.setdefault(event.approval, []).append(position)
            if isinstance(event, ApprovalConsumed):
                self._consumed.setdefault(event.approval, event.call)
        elif isinstance(event, ToolRequested) and event.tool == PURGE_TOOL:
            self._calls.setdefault(event.call, []).append(position)
        elif isinstance(event, _OF_CALL) and event.call in self._calls:
            self._calls[event.call].append(position)
        elif isinstance(event, _STANDING):
            self._standing.append(position)

    def of(self, purges: Iterable[tuple[int, str]]) -> set[int]:
        """Return the positions of all that decides about these purges, each by its position and its approval."""
        found = set[int]()
        for position, approval in purges:
            call = self._consumed.get(approval, "")
            chain = (*self._places.get(approval, ()), *self._calls.get(call, ()), *self._standing)
            found |= {place for place in chain if place < position}
        return found


@dataclass(frozen=True, slots=True)
class Cleared:
    """A purge in the bundle. approved_by: the reviewers whose votes count. missing: why it cannot be recomputed, or nothing."""

    position: int
    approval: str
    approved_by: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What a reader should know of it."""
        purge = f"The purge at position {self.position}"
        if self.missing:
            return f"Whether {purge[0].lower()}{purge[1:]} was approved cannot be recomputed here: {'; '.join(self.missing)}."
        return f"{purge} was approved by {' and '.join(self.approved_by)} under {self.approval}: recomputed from what they signed."


def verify_cleared(events: Sequence[Verified]) -> list[Cleared]:
    """Return what becomes of each purge among the verified events of a bundle, in their order.

    Raises VerificationFailed (step 5) for a purge that no event left out could make right: it names its targets wrongly, or
    other ones than it was asked for.
    """
    fold, cleared, runs = Purges(), list[Cleared](), dict[int, str | None]()
    for verified in events:
        runs[verified.position] = verified.event.run
        if isinstance(verified.event, RecordPurged):
            cleared.append(_cleared(fold, verified, runs))
        else:
            try:
                fold.apply(verified)
            except Refused as refusal:
                raise VerificationFailed(5, str(refusal), verified.position) from refusal
    return cleared


def stray_link(listed: Collection[int], events: Sequence[Verified]) -> int | None:
    """Return the first of the positions `listed` as approvals that can be about no purge here, or None."""
    purges = [(one.position, one.event) for one in events if isinstance(one.event, RecordPurged)]
    return next((one.position for one in events if one.position in listed and not _may_decide(one, purges)), None)


def _may_decide(one: Verified, purges: Iterable[tuple[int, RecordPurged]]) -> bool:
    """Looser than `Chains`, which knows the whole log: what links a call to its approval may have been cut out."""
    event = one.event
    for position, purge in purges:
        of_approval = isinstance(event, _OF_APPROVAL) and event.approval == purge.approval
        of_call = isinstance(event, _OF_CALL) and event.author == purge.author and getattr(event, "tool", PURGE_TOOL) == PURGE_TOOL
        if one.position < position and (of_approval or of_call or isinstance(event, _STANDING)):
            return True
    return False


def _cleared(fold: Purges, verified: Verified, runs: dict[int, str | None]) -> Cleared:
    event, position = verified.event, verified.position
    assert isinstance(event, RecordPurged)
    known = event.approval in fold.approvals.requests()
    try:
        fold.verify(event, position, [runs.get(place) for place in event.positions])
    except PurgeRefused as refusal:
        if refusal.rule == 1 or (refusal.rule == 2 and known):
            raise VerificationFailed(5, str(refusal), position) from refusal
        return Cleared(position, event.approval, (), tuple(_missing(fold, verified, refusal)))
    votes = fold.approvals.standing(event.approval, verified.recorded_at).counting
    return Cleared(position, event.approval, tuple(vote.reviewer for vote in votes), ())


def _missing(fold: Purges, verified: Verified, refusal: PurgeRefused) -> Iterable[str]:
    """Name what has to be here and is not."""
    approval = getattr(verified.event, "approval", "")
    if refusal.rule == 2:
        yield f"the request {approval} is not here"
        return
    if refusal.rule == 5:
        yield f"that the legal hold was lifted before is not here ({refusal})"
        return
    standing = fold.approvals.standing(approval, verified.recorded_at)
    if refusal.rule == 4:
        yield f"the start of the call {fold.approvals.consumed_by(approval)} is not here"
        return
    short = [rule.sentence for rule in standing.rules if rule.rule in (3, 5) and not rule.holds]
    yield from (f"what is here comes to less: {sentence.rstrip('.')}" for sentence in short)
    if not short:
        yield f"that {approval} was consumed is not here"

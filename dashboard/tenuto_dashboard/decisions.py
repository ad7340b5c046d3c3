"""What a reviewer signs, and when the console refuses to hand it over. No I/O of its own: the door is handed in.

The refusals here spare a reviewer a decision that could not count. They protect nobody: whether it counts is the fold's
answer (`tenuto.approvals`), which gate, replay and every outsider compute from the ledger, console or no console.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from tenuto.documents import Document, Reason
from tenuto.errors import Refused
from tenuto.events.approval import ApprovalOpened, ApprovalSigned, ApprovalViewed
from tenuto.events.base import Event
from tenuto_projections.inbox import Approval, InboxItem
from tenuto_projections.reviewing import Seen

from .marks import STATES

REASON_CHARACTERS_MAX = 4000
Decision = Literal["approve", "deny"]

E = TypeVar("E", bound=Event)


class Door(Protocol):
    """The author's recorder, as far as the console needs it."""

    def record(
        self, kind: type[E], *, document: Document | None = None, run: str | None = None, cause: Sequence[UUID] = (),
        **fields: Any,
    ) -> E:  # fmt: skip
        """Sign an event, keep it until the ledger's receipt, and return it."""
        ...


class NotSigned(Refused):
    """The console does not hand this decision over; nothing was signed. The sentence says what to do."""

    reason = "not_signed"


def note_opened(door: Door, item: InboxItem, reviewer: str) -> Event:
    """Record, in the console's name, that the reviewer opened the request, with the digest on screen."""
    return door.record(
        ApprovalOpened, run=item.run, cause=(UUID(item.event_id),), approval=item.approval, digest=item.digest,
        reviewer=reviewer,
    )  # fmt: skip


def note_viewed(door: Door, item: InboxItem, reviewer: str, piece: str, milliseconds: int) -> Event:
    """Record, in the console's name, that the reviewer had one piece on screen for so long."""
    return door.record(
        ApprovalViewed, run=item.run, cause=(UUID(item.event_id),), approval=item.approval, digest=item.digest, piece=piece,
        milliseconds=milliseconds, reviewer=reviewer,
    )  # fmt: skip


def sign(
    door: Door, approval: Approval, decision: Decision, *, reason: str, shown_digest: str, reviewer: str, now: datetime,
    seen: Seen | None = None,
) -> Event:  # fmt: skip
    """Sign the reviewer's decision over the digest that was on screen, and return the event.

    `approval` is as it stands now, `shown_digest` as it was drawn. An approval names what was `seen`, as the read model has
    it. Raises NotSigned; see `verify_may_sign`.
    """
    text = reason.strip()
    if decision == "approve":
        verify_seen(seen)
    verify_may_sign(approval, decision, reason=text, shown_digest=shown_digest, reviewer=reviewer, now=now)
    item = approval.item
    return door.record(
        ApprovalSigned, document=Reason(text=text) if text else None, run=item.run, cause=(UUID(item.event_id),),
        approval=item.approval, digest=shown_digest, decision=decision,
        **{"coverage": seen.digest} if seen is not None and decision == "approve" else {},
    )  # fmt: skip


def verify_seen(seen: Seen | None) -> None:
    """Raise NotSigned unless everything was on screen for its least time, as far as the ledger knows by now."""
    if seen is None or seen.sentence:
        missing = seen.sentence if seen is not None else "nothing of it was opened yet."
        raise NotSigned(f"This cannot be approved yet: {missing}")


def verify_may_sign(
    approval: Approval, decision: Decision, *, reason: str, shown_digest: str, reviewer: str, now: datetime
) -> None:
    """Raise NotSigned unless the decision is about what was shown, still open, reasoned, and the reviewer's first."""
    item = approval.item
    if item.digest != shown_digest:
        raise NotSigned("The request now stands for another digest than the one you were shown. Reload and read it again.")
    state = item.state_at(now)
    if state != "open":
        raise NotSigned(f"This request is no longer open: {STATES.get(state, (state, ''))[0].lower()}. Nothing was signed.")
    if any(vote.reviewer == reviewer and not vote.withdrawn and vote.counts for vote in approval.votes):
        raise NotSigned(f"{reviewer} has decided on this request already. Nothing was signed.")
    if approval.card is None and decision == "approve":
        raise NotSigned("What this request would do is not readable here, so it cannot be approved. You can deny it.")
    if decision == "deny" and not reason:
        raise NotSigned("A denial needs a reason: the next person must learn what was wrong. Nothing was signed.")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise NotSigned(f"The reason has {len(reason):,} characters; at most {REASON_CHARACTERS_MAX:,} are signed.")

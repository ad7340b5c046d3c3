"""Facts about approvals. Whether one counts is computed from them by `tenuto.approvals.fold`, never stored as truth."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Assertion, Count, Event, Hash, Moment, Name, PieceName

RISKS_MAX = 16
PIECES_LISTED_MAX = 12
"""So many pieces, each with the longest name, fit into one header beside everything else."""
Risk = Literal["security_group", "iam", "public_endpoint", "deletion", "replacement", "production", "model_diverges"]
Quorum = Annotated[int, msgspec.Meta(ge=1, le=9)]
PieceRisk = Literal["grave", "elevated", "plain", "none"]
_Listed = msgspec.Meta(min_length=1, max_length=PIECES_LISTED_MAX)


class ApprovalListed(Event, frozen=True, kw_only=True, tag="approval.listed"):
    """An author lists pieces of what it is about to ask, gravest first; a long list takes several events, in order.

    approval, digest: those of the request that follows and commits to the whole list. pieces: digest of what a reviewer
    sees of each. names: what to call it. risks: its class. milliseconds: how long it has to be on screen at least. All
    four are equally long; a list that is not, or does not hash to what the request says, lets nothing be approved.
    """

    approval: Name
    digest: Hash
    pieces: Annotated[tuple[Hash, ...], _Listed]
    names: Annotated[tuple[PieceName, ...], _Listed]
    risks: Annotated[tuple[PieceRisk, ...], _Listed]
    milliseconds: Annotated[tuple[Count, ...], _Listed]


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="approval.requested"):
    """An author asks people to clear one action; the payload shows what they are asked to clear.

    approval: name of the request. subject: what kind of thing, such as `terraform.plan`. digest: exactly which one.
    tool, resource: the one action the approval is good for. initiator: the person behind the request, who may not
    approve it. quorum: how many distinct reviewers; the fold demands more where policy or the risks do. expires: no
    decision counts after it. call: the tool call it is for, about which policy decided. pieces: digest over the list of
    pieces (`approval.listed`). pieces_count: how many there are. review_milliseconds: least time for all of them.
    Without a list no approval counts.
    """

    approval: Name
    subject: Name
    digest: Hash
    tool: Name
    resource: Name
    initiator: Name
    quorum: Quorum
    expires: Moment
    risks: Annotated[tuple[Risk, ...], msgspec.Meta(max_length=RISKS_MAX)] = ()
    call: Name | None = None
    pieces: Hash | None = None
    pieces_count: Count | None = None
    review_milliseconds: Count | None = None


class ApprovalAssigned(Event, frozen=True, kw_only=True, tag="approval.assigned"):
    """The router gave the request to one reviewer and says why it was this one; the payload says it in a sentence.

    why: next_free: who has fewest open. overflow: somebody on shift had no place left. second_vote: another of the same
    request. escalation: whoever had it did not decide in time; `relieves` names that reviewer. Two routers may say
    different things: what `tenuto.approvals.desk` takes first stands.
    """

    approval: Name
    reviewer: Name
    why: Literal["next_free", "overflow", "escalation", "second_vote"]
    relieves: Name | None = None


class ApprovalOpened(Event, frozen=True, kw_only=True, tag="approval.opened"):
    """A reviewer opened the request. `reviewer`: who, where the console says it and not the reviewer's own key."""

    approval: Name
    digest: Hash
    reviewer: Name | None = None


class ApprovalViewed(Event, frozen=True, kw_only=True, tag="approval.viewed"):
    """A reviewer had one piece of the change on screen; time is measured by the server, in milliseconds.

    reviewer: who. It counts only when a console signs it, and never one that the reviewer answers for: nobody measures
    himself. A piece may be looked at in several turns, which are added.
    """

    approval: Name
    digest: Hash
    piece: Hash
    milliseconds: Count
    reviewer: Name | None = None


class ApprovalSigned(Event, frozen=True, kw_only=True, tag="approval.signed"):
    """A reviewer's own decision over exactly this digest; the payload holds the reason.

    coverage: what was opened and for how long, as a digest over the console's `approval.viewed` events up to that moment
        (`tenuto.approvals.coverage`). An approval without it does not count; a denial needs none.
    reviewer, assertion: whose decision a console carries, and the passkey's signature over it; both or neither.
    """

    approval: Name
    digest: Hash
    decision: Literal["approve", "deny", "withdraw"]
    coverage: Hash | None = None
    reviewer: Name | None = None
    assertion: Assertion | None = None


class ApprovalGranted(Event, frozen=True, kw_only=True, tag="approval.granted"):
    """The author of the gate computed that the request is granted; anybody can recompute it up to this position."""

    approval: Name
    digest: Hash
    votes: Quorum


class ApprovalDenied(Event, frozen=True, kw_only=True, tag="approval.denied"):
    """The author of the gate computed that the request is denied."""

    approval: Name
    digest: Hash


class ApprovalExpired(Event, frozen=True, kw_only=True, tag="approval.expired"):
    """The time of the request ran out without the votes it needs."""

    approval: Name


class ApprovalConsumed(Event, frozen=True, kw_only=True, tag="approval.consumed"):
    """The one execution this approval was good for begins; a second consumption never counts."""

    approval: Name
    digest: Hash
    call: Name


class ApprovalRevoked(Event, frozen=True, kw_only=True, tag="approval.revoked"):
    """A reviewer or the requester takes the request back before it is consumed."""

    approval: Name
    reason: Literal["superseded", "mistake", "emergency"]

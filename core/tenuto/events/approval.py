"""Facts about approvals. Whether one counts is computed from them by `tenuto.approvals.fold`, never stored as truth."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Count, Event, Hash, Moment, Name
from .passkey import Assertion

RISKS_MAX = 16
Risk = Literal["security_group", "iam", "public_endpoint", "deletion", "replacement", "production", "model_diverges"]
Quorum = Annotated[int, msgspec.Meta(ge=1, le=9)]


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="approval.requested"):
    """An author asks people to clear one action; the payload shows what they are asked to clear.

    approval: name of the request. subject: what kind of thing, such as `terraform.plan`. digest: exactly which one.
    tool, resource: the one action the approval is good for. initiator: the person behind the request, who may not
    approve it. quorum: how many distinct reviewers. expires: no decision counts after it.
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


class ApprovalAssigned(Event, frozen=True, kw_only=True, tag="approval.assigned"):
    """The router gave the request to one reviewer and says why it was this one."""

    approval: Name
    reviewer: Name
    why: Literal["next_free", "overflow", "escalation", "second_vote"]


class ApprovalOpened(Event, frozen=True, kw_only=True, tag="approval.opened"):
    """A reviewer opened the request."""

    approval: Name
    digest: Hash


class ApprovalViewed(Event, frozen=True, kw_only=True, tag="approval.viewed"):
    """A reviewer had one piece of the change on screen; time is measured by the server, in milliseconds."""

    approval: Name
    digest: Hash
    piece: Hash
    milliseconds: Count


class ApprovalSigned(Event, frozen=True, kw_only=True, tag="approval.signed"):
    """A reviewer's own decision over exactly this digest; the payload holds the reason.

    coverage: digest of what was opened and for how long, where the console measured it.
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

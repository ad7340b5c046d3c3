"""What decides about approvals, for whoever folds them beside something else and has many events to skip."""

from __future__ import annotations

from ..events import (
    ApprovalConsumed,
    ApprovalListed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    PolicyDecided,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerLimited,
    ReviewerUnbound,
    SpotcheckSigned,
    ToolFailed,
    ToolRequested,
    ToolStarted,
)

APPROVAL_KINDS: frozenset[type[Event]] = frozenset({
    KeyRegistered, KeyRotated, KeyRevoked, ReviewerEnrolled, ReviewerLimited, ReviewerBound, ReviewerUnbound,
    PasskeyOffered, PasskeyEnrolled, PasskeyRevoked, ToolRequested, PolicyDecided, ToolStarted, ToolFailed, ApprovalListed,
    ApprovalRequested, ApprovalViewed, ApprovalSigned, ApprovalRevoked, ApprovalConsumed, SpotcheckSigned,
})  # fmt: skip
"""The kinds that decide about approvals; all others change nothing here."""

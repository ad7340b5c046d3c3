"""The closed vocabulary: one frozen class per kind, one file per subject.

`EVENT_CLASSES` is the whole of it; wire format, JSON schema, documentation, golden files and SIEM mappings derive from it
or are tested against it. Adding a kind: write the class in its subject's file, list it here, add its sentence to the
docs, map it in the SIEM export.
"""

from __future__ import annotations

from .alert import AlertAcknowledged, AlertClosed, AlertRaised
from .approval import (
    ApprovalAssigned,
    ApprovalConsumed,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalListed,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
)
from .base import FIRST_PREV, HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, Event
from .decision import DecisionMade
from .deployment import (
    DeploymentHealthy,
    DeploymentQuarantined,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUnhealthy,
)
from .drift import DriftDetected, DriftReverted
from .exercise import ExerciseEnded, ExerciseRequested, ExerciseStarted
from .hold import HoldLifted, HoldPlaced
from .key import KeyEpochDestroyed, KeyEpochOpened, KeyRegistered, KeyRevoked, KeyRotated, KeyStorageRenewed
from .message import MessageDelivered, MessageRefused, MessageSent
from .passkey import PasskeyEnrolled, PasskeyOffered, PasskeyRevoked
from .policy import PolicyChanged, PolicyDecided
from .record import (
    RecordEquivocation,
    RecordGap,
    RecordLost,
    RecordPurged,
    RecordRefused,
    RecordSpooled,
    RecordUnaccounted,
)
from .retention import RetentionApplied
from .reviewer import ReviewerBound, ReviewerEnrolled, ReviewerLimited, ReviewerUnbound
from .run import RunFinished, RunStarted
from .secret import SecretLeaked, SecretPurged, SecretRotated
from .session import SessionClosed, SessionEpochFollowed, SessionOpened
from .spotcheck import SpotcheckDrawn, SpotcheckSigned
from .state import StateAccessed, StateAttested, StateRefused, StateWritten
from .tool import ToolFailed, ToolFinished, ToolReconciled, ToolRequested, ToolStarted, ToolUnknown

EVENT_CLASSES: tuple[type[Event], ...] = (
    SessionOpened, SessionEpochFollowed, SessionClosed,
    KeyRegistered, KeyRotated, KeyRevoked, KeyEpochOpened, KeyEpochDestroyed, KeyStorageRenewed,
    RunStarted, RunFinished,
    DecisionMade,
    MessageSent, MessageDelivered, MessageRefused,
    ToolRequested, ToolStarted, ToolFinished, ToolFailed, ToolUnknown, ToolReconciled,
    PolicyDecided, PolicyChanged,
    ApprovalListed, ApprovalRequested, ApprovalAssigned, ApprovalOpened, ApprovalViewed, ApprovalSigned, ApprovalGranted,
    ApprovalDenied, ApprovalExpired, ApprovalConsumed, ApprovalRevoked,
    ReviewerEnrolled, ReviewerLimited, ReviewerBound, ReviewerUnbound,
    SpotcheckDrawn, SpotcheckSigned,
    PasskeyOffered, PasskeyEnrolled, PasskeyRevoked,
    AlertRaised, AlertAcknowledged, AlertClosed,
    SecretLeaked, SecretRotated, SecretPurged,
    DeploymentStarted, DeploymentHealthy, DeploymentUnhealthy, DeploymentRolledBack, DeploymentQuarantined,
    DriftDetected, DriftReverted,
    StateAccessed, StateWritten, StateRefused, StateAttested,
    RecordRefused, RecordGap, RecordEquivocation, RecordPurged, RecordLost, RecordSpooled,
    RecordUnaccounted,
    HoldPlaced, HoldLifted,
    RetentionApplied,
    ExerciseRequested, ExerciseStarted, ExerciseEnded,
)  # fmt: skip

IN_SHEAF: frozenset[type[Event]] = frozenset(
    {ApprovalViewed, DecisionMade, DeploymentHealthy, MessageSent, ToolFailed, ToolFinished}
)
"""Kinds that an author may sign together with others (`tenuto.sheaf`); each of them, missing, makes everybody more careful.

All others are signed alone: what permits, forbids, begins or warns stands under a signature over that one statement.
"""

KINDS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in EVENT_CLASSES}

__all__ = [
    "EVENT_CLASSES",
    "FIRST_PREV",
    "HEADER_BYTES_MAX",
    "IN_SHEAF",
    "KINDS",
    "PAYLOAD_BYTES_MAX",
    "AlertAcknowledged",
    "AlertClosed",
    "AlertRaised",
    "ApprovalAssigned",
    "ApprovalConsumed",
    "ApprovalDenied",
    "ApprovalExpired",
    "ApprovalGranted",
    "ApprovalListed",
    "ApprovalOpened",
    "ApprovalRequested",
    "ApprovalRevoked",
    "ApprovalSigned",
    "ApprovalViewed",
    "DecisionMade",
    "DeploymentHealthy",
    "DeploymentQuarantined",
    "DeploymentRolledBack",
    "DeploymentStarted",
    "DeploymentUnhealthy",
    "DriftDetected",
    "DriftReverted",
    "Event",
    "ExerciseEnded",
    "ExerciseRequested",
    "ExerciseStarted",
    "HoldLifted",
    "HoldPlaced",
    "KeyEpochDestroyed",
    "KeyEpochOpened",
    "KeyRegistered",
    "KeyRevoked",
    "KeyRotated",
    "KeyStorageRenewed",
    "MessageDelivered",
    "MessageRefused",
    "MessageSent",
    "PasskeyEnrolled",
    "PasskeyOffered",
    "PasskeyRevoked",
    "PolicyChanged",
    "PolicyDecided",
    "RecordEquivocation",
    "RecordGap",
    "RecordLost",
    "RecordPurged",
    "RecordRefused",
    "RecordSpooled",
    "RecordUnaccounted",
    "RetentionApplied",
    "ReviewerBound",
    "ReviewerEnrolled",
    "ReviewerLimited",
    "ReviewerUnbound",
    "RunFinished",
    "RunStarted",
    "SecretLeaked",
    "SecretPurged",
    "SecretRotated",
    "SessionClosed",
    "SessionEpochFollowed",
    "SessionOpened",
    "SpotcheckDrawn",
    "SpotcheckSigned",
    "StateAccessed",
    "StateAttested",
    "StateRefused",
    "StateWritten",
    "ToolFailed",
    "ToolFinished",
    "ToolReconciled",
    "ToolRequested",
    "ToolStarted",
    "ToolUnknown",
]

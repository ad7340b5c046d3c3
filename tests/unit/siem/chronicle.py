"""A ledger on which every kind of event happened once, as it might in one bad week."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from tenuto.events import (
    AlertAcknowledged,
    AlertClosed,
    AlertRaised,
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
    DecisionMade,
    DeploymentHealthy,
    DeploymentQuarantined,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUnhealthy,
    DriftDetected,
    DriftReverted,
    Event,
    ExerciseEnded,
    ExerciseRequested,
    ExerciseStarted,
    HoldLifted,
    HoldPlaced,
    KeyEpochDestroyed,
    KeyEpochOpened,
    KeyRevoked,
    KeyRotated,
    KeyStorageRenewed,
    MessageDelivered,
    MessageRefused,
    MessageSent,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    PolicyChanged,
    PolicyDecided,
    RecordEquivocation,
    RecordGap,
    RecordLost,
    RecordPurged,
    RecordRefused,
    RecordSpooled,
    RecordUnaccounted,
    RetentionApplied,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerLimited,
    ReviewerUnbound,
    RunFinished,
    RunStarted,
    SecretLeaked,
    SecretPurged,
    SecretRotated,
    SessionClosed,
    SessionEpochFollowed,
    SpotcheckDrawn,
    SpotcheckSigned,
    StateAccessed,
    StateAttested,
    StateRefused,
    StateWritten,
    ToolFailed,
    ToolFinished,
    ToolReconciled,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from tenuto.signing import SeedSigner

from tests.unit.projections.written import DIGEST, WrittenLedger, uuid

OTHER_DIGEST = "e" * 64
AWAY = datetime(2026, 3, 1, 11, tzinfo=UTC)
HOSTILE = 'boo\r\n<13>1 - - - - - - forged\u2028\u202e\x1b[2J\x00\x7f"]} \\ é'
RUN = "pr-7"
APPLY = "terraform.apply"


def chronicle() -> WrittenLedger:
    """The whole of it; registrations come first, and no payload is left unpurged but the last."""
    ledger = WrittenLedger()
    for author, role in ROLES.items():
        ledger.register(author, role, "ann", insecure_demo=author == "bob")
    for author, kind, fields in HAPPENED:
        payload = HOSTILE.encode() if kind in WITH_PAYLOAD else None
        if kind is RecordPurged:
            ledger.purge(next(entry.position for entry in ledger.entries if entry.payload is not None))
            continue
        own = dict(fields)
        if kind is ApprovalRequested:
            own["expires"] = ledger.now + timedelta(minutes=30)
        ledger.write(author, kind, payload, **own)
    return ledger


def grown(size: int, *, payloads: bool = False) -> WrittenLedger:
    """A ledger of `size` events; without payloads it is the same to the byte in every process."""
    ledger = WrittenLedger()
    ledger.register("infra", "agent", "ann")
    grow(ledger, size - len(ledger.entries), payloads=payloads)
    return ledger


def grow(ledger: WrittenLedger, count: int, *, payloads: bool = False) -> None:
    """Append `count` events; with `payloads` every tenth has a hostile one."""
    for number in range(count):
        payload = HOSTILE.encode() if payloads and number % 10 == 0 else None
        ledger.write("infra", ToolFinished, payload, call="c1", tool="terraform.plan", milliseconds=number)


def _key(name: str) -> SeedSigner:
    return SeedSigner("spare", hashlib.sha256(name.encode()).digest())


ROLES = {
    "pipeline": "pipeline", "infra": "agent", "spare": "router", "bob": "reviewer", "console": "console",
    "ingest": "ingest", "watch": "detector", "red-team": "redteam", "state": "statekeeper",
}  # fmt: skip
WITH_PAYLOAD = (RunStarted, DecisionMade, MessageSent, ToolRequested, ApprovalSigned)
_SUBJECT = {"run": RUN, "refs": ("T4", "M12")}

HAPPENED: tuple[tuple[str, type[Event], dict[str, Any]], ...] = (
    ("pipeline", RunStarted, {"run": RUN, "workflow": "change", "base": "a" * 40, "head": "b" * 40}),
    ("pipeline", MessageSent, {"to": "infra", "topic": "review", "run": RUN}),
    ("infra", MessageDelivered, {"position": 16, "cause": (uuid("event", 16),), "run": RUN}),
    ("infra", MessageRefused, {"position": 16, "reason": "signature", "refs": ("T2",)}),
    ("infra", DecisionMade, {
        "subject": "commit", "subject_digest": DIGEST, "verdict": "approve", "model": "openai:gpt-5", "confidence": 910,
        "findings": 2, "diverges": True, "evidence": (OTHER_DIGEST,), **_SUBJECT,
    }),
    ("infra", ToolRequested, {"call": "c1", "tool": APPLY, "resource": "stack", "digest": DIGEST, "run": RUN}),
    ("infra", PolicyDecided, {
        "call": "c1", "effect": "allow", "rules": ("tools.apply",), "bundle": DIGEST, "engine": "cedar",
        "obligation": "approval", **_SUBJECT,
    }),
    ("infra", ApprovalListed, {
        "approval": "a1", "digest": DIGEST, "pieces": (OTHER_DIGEST,), "names": ("aws_iam_role.x",), "risks": ("grave",),
        "milliseconds": (4000,), **_SUBJECT,
    }),
    ("infra", ApprovalRequested, {
        "approval": "a1", "subject": "terraform.plan", "digest": DIGEST, "tool": "terraform.apply", "resource": "stack",
        "initiator": "ann", "quorum": 1, "risks": ("iam", "deletion"), **_SUBJECT,
    }),
    ("spare", ApprovalAssigned, {"approval": "a1", "reviewer": "bob", "why": "next_free"}),
    ("bob", ApprovalOpened, {"approval": "a1", "digest": DIGEST}),
    ("bob", ApprovalViewed, {"approval": "a1", "digest": DIGEST, "piece": OTHER_DIGEST, "milliseconds": 45_000}),
    ("bob", ApprovalSigned, {"approval": "a1", "digest": DIGEST, "decision": "approve", "coverage": OTHER_DIGEST}),
    ("infra", ApprovalGranted, {"approval": "a1", "digest": DIGEST, "votes": 1, "run": RUN}),
    ("infra", ApprovalConsumed, {"approval": "a1", "digest": DIGEST, "call": "c1", "run": RUN}),
    ("infra", ToolStarted, {"call": "c1", "tool": APPLY, "resource": "stack", "digest": DIGEST, "run": RUN}),
    ("infra", ToolFinished, {"call": "c1", "tool": "terraform.apply", "milliseconds": 1500, "run": RUN}),
    ("infra", ToolFailed, {"call": "c2", "tool": "terraform.destroy", "why": "not_approved", "run": RUN}),
    ("infra", ToolUnknown, {"call": "c3", "tool": "registry.push", "run": RUN}),
    ("bob", ToolReconciled, {"agent": "infra", "call": "c3", "tool": "registry.push", "outcome": "not_done", "run": RUN}),
    ("infra", ApprovalDenied, {"approval": "a2", "digest": DIGEST}),
    ("infra", ApprovalExpired, {"approval": "a3"}),
    ("bob", ApprovalRevoked, {"approval": "a4", "reason": "mistake"}),
    ("spare", SpotcheckDrawn, {
        "approval": "a1", "position": 30, "size": 40, "ticket": OTHER_DIGEST, "drawn": False, "refs": ("M14",),
    }),
    ("bob", SpotcheckSigned, {"approval": "a1", "digest": DIGEST, "finding": "disagree", "refs": ("M14",)}),
    ("console", PasskeyOffered, {
        "reviewer": "bob", "credential": DIGEST, "credential_id": "AQID", "public_key": "pQECAyYg", "relying_party": "console.example",
        "web_origin": "https://console.example", "sign_count": 0,
    }),
    ("root", PasskeyEnrolled, {"reviewer": "bob", "owner": "bob", "credential": DIGEST}),
    ("root", PasskeyRevoked, {"reviewer": "bob", "credential": DIGEST, "reason": "lost"}),
    ("infra", DeploymentStarted, {"deployment": "d1", "environment": "production", "artifact": DIGEST, "run": RUN}),
    ("infra", DeploymentHealthy, {"deployment": "d1", "milliseconds": 900, "run": RUN}),
    ("infra", DeploymentUnhealthy, {"deployment": "d1", "checks": 3, "run": RUN}),
    ("infra", DeploymentRolledBack, {"deployment": "d1", "artifact": OTHER_DIGEST, "why": "unhealthy", "run": RUN}),
    ("infra", DeploymentQuarantined, {"deployment": "d1", "snapshot": DIGEST, "run": RUN}),
    ("infra", DriftDetected, {"stack": "shop", "baseline": DIGEST, "resources": 2, "refs": ("M7", "M20")}),
    ("infra", DriftReverted, {"stack": "shop", "baseline": DIGEST, "digest": OTHER_DIGEST, "refs": ("M7", "M20")}),
    ("state", StateAccessed, {"state": "shop", "operation": "read", "principal": "infra", "serial": 3, "digest": DIGEST}),
    ("state", StateWritten, {
        "state": "shop", "principal": "infra", "version": 4, "serial": 4, "digest": OTHER_DIGEST, "previous": DIGEST, "lock": "lock-1",
        "refs": ("M30",),
    }),
    ("state", StateRefused, {"state": "shop", "operation": "break", "reason": "second_factor", "principal": "bob", "refs": ("T8",)}),
    ("infra", StateAttested, {"state": "shop", "serial": 4, "digest": OTHER_DIGEST, "plan": DIGEST, "revision": "b" * 40}),
    ("root", ReviewerEnrolled, {"reviewer": "bob", "roles": ("sre", "security"), "shift_start": 480, "shift_end": 960}),
    ("root", ReviewerLimited, {"decisions_per_hour": 8}),
    ("root", ReviewerBound, {"reviewer": "bob", "identity": DIGEST}),
    ("root", ReviewerUnbound, {"reviewer": "bob", "identity": DIGEST, "reason": "owner_left"}),
    ("infra", SecretLeaked, {"secret_type": "aws-key", "fingerprint": DIGEST, "place": "message", "refs": ("T5",)}),
    ("infra", SecretRotated, {"secret_type": "aws-key", "fingerprint": DIGEST}),
    ("infra", SecretPurged, {"fingerprint": DIGEST, "target": uuid("event", 17)}),
    ("watch", AlertRaised, {
        "alert": "alert-1", "detector": "rules", "version": "1", "rule": "new_source", "severity": "high",
        "score": 1000, "suspect": "infra", "evidence": (uuid("event", 16), uuid("event", 17)), "refs": ("T4",),
    }),
    ("bob", AlertAcknowledged, {"alert": "alert-1"}),
    ("bob", AlertClosed, {"alert": "alert-1", "finding": "true_positive"}),
    ("ingest", RecordRefused, {
        "record_sha256": DIGEST, "reason": "signature", "topic": "tenuto.events", "partition": 0, "offset": 7,
        "claimed_author": "infra", "claimed_session": uuid("claimed"),
    }),
    ("ingest", RecordGap, {"gap_session": uuid("gone"), "first_seq": 3, "last_seq": 4}),
    ("ingest", RecordEquivocation, {
        "claimed_author": "infra", "gap_session": uuid("gone"), "at_seq": 3, "recorded_header": DIGEST,
        "other_header": OTHER_DIGEST,
    }),
    ("infra", RecordLost, {"lost_session": uuid("gone"), "first_seq": 5, "last_seq": 6}),
    ("root", PolicyChanged, {"old_bundle": None, "bundle": DIGEST}),
    ("keeper", RecordPurged, {}),
    ("root", KeyRotated, {
        "subject": "spare", "old_key_id": _key("spare").key_id, "subject_key_id": _key("spare 2").key_id,
        "public_key": _key("spare 2").public_key.hex(),
    }),
    ("root", KeyRevoked, {"subject": "spare", "subject_key_id": _key("spare 2").key_id, "reason": "compromised"}),
    ("root", KeyEpochOpened, {"epoch": 2, "public_key": DIGEST}),
    ("root", KeyEpochDestroyed, {"epoch": 1}),
    ("root", HoldPlaced, {"hold": "case-12", "run": RUN, "first": 3, "last": 9}),
    ("root", HoldLifted, {"hold": "case-12"}),
    ("root", RetentionApplied, {"first": 0, "last": 255, "minimum": 256, "archive": OTHER_DIGEST}),
    ("bob", ExerciseRequested, {"exercise": "exercise-1", "scenario": "altered-in-transit"}),
    ("red-team", ExerciseStarted, {"exercise": "exercise-1", "scenario": "altered-in-transit", "refs": ("T7", "M27")}),
    ("red-team", ExerciseEnded, {
        "exercise": "exercise-1", "scenario": "altered-in-transit", "verdict": "broken", "held": (), "evidence": (uuid("event", 17),),
        "milliseconds": 900, "refs": ("T7", "M27"),
    }),
    ("pipeline", RunFinished, {"run": RUN, "outcome": "refused"}),
    ("pipeline", SessionClosed, {"outcome": "completed"}),
    ("infra", RecordUnaccounted, {"lost_session": uuid("gone"), "last_seq": 4}),
    ("infra", RecordSpooled, {
        "events": 12, "bytes_max": 9000, "since": AWAY, "until": AWAY + timedelta(minutes=3), "why": "bus_away", "periods": 2,
    }),
    ("infra", SessionEpochFollowed, {"epoch": 2}),
    ("root", KeyStorageRenewed, {"renewal": 1, "kept": 4_000, "gone": 4_096}),
)  # fmt: skip

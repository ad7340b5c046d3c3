"""Histories of one ledger as the fold sees them: verified events of named people, one second apart unless told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tenuto.approvals import Approvals
from tenuto.events import ApprovalConsumed, ApprovalRequested, ApprovalRevoked, ApprovalSigned, Event
from tenuto.keyring import Key
from tenuto.verification import Verified

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
DIGEST, OTHER_DIGEST = "d" * 64, "e" * 64
AGENT, AGENT_OWNER, INITIATOR = "infra", "ada", "mara"


class History:
    """Appends events and folds them at once."""

    def __init__(self) -> None:
        self.fold = Approvals()
        self.now = START
        self.positions = 0

    def request(self, approval: str = "a1", *, quorum: int = 1, minutes: float = 60, **changes: Any) -> ApprovalRequested:
        fields: dict[str, Any] = {
            "approval": approval, "subject": "terraform.plan", "digest": DIGEST, "tool": "terraform.apply",
            "resource": "stack:shop", "initiator": INITIATOR, "quorum": quorum,
            "expires": self.now + timedelta(minutes=minutes),
        } | changes  # fmt: skip
        return self.add(ApprovalRequested, AGENT, role="agent", owner=AGENT_OWNER, **fields)

    def sign(
        self, reviewer: str = "lena", decision: str = "approve", approval: str = "a1", *, owner: str = "",
        role: str = "reviewer", digest: str = DIGEST,
    ) -> None:
        self.add(ApprovalSigned, reviewer, role=role, owner=owner, approval=approval, digest=digest, decision=decision)

    def consume(self, call: str = "c1", approval: str = "a1", *, author: str = AGENT, digest: str = DIGEST) -> None:
        self.add(ApprovalConsumed, author, role="agent", owner=AGENT_OWNER, approval=approval, digest=digest, call=call)

    def revoke(self, author: str = "otto", approval: str = "a1", role: str = "reviewer") -> None:
        self.add(ApprovalRevoked, author, role=role, approval=approval, reason="mistake")

    def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def add(self, kind: type[Event], author: str, *, role: str, owner: str = "", **fields: Any) -> Any:
        event = kind(
            v=1, log_origin="test/log", author=author, key_id="k", session=UUID(int=1), seq=self.positions,
            prev="0" * 64, at=self.now, id=UUID(int=self.positions), **fields,
        )  # fmt: skip
        key = Key(author, "k", b"", role, owner or author, False, 0)
        self.fold.apply(Verified(self.positions, self.now, event, b"", b"", "", b"", key))
        self.positions += 1
        return event

    def state(self, approval: str = "a1") -> str:
        return self.fold.standing(approval, self.now).state

    def broken_rules(self, approval: str = "a1") -> list[int]:
        """The rule that each vote breaks, 0 where it counts."""
        return [vote.rule for vote in self.fold.standing(approval, self.now).votes]

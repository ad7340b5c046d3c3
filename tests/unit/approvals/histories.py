"""Histories of one ledger as the fold sees them: verified events of named people, one second apart unless told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tenuto.approvals import Approvals
from tenuto.approvals.pieces import list_digest
from tenuto.events import (
    ApprovalAssigned,
    ApprovalConsumed,
    ApprovalListed,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    KeyRegistered,
    PolicyDecided,
    ToolRequested,
)
from tenuto.keyring import Key
from tenuto.verification import Verified

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
DIGEST, OTHER_DIGEST = "d" * 64, "e" * 64
AGENT, AGENT_OWNER, INITIATOR = "infra", "ada", "mara"
CONSOLE = "console"
ROLE_PIECE = ("1" * 64, "aws_iam_role.x", "grave", 4000)
PIECES = (ROLE_PIECE, ("2" * 64, "src/shop.py", "plain", 900), ("3" * 64, "summary", "plain", 300), ("4" * 64, "plan", "none", 0))
"""The pieces of every request here that names no others: digest, name, risk class, least milliseconds."""


class History:
    """Appends events, keeps them and folds them at once."""

    def __init__(self, *also: Any) -> None:
        """`also`: further folds that take every event."""
        self.fold = Approvals()
        self.also = also
        self.events: list[Verified] = []
        self.now = START
        self.calls: dict[str, str] = {}

    @property
    def positions(self) -> int:
        return len(self.events)

    def request(
        self, approval: str = "a1", *, quorum: int = 1, minutes: float = 60, obligation: str = "approval",
        effect: str = "allow", pieces: Any = PIECES, decided: bool = True, **changes: Any,
    ) -> ApprovalRequested:  # fmt: skip
        """Ask policy, list the pieces, ask people. `changes` are of the request alone; `commits_to` is its digest of the list."""
        listed = changes.pop("commits_to", list_digest(pieces))
        call = self.calls[approval] = f"call-of-{approval}"
        target = {"tool": "terraform.apply", "resource": "stack:shop", "digest": changes.get("digest", DIGEST)}
        self.agent(ToolRequested, call=call, **target | {k: v for k, v in changes.items() if k in ("tool", "resource")})
        cause = ()
        if decided:
            decision = self.agent(
                PolicyDecided, call=call, effect=effect, rules=("rule",), bundle="b" * 64, engine="e", obligation=obligation
            )
            cause = (decision.id,)
        self.list(approval, pieces, digest=target["digest"])
        fields: dict[str, Any] = {
            "approval": approval, "subject": "terraform.plan", "initiator": INITIATOR, "quorum": quorum, "cause": cause,
            "expires": self.now + timedelta(minutes=minutes), "call": call, "pieces": listed,
            "pieces_count": len(pieces), "review_milliseconds": sum(piece[3] for piece in pieces),
        } | target | changes  # fmt: skip
        return self.agent(ApprovalRequested, **fields)

    def list(self, approval: str, pieces: Any, *, digest: str = DIGEST) -> None:
        for start in range(0, len(pieces), 2):
            digests, names, risks, milliseconds = zip(*pieces[start : start + 2], strict=True)
            self.agent(
                ApprovalListed, approval=approval, digest=digest, pieces=digests, names=names, risks=risks,
                milliseconds=milliseconds,
            )  # fmt: skip

    def agent(self, kind: type[Event], **fields: Any) -> Any:
        return self.add(kind, AGENT, as_role="agent", as_owner=AGENT_OWNER, **fields)

    def view(
        self, reviewer: str = "lena", approval: str = "a1", *, pieces: Any = PIECES, digest: str = DIGEST,
        console: str = CONSOLE, role: str = "console", owner: str = "operations", times: float = 1.0,
    ) -> None:
        """The console measures each piece, `times` its least time."""
        for piece, _, _, least in pieces:
            self.add(
                ApprovalViewed, console, as_role=role, as_owner=owner, approval=approval, digest=digest, piece=piece,
                milliseconds=int(least * times), reviewer=reviewer,
            )  # fmt: skip

    def sign(
        self, reviewer: str = "lena", decision: str = "approve", approval: str = "a1", *, owner: str = "",
        role: str = "reviewer", digest: str = DIGEST, looks: bool = True, coverage: str | None = None,
    ) -> None:
        """Vote; who approves has looked at everything first, unless `looks` says no."""
        if decision == "approve" and looks and approval in self.fold.requests():
            self.view(reviewer, approval)
        if decision == "approve" and coverage is None and approval in self.fold.requests():
            coverage = self.fold.coverage(approval, reviewer).digest
        self.add(
            ApprovalSigned, reviewer, as_role=role, as_owner=owner, approval=approval, digest=digest, decision=decision,
            coverage=coverage,
        )  # fmt: skip

    def consume(self, call: str = "", approval: str = "a1", *, author: str = AGENT, digest: str = DIGEST) -> None:
        call = call or self.calls.get(approval, "c1")
        self.add(ApprovalConsumed, author, as_role="agent", as_owner=AGENT_OWNER, approval=approval, digest=digest, call=call)

    def revoke(self, author: str = "otto", approval: str = "a1", role: str = "reviewer") -> None:
        self.add(ApprovalRevoked, author, as_role=role, approval=approval, reason="mistake")

    def assign(self, reviewer: str, approval: str = "a1", why: str = "next_free", router: str = "router", **more: Any) -> None:
        self.add(ApprovalAssigned, router, as_role="router", approval=approval, reviewer=reviewer, why=why, **more)

    def root(self, kind: type[Event], **fields: Any) -> Any:
        return self.add(kind, "root", as_role="root", **fields)

    def register(self, *reviewers: str, role: str = "reviewer", owner: str = "") -> None:
        for name in reviewers:
            self.root(
                KeyRegistered, subject=name, subject_key_id=f"key-of-{name}", public_key="0" * 64, role=role,
                owner=owner or name,
            )  # fmt: skip

    def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def add(self, kind: type[Event], author: str, *, as_role: str, as_owner: str = "", **fields: Any) -> Any:
        event = kind(
            v=1, log_origin="test/log", author=author, key_id="k", session=UUID(int=1), seq=self.positions,
            prev="0" * 64, at=self.now, id=UUID(int=self.positions), **fields,
        )  # fmt: skip
        key = Key(author, "k", b"", as_role, as_owner or author, False, 0)
        verified = Verified(self.positions, self.now, event, b"", b"", "", b"", key)
        self.events.append(verified)
        for fold in (self.fold, *self.also):
            fold.apply(verified)
        return event

    def state(self, approval: str = "a1") -> str:
        return self.fold.standing(approval, self.now).state

    def broken_rules(self, approval: str = "a1") -> list[int]:
        """The rule that each vote breaks, 0 where it counts."""
        return [vote.rule for vote in self.fold.standing(approval, self.now).votes]

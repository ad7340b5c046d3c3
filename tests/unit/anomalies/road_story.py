"""A change on its ordinary way to production, told on a ledger in memory, and the authors it needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tenuto.documents import Result
from tenuto.events import (
    ApprovalConsumed,
    ApprovalGranted,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalSigned,
    DecisionMade,
    DeploymentHealthy,
    DeploymentStarted,
    Event,
    MessageDelivered,
    MessageSent,
    PolicyDecided,
    RecordRefused,
    RunFinished,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto.ledger import Recorded
from tenuto_projections.anomalies.finding import Finding
from tenuto_projections.anomalies.rules import Rules

from tests.unit.projections.written import DIGEST, WrittenLedger, start_run

WATCHER = "anomaly-watch"
ROLES = {
    "pipeline": "pipeline", "code-review": "agent", "infrastructure": "agent", "deployment": "agent",
    "demo-reviewer": "reviewer", "ingest": "ingest", WATCHER: "detector", "mallory": "agent",
}  # fmt: skip


def new_ledger() -> WrittenLedger:
    """A ledger that knows everybody of the road, and mallory, an agent with a valid key and no part in it."""
    ledger = WrittenLedger()
    for author, role in ROLES.items():
        ledger.register(author, role)
    return ledger


def send(
    ledger: WrittenLedger, author: str, to: str | None, topic: str, run: str | None = "r1", size: int = 900
) -> Event:
    fields: dict[str, Any] = {} if to is None else {"to": to}
    return ledger.write(author, MessageSent, b"x" * size, topic=topic, run=run, **fields)


def call(ledger: WrittenLedger, author: str, tool: str, name: str, run: str = "r1") -> None:
    ledger.write(author, ToolRequested, call=name, tool=tool, resource="stack", digest=DIGEST, run=run)
    ledger.write(
        author, PolicyDecided, call=name, effect="allow", rules=("tools",), bundle=DIGEST, engine="cedar", run=run
    )
    ledger.write(author, ToolStarted, call=name, tool=tool, resource="stack", digest=DIGEST, run=run)
    ledger.write(author, ToolFinished, Result(text="done"), call=name, tool=tool, milliseconds=5, run=run)


def review(ledger: WrittenLedger, run: str = "r1", verdict: str = "approve", **fields: Any) -> Event:
    return ledger.write(
        "code-review", DecisionMade, run=run, subject="commit", subject_digest=DIGEST, verdict=verdict,
        model="scripted", **fields,
    )  # fmt: skip


def ask(ledger: WrittenLedger, author: str, name: str, tool: str, run: str | None = "r1") -> Event:
    return ledger.write(
        author, ApprovalRequested, run=run, approval=name, subject="terraform.plan", digest=DIGEST, tool=tool,
        resource="stack", initiator="ann", quorum=1, expires=ledger.now + timedelta(minutes=30),
    )  # fmt: skip


def approve(ledger: WrittenLedger, name: str, *, opened: bool = True) -> Event:
    if opened:
        ledger.write("demo-reviewer", ApprovalOpened, approval=name, digest=DIGEST)
    return ledger.write("demo-reviewer", ApprovalSigned, approval=name, digest=DIGEST, decision="approve")


def approved_call(ledger: WrittenLedger, author: str, tool: str, run: str) -> None:
    name = f"{run}-{tool}"
    ask(ledger, author, name, tool, run)
    approve(ledger, name)
    ledger.write(author, ApprovalGranted, run=run, approval=name, digest=DIGEST, votes=1)
    ledger.write(author, ApprovalConsumed, run=run, approval=name, digest=DIGEST, call=f"call-{name}")
    call(ledger, author, tool, f"call-{name}", run)


def whole_run(ledger: WrittenLedger, run: str = "r1") -> None:
    """From the pull request to a healthy deployment, everything in order."""
    start_run(ledger, run)
    send(ledger, "pipeline", "code-review", "review.requested", run)
    sent = ledger.events[-1]
    ledger.write("code-review", MessageDelivered, run=run, position=len(ledger.events) - 1, cause=(sent.id,))
    call(ledger, "code-review", "git.diff", f"{run}-diff", run)
    review(ledger, run)
    send(ledger, "code-review", "infrastructure", "review.verdict", run)
    call(ledger, "infrastructure", "terraform.plan", f"{run}-plan", run)
    approved_call(ledger, "infrastructure", "terraform.apply", run)
    send(ledger, "infrastructure", "deployment", "infrastructure.applied", run)
    approved_call(ledger, "deployment", "deploy.production", run)
    ledger.write("deployment", DeploymentStarted, run=run, deployment="shop", environment="production", artifact=DIGEST)
    ledger.write("deployment", DeploymentHealthy, run=run, deployment="shop", milliseconds=40)
    ledger.write("deployment", RunFinished, run=run, outcome="succeeded")


def refuse(ledger: WrittenLedger, author: str | None, reason: str = "signature") -> Event:
    return ledger.write(
        "ingest", RecordRefused, record_sha256=DIGEST, reason=reason, topic="tenuto.events", partition=0, offset=7,
        **({} if author is None else {"claimed_author": author}),
    )  # fmt: skip


def recorded_after(ledger: WrittenLedger, span: timedelta) -> None:
    """Let the last event reach the ledger `span` after the time that its author claims."""
    last = ledger.entries[-1]
    ledger.now += span
    ledger.entries[-1] = Recorded(last.position, last.recorded_at + span, last.state, last.payload)


def claim_ahead(ledger: WrittenLedger, span: timedelta) -> None:
    """Let the next event claim a time `span` ahead; call `back` of the result after it was written."""
    ledger.now += span


def back(ledger: WrittenLedger, span: timedelta) -> None:
    """The other half of `claim_ahead`: the last event was recorded at the true time."""
    last = ledger.entries[-1]
    ledger.now -= span
    ledger.entries[-1] = Recorded(last.position, last.recorded_at - span, last.state, last.payload)


def found_in(ledger: WrittenLedger, page_events: int = 500) -> list[Finding]:
    """What the rules find in this ledger, walked in pages of this size."""
    rules, events = Rules(), ledger.verified()
    pages = [events[start : start + page_events] for start in range(0, len(events), page_events)]
    return [finding for page in pages for finding in rules.take(page)]


def names(ledger: WrittenLedger) -> list[str]:
    return [finding.rule for finding in found_in(ledger)]

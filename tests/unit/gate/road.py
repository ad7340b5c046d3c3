"""A gate's surroundings in memory: a real signed ledger, a recorder that writes into it, people who act while it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from tenuto.documents import ApprovalCard, Document, Result
from tenuto.events import ApprovalRequested, ApprovalSigned, ApprovalViewed, Event
from tenuto.gate import Action, ActionRefused, Gate, Patience
from tenuto.policy import Decision, Policy, PolicyRequest
from tenuto.verification import Verified

from tests.reviewing import CONSOLE, shown
from tests.unit.projections.written import MemoryFollower, WrittenLedger

RUN, DIGEST, BUNDLE = "run-1", "d" * 64, "b" * 64
CARD = ApprovalCard(title="Open port 9100", sentence="One port is opened.")
ACTION = Action(
    tool="terraform.apply", resource="stack:shop", digest=DIGEST, subject="terraform.plan", risks=("production",),
    initiator="mara", card=CARD, arguments={"resources": ["one"]}, refs=("R2",),
)  # fmt: skip
QUICK = Patience(approval_seconds=600, ledger_seconds=0.25, poll_seconds=0.001)


class Road:
    """The ledger, and the door of one agent to it. `held` says which kinds do not arrive; `ahead` is the clock's error."""

    def __init__(self, author: str = "infra") -> None:
        self.author, self.ahead = author, timedelta(0)
        self.ledger = WrittenLedger()
        self.ledger.register(author, "agent", "ada")
        self.ledger.register("lena", "reviewer", "lena")
        self.ledger.register("otto", "reviewer", "otto")
        self.ledger.register(CONSOLE, "console", "operations")
        self.before = len(self.ledger.events)
        self.held: Callable[[type[Event]], bool] = lambda kind: False
        self.recorded: list[tuple[type[Event], Document | None, dict[str, Any]]] = []

    def record(self, kind: type[Event], *, document: Document | None = None, **fields: Any) -> Event:
        self.recorded.append((kind, document, fields))
        if self.held(kind):
            return kind(
                v=1, log_origin="x", author=self.author, key_id="k", session=UUID(int=1), seq=0, prev="0" * 64,
                at=self.ledger.now, id=UUID(int=10_000 + len(self.recorded)), **fields,
            )  # fmt: skip
        return self.ledger.write(self.author, kind, document, **fields)

    def flush(self, seconds: float) -> None:
        """What is written is in the ledger at once."""

    def now(self) -> datetime:
        return self.ledger.now + self.ahead

    def kinds(self) -> list[str]:
        """What was recorded by anybody, in order; the console's views are many and left out."""
        return [event.kind for event in self.ledger.events[self.before :] if not isinstance(event, ApprovalViewed)]

    def look(self, who: str, asked: ApprovalRequested) -> str:
        """Let the console show everything to a reviewer; return the coverage."""
        views, coverage = shown(self.ledger.events, asked, who)
        for view in views:
            self.ledger.write(CONSOLE, ApprovalViewed, **view)
        return coverage

    def approve(self, who: str, asked: ApprovalRequested, *, digest: str | None = None) -> None:
        """Look at everything and approve."""
        coverage = self.look(who, asked)
        self.ledger.write(
            who, ApprovalSigned, approval=asked.approval, digest=digest or asked.digest, decision="approve", coverage=coverage
        )

    def last(self, kind: type[Event]) -> Any:
        return next(event for event in reversed(self.ledger.events) if isinstance(event, kind))

    def document(self, kind: type[Event]) -> Any:
        return next(document for one, document, _ in reversed(self.recorded) if one is kind)


class WatchedFollower(MemoryFollower):
    """Lets something happen before each look at the ledger."""

    def __init__(self, ledger: WrittenLedger, before: Callable[[], None]) -> None:
        super().__init__(ledger, page_events=3, payloads=False)
        self._before = before

    def pages(self) -> Iterator[list[Verified]]:
        self._before()
        yield from super().pages()


class FixedPolicy:
    """Always answers the same."""

    bundle, engine = BUNDLE, "fixed/1"

    def __init__(self, obligation: Any = "none", effect: Any = "allow", rules: tuple[str, ...] = ("rule",)) -> None:
        self.answer, self.asked = (effect, rules, obligation), list[PolicyRequest]()

    def decide(self, request: PolicyRequest) -> Decision:
        self.asked.append(request)
        effect, rules, obligation = self.answer
        return Decision(effect=effect, rules=rules, bundle=self.bundle, engine=self.engine, obligation=obligation)


class Tool:
    """Counts how often it was touched, and does what it is told."""

    def __init__(self, how: Callable[[], Result] = lambda: Result(text="applied")) -> None:
        self.touched, self._how = 0, how

    def __call__(self) -> Result:
        self.touched += 1
        return self._how()


def open_gate(
    road: Road, policy: Policy, before: Callable[[], None] = lambda: None, *, follower: Any = None
) -> Gate:
    numbers = count(1 + len(road.recorded))  # a second gate over the same ledger gives no name again
    follower = follower or WatchedFollower(road.ledger, before)
    return Gate(
        recorder=road, follower=follower, policy=policy, clock=road, new_id=lambda: UUID(int=next(numbers)), patience=QUICK
    )


def reviewer(road: Road, *moves: tuple[str, str], digest: str | None = None) -> Callable[[], None]:
    """Who signs what once the request is on record, one move at each look."""
    left = list(moves)

    def act() -> None:
        asked = [event for event in road.ledger.events if isinstance(event, ApprovalRequested)]
        if asked and left:
            who, decision = left.pop(0)
            if decision == "approve":
                road.approve(who, asked[-1], digest=digest)
            else:
                road.ledger.write(who, ApprovalSigned, approval=asked[-1].approval, digest=asked[-1].digest, decision=decision)

    return act


ASKS, ASKS_TWO = FixedPolicy("approval"), FixedPolicy("approval_and_one_more")
REQUESTED = ["tool.requested", "policy.decided"]
ASKED = [*REQUESTED, "approval.listed", "approval.requested"]


def refused(gate: Gate, tool: Tool, action: Action = ACTION, error: type[BaseException] = ActionRefused) -> BaseException:
    """Run the action, expect `error`, and prove that the tool was not touched."""
    with pytest.raises(error) as caught:
        gate.run(action, tool, run=RUN)
    assert tool.touched == 0
    return caught.value

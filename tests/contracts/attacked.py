"""A road on real parts under attack: an honest agent waits at its gate for people, and somebody tries to get past them.

`Siege` holds the people, the honest ones and the others; `Wait` is one call that waits, and what became of it.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from tenuto.adapters import keyfiles
from tenuto.approvals import Approvals, Standing
from tenuto.clock import SystemClock, new_uuid7
from tenuto.documents import ApprovalCard, PlannedChange, Result
from tenuto.errors import Busy
from tenuto.events import ApprovalRequested, ApprovalSigned, Event, RecordRefused, ToolFailed, ToolStarted
from tenuto.gate import Action, ActionRefused, Gate, Outcome, Patience
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.settings import EVENTS_TOPIC
from tenuto.verification import Verified
from tenuto.wiring import open_policy, open_recorder

from tests.road import AT_REST_SECONDS, SECONDS_MAX, Road, closing_within, look, until

AGENT, CONSOLE = "infrastructure", "console"
HONEST, OTHER, WARDEN = "lena", "otto", "warden"
PEOPLE = (
    Enrolment(AGENT, "agent", "ada"), Enrolment("deployment", "agent", "tomas"), Enrolment("code-review", "agent", "rita"), Enrolment(CONSOLE, "console", "operations"),
    *(Enrolment(name, "reviewer", name) for name in (HONEST, OTHER, WARDEN, "mara", "idle", "gone", "sre-only")),
    Enrolment("ada-key", "reviewer", "ada"), Enrolment("lena-2", "reviewer", HONEST),
)  # fmt: skip
ROLE = PlannedChange(address="aws_iam_role.x", type="aws_iam_role", actions=("update",), risks=("iam",), before={"a": 1}, after={"a": 2})
CARD = ApprovalCard(title="Change a role", sentence="One role is changed.", changes=(ROLE,))
QUICK = Patience(ledger_seconds=1.0)


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass
class Tool:
    """Counts how often it was touched."""

    touched: int = 0

    def __call__(self) -> Result:
        self.touched += 1
        return Result(text="applied")


@dataclass
class Wait:
    """One call of the agent that waits at its gate for people."""

    action: Action
    asked: ApprovalRequested
    outcome: Future[Outcome]
    tool: Tool

    @property
    def about(self) -> dict[str, Any]:
        return {"approval": self.asked.approval, "digest": self.asked.digest, "run": self.asked.run}


@dataclass
class Siege:
    """The road, the doors of everybody on it, and the gate of the agent. `owner` is the URL of the server's owner."""

    road: Road
    stack: ExitStack
    owner: str
    doors: dict[str, Recorder] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.pool = self.stack.enter_context(ThreadPoolExecutor(2))
        self.stack.callback(self.close)
        self.gate = self.open_gate()
        self._follower, self._approvals, self._events = self.road.follower(), Approvals(), list[Verified]()

    def door(self, author: str) -> Recorder:
        if author not in self.doors:
            self.doors[author] = self.road.recorder(author)
        return self.doors[author]

    def close(self) -> None:
        """Close all doors at once: one whose key was revoked waits for a receipt that does not come."""
        with closing_within(AT_REST_SECONDS), ThreadPoolExecutor(len(self.doors)) as closing:
            list(closing.map(Recorder.close, self.doors.values()))

    def open_gate(self, author: str = AGENT, patience: Patience | None = None) -> Gate:
        """What `tenuto.wiring.open_gate` opens, and how long it waits for the ledger."""
        return Gate(
            recorder=self.door(author), follower=self.road.follower(), policy=open_policy(None), clock=SystemClock(),
            new_id=new_uuid7, patience=patience,
        )  # fmt: skip

    def new_action(self, *risks: str) -> Action:
        """An action on a stack that nobody touched before."""
        self.number += 1
        return Action(
            tool="terraform.apply", resource=f"stack:shop-{self.number}", digest=digest_of(f"plan-{self.number}"), subject="terraform.plan",
            risks=risks or ("iam",), initiator="mara", card=CARD, arguments={"resources": ["aws_iam_role.x"], "open_to_world": 0},
        )  # fmt: skip

    def waiting(self, *risks: str) -> Wait:
        """Let the agent ask, and wait until people are asked."""
        action, tool = self.new_action(*risks), Tool()
        run = f"run-{self.number}"
        outcome = self.pool.submit(self.gate.run, action, tool, run=run)
        return Wait(action, until(lambda: self.asked_in(run)), outcome, tool)

    def asked_in(self, run: str) -> ApprovalRequested | None:
        """What people were asked in a run of the agent."""
        return next(iter(self.said(AGENT, ApprovalRequested, run)), None)

    def say(self, author: str, kind: type[Event], **fields: Any) -> Event:
        """Record something in an author's name and wait until the ledger has it."""
        event = self.door(author).record(kind, **fields)
        self.door(author).wait(event, SECONDS_MAX)
        return event

    def approve(self, wait: Wait, who: str = HONEST) -> Event:
        """Look at everything and approve, as an honest reviewer does."""
        coverage = look(self.road, self.door(CONSOLE), wait.asked, who)
        return self.say(who, ApprovalSigned, decision="approve", coverage=coverage, **wait.about)

    def read(self) -> tuple[Approvals, list[Verified]]:
        """The fold, and the events, as any outsider computes them."""
        until(self._catch_up)
        return self._approvals, list(self._events)

    def _catch_up(self) -> bool | None:
        try:
            for page in self._follower.pages():
                for verified in page:
                    self._approvals.apply(verified)
                    self._events.append(verified)
        except Busy:  # the ledger was away a moment ago; what was read stays, and the next look goes on behind it
            return None
        return True

    def said(self, author: str, kind: type[Event] = Event, run: str | None = None) -> list[Any]:
        """What stands on record by one author, in one run or in all."""
        events = [one.event for one in self.read()[1] if one.event.author == author and isinstance(one.event, kind)]
        return [event for event in events if run in (None, event.run)]

    def standing(self, wait: Wait) -> Standing:
        return self.read()[0].standing(wait.asked.approval, SystemClock().now())

    def demand_refused(self, wait: Wait) -> str:
        """End the wait by an honest denial; nothing was done, and the agent's gate put on record that it was not."""
        assert self.standing(wait).state == "open"
        assert not wait.outcome.done()
        self.say(WARDEN, ApprovalSigned, decision="deny", **wait.about)
        refusal = wait.outcome.exception(SECONDS_MAX)
        assert isinstance(refusal, ActionRefused), refusal
        assert self.failure(wait.asked) == "not_approved"
        assert wait.tool.touched == 0
        return str(refusal)

    def failure(self, asked: ApprovalRequested) -> str:
        """Why the agent's call failed, as the ledger has it; the tool never began."""
        self.door(AGENT).flush(SECONDS_MAX)
        events = self.said(AGENT, run=asked.run)
        assert not any(isinstance(event, ToolStarted) for event in events)
        return str(next(event.why for event in events if isinstance(event, ToolFailed)))

    def refused(self, since: int) -> list[str]:
        """Why ingest refused what arrived after a position."""
        events = self.read()[1][since:]
        return [one.event.reason for one in events if isinstance(one.event, RecordRefused)]

    def forger(self, author: str, key_of: str | None = None) -> Recorder:
        """A door in an author's name from another machine: with a key that nobody registered, or that of `key_of`."""
        self.number += 1
        home = self.road.home / f"thief-{self.number}"
        keys, file = home / "keys", keyfiles.author_file(author)
        keys.mkdir(parents=True, mode=0o700)
        (home / "trust.json").write_bytes((self.road.home / "trust.json").read_bytes())
        if key_of is None:
            keyfiles.create_key(keys, file)
        else:
            (keys / file).write_bytes((self.road.settings.keys / keyfiles.author_file(key_of)).read_bytes())
            (keys / file).chmod(0o600)
        return open_recorder(self.road.settings.model_copy(update={"home": home}), author, software="thief/1")

    def raw_record_of(self, event: Event) -> tuple[bytes, bytes, Any]:
        """The very record that carried an event over Kafka: key, value, headers."""
        for partition in range(self.road.settings.partitions):
            with self.road.bus.reader(EVENTS_TOPIC, partition) as reader:
                found: list[Any] = []
                while len(found) < reader.end_offset() - reader.beginning_offset() and (polled := reader.poll(500, 1000)):
                    found += polled
            for record in found:
                if str(event.id).encode() in record.value:
                    return record.key, record.value, record.headers
        raise AssertionError(f"no record on the bus carries {event.id}")


def other_digest(action: Action) -> Action:
    return replace(action, digest=digest_of(f"not {action.digest}"))


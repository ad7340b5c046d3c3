"""Doubles for the road: events are real and go through the real encoder, but into a list instead of a ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tenuto import header as headers
from tenuto.approvals.fold import Approvals
from tenuto.documents import ApprovalCard, Arguments, Document, Result, to_payload
from tenuto.events import (
    ApprovalConsumed,
    ApprovalGranted,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    MessageSent,
    PolicyDecided,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)  # fmt: skip
from tenuto.gate import Action, Outcome
from tenuto.keyring import Key
from tenuto.mailbox import Delivered
from tenuto.verification import Verified

from tests.reviewing import CONSOLE, committed, listed, shown

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROLES = {"pipeline": "pipeline", "mira": "reviewer", CONSOLE: "console"}


class World:
    """One ledger in memory: what every author recorded, in order, with what lay beside it."""

    def __init__(self) -> None:
        self.entries: list[Verified] = []
        self.documents: dict[Any, Document] = {}
        self.approvals = Approvals()

    def add(self, kind: type[Event], author: str, document: Document | None, **fields: Any) -> Event:
        position = len(self.entries)
        event = kind(
            v=1, log_origin="test.example/log", author=author, key_id="k", session=uuid4(), seq=0, prev="0" * 64,
            at=START, id=uuid4(), **fields,
        )  # fmt: skip
        header = headers.encode(event)
        key = Key(author, "k", b"", ROLES.get(author, "agent"), f"{author}-owner", False, 0)
        moment = START + timedelta(seconds=position)
        verified = Verified(position, moment, event, header, b"", "", b"", key)
        self.entries.append(verified)
        self.approvals.apply(verified)
        if document is not None:
            self.documents[event.id] = document
        return event

    def events(self, kind: type[Event]) -> list[Any]:
        return [verified.event for verified in self.entries if isinstance(verified.event, kind)]

    def kinds(self) -> list[str]:
        return [verified.event.kind for verified in self.entries]

    def document(self, event: Event) -> Any:
        return self.documents[event.id]

    def delivered(self, message: MessageSent) -> Delivered:
        """The message as its receiver's mailbox would hand it out; `Delivered` may have more fields than we know."""
        verified = next(one for one in self.entries if one.event.id == message.id)
        return FakeDelivered(verified.position, message, to_payload(self.documents[message.id])[1], verified.key)  # type: ignore[return-value]


class FakeDelivered:
    """What the agents read of a delivered message."""

    def __init__(self, position: int, event: MessageSent, payload: bytes, key: Key) -> None:
        self.position, self.event, self.payload, self.key = position, event, payload, key


class RecordingRecorder:
    """An author's door into a world."""

    def __init__(self, world: World, author: str) -> None:
        self.world, self.author = world, author

    def record(self, kind: type[Event], *, document: Document | None = None, **fields: Any) -> Event:
        return self.world.add(kind, self.author, document, **{name: value for name, value in fields.items() if value is not None})

    def send(self, to: str, topic: str, document: Document, *, run: str, cause: tuple[Any, ...] = ()) -> Event:
        return self.record(MessageSent, document=document, run=run, cause=cause, to=to, topic=topic)

    def wait(self, event: Event, seconds: float | None = None) -> None:
        assert event.id in self.world.documents


class RecordingGate:
    """Runs `execute`; an action with a card is put to the reviewer `mira`, who signs what `decide` says."""

    def __init__(self, recorder: RecordingRecorder, decide: Callable[[Action], str] = lambda action: "approve") -> None:
        self._recorder, self._decide, self.approvals = recorder, decide, recorder.world.approvals

    def events_of(self, run: str) -> list[Verified]:
        return [verified for verified in self._recorder.world.entries if verified.event.run == run]

    def run(self, action: Action, execute: Callable[[], Result], *, run: str, cause: tuple[Any, ...] = ()) -> Outcome:
        record, call = self._recorder.record, f"call-{len(self._recorder.world.entries)}"
        common = {"run": run, "call": call, "tool": action.tool}
        target = {"resource": action.resource, "digest": action.digest}
        record(ToolRequested, document=Arguments(values=action.arguments), **common, **target)
        approval = self._approved(action, action.card, run, call) if action.card else None
        record(ToolStarted, **common, **target)
        try:
            result = execute()
        except Exception:
            record(ToolFailed, **common, why="error")
            raise
        record(ToolFinished, document=result, **common, milliseconds=1)
        return Outcome(result=result, call=call, approval=approval)

    def _approved(self, action: Action, card: ApprovalCard, run: str, call: str) -> str:
        approval, digest, record = f"approval-{call}", action.digest, self._recorder.record
        named, world = {"approval": approval, "digest": digest}, self._recorder.world
        obligation = "approval_and_one_more" if "deletion" in action.risks else "approval"
        decided = record(PolicyDecided, run=run, call=call, effect="allow", rules=("r",), bundle="0" * 64, engine="e", obligation=obligation)
        for part in listed(card, action.risks):
            record(ApprovalListed, run=run, **named, **part)
        asked = record(
            ApprovalRequested, document=card, run=run, **named, subject=action.subject, tool=action.tool, resource=action.resource,
            initiator=action.initiator, quorum=1, risks=action.risks, cause=(decided.id,), expires=START + timedelta(hours=1),
            call=call, **committed(card, action.risks),
        )  # fmt: skip
        assert isinstance(asked, ApprovalRequested)
        views, coverage = shown([one.event for one in world.entries], asked, "mira")
        for view in views:
            world.add(ApprovalViewed, CONSOLE, None, **view)
        world.add(ApprovalSigned, "mira", None, **named, decision=self._decide(action), coverage=coverage)
        record(ApprovalGranted, run=run, **named, votes=1)
        record(ApprovalConsumed, run=run, **named, call=call)
        return approval

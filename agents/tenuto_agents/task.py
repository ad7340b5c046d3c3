"""What an agent may do while it works on one message: act through the gate, record, hand over, end the run.

There is no other way out of an agent's code, so a step that is not on record would have to be written against this file.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from tenuto.documents import Document, Handover, Result
from tenuto.events import Event, MessageSent, RunFinished, ToolStarted
from tenuto.gate import Action, Gate, Outcome
from tenuto.recorder import Recorder

from .secrets import Hit, OutputFilter

if TYPE_CHECKING:
    from .tools.contract import Tool
    from .tools.toolset import Tools

Value = TypeVar("Value")
A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

SENTENCE_CHARACTERS_MAX = 2_000


class Stopping(BaseException):
    """Somebody asked this process to stop; derived like KeyboardInterrupt so that nothing swallows it."""


class StopRequest:
    """Turns SIGTERM and SIGINT into `Stopping`, but never in the middle of a tool whose effect is not yet on record."""

    def __init__(self) -> None:
        """Nothing is asked yet and nothing is installed."""
        self.asked = False
        self._acting = False

    def install(self) -> None:
        """Take over SIGTERM and SIGINT of this process (main thread only)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def begin_effect(self) -> None:
        """From here on a request waits; called when a tool is about to be touched."""
        self._acting = True

    def end_effect(self) -> None:
        """The effect is on record; raises Stopping if somebody asked meanwhile."""
        self._acting = False
        if self.asked:
            raise Stopping

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self._acting:
            raise Stopping


@dataclass(frozen=True, slots=True)
class Acted(Generic[Value]):
    """What a tool call gave: the value for our code, and the gate's account of it."""

    value: Value
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Task:
    """One message being worked on. `cause` is what its events name as their reason, `tools` the servers that it may use."""

    recorder: Recorder
    gate: Gate
    run: str
    cause: tuple[UUID, ...]
    stop: StopRequest
    outgoing: OutputFilter | None = None
    tools: Tools | None = None

    def act(self, action: Action, work: Callable[[], tuple[Value, Result]]) -> Acted[Value]:
        """Do `work` as the tool call `action`, once policy and people allow it.

        `work` returns a value and what goes on record about it. Raises Refused for a secret in the arguments, ActionRefused, and
        whatever `work` raises.
        """
        self._demand_clean(action)
        values: list[Value] = []

        def execute() -> Result:
            self.stop.begin_effect()
            value, result = work()
            values.append(value)
            return result

        try:
            outcome = self.gate.run(action, execute, run=self.run, cause=self.cause)
        finally:
            self.stop.end_effect()
        return Acted(values[0], outcome)

    def use(
        self, server: str, tool: Tool[A, R], arguments: A, action: Action, tell: Callable[[R], Result],
        *, begin: Callable[[], object] = lambda: None,
    ) -> Acted[R]:  # fmt: skip
        """Call a tool of a server as the tool call `action`; policy is asked about exactly `arguments`, and the tool gets them.

        `tell` says what of the answer goes on record; `begin` is done right before the call. Raises like `act`, and what `ToolSession.call` raises; a server that does
        not offer what was pinned is found out before anybody is asked.
        """
        assert self.tools is not None, "whoever uses a server has looked whether there is one"
        session, action = self.tools.session(server), replace(action, arguments=msgspec.to_builtins(arguments))
        self._demand_clean(action)
        session.open()
        answers: list[R] = []

        def execute(started: ToolStarted) -> Result:
            self.stop.begin_effect()
            begin()
            answers.append(session.call(tool, arguments, started))
            return tell(answers[0])

        try:
            outcome = self.gate.call(action, execute, run=self.run, cause=self.cause)
        finally:
            self.stop.end_effect()
        return Acted(answers[0], outcome)

    def _demand_clean(self, action: Action) -> None:
        if self.outgoing is not None:
            self.outgoing.demand_clean(action.arguments, action.tool, self.run)

    def screened(self, text: str, place: str) -> str:
        """Return `text` without any secret: for what goes out of this process by another way than the ledger."""
        return text if self.outgoing is None else self.outgoing.text(text, place, self.run)

    def secrets_in(self, text: bytes) -> Sequence[Hit]:
        """Return the secrets in what somebody else wrote, by kind and fingerprint; none where this agent has no filter."""
        return () if self.outgoing is None else self.outgoing.find(text)

    def record(self, kind: type[Event], *, document: Document | None = None, **fields: Any) -> Event:
        """Put one event of this run on record."""
        return self.recorder.record(kind, document=document, run=self.run, cause=self.cause, **fields)

    def hand_over(self, to: str, topic: str, handover: Handover, *, cause: tuple[UUID, ...] = ()) -> MessageSent:
        """Send the change on to the next agent; it arrives only through the ledger."""
        return self.recorder.send(to, topic, handover, run=self.run, cause=cause or self.cause)

    def finish(self, outcome: Literal["succeeded", "refused", "failed"], sentence: str, **values: Any) -> None:
        """End the run and say why, in one sentence."""
        document = Result(text=sentence[:SENTENCE_CHARACTERS_MAX], values=values)
        self.record(RunFinished, document=document, outcome=outcome)

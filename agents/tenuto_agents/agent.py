"""The loop that the three agents share: one message at a time, and an ending on record for each.

A message is refused (wrong sender, unreadable), worked on, or found to have been worked on before. What raises in between
becomes `run.finished`, so a pull request never just disappears. After a crash in the middle of a task with effects nothing
is tried again: a person looks at what is on record and submits anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tenuto.documents import Handover, from_payload
from tenuto.errors import Busy, Refused, TenutoError
from tenuto.events import MessageDelivered, MessageRefused, MessageSent, RunFinished
from tenuto.gate import Gate
from tenuto.mailbox import Delivered, Mailbox
from tenuto.recorder import Recorder

from .secrets import OutputFilter
from .task import StopRequest, Task
from .text import visible_line
from .tools.toolset import Tools

POLL_SECONDS = 1.0
BUSY_PAUSE_SECONDS = 1.0
log = logging.getLogger(__name__)

Earlier = Literal["none", "interrupted", "completed"]


@dataclass(frozen=True, slots=True)
class Duty:
    """What an agent does about one topic, and from whom it takes it.

    sender, role: the only author, with the only role, whose message counts. repeatable: the work has no effect outside
    the ledger, so it may be done again after a crash.
    """

    sender: str
    role: str
    perform: Callable[[Handover, Task], None]
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Chore:
    """What an agent does by itself, every so many seconds. `name` is the run that its task begins in."""

    name: str
    seconds: float
    perform: Callable[[Task], None]


class Agent:
    """One agent at work. `duties` maps each topic that it takes to what it does about it."""

    def __init__(
        self, recorder: Recorder, gate: Gate, mailbox: Mailbox, duties: Mapping[str, Duty], *, stop: StopRequest,
        outgoing: OutputFilter | None = None, chore: Chore | None = None, tools: Tools | None = None,
    ) -> None:  # fmt: skip
        """All parts are open; this closes none of them. `outgoing` stands before every tool as well.

        `chore` is done while no message waits. tools: the servers that its tasks may use; without them they do the work here.
        """
        self._recorder, self._gate, self._mailbox = recorder, gate, mailbox
        self._duties, self._stop, self._outgoing, self._tools = duties, stop, outgoing, tools
        self._chore, self._chore_due = chore, time.monotonic() + (chore.seconds if chore else 0.0)

    def serve(self) -> None:
        """Take messages until `Stopping` is raised. Anything that is no error of ours also ends it, after it is on record."""
        while True:
            try:
                delivered = self._mailbox.next_message(POLL_SECONDS)
            except Busy as busy:
                log.warning("%s", busy)
                time.sleep(BUSY_PAUSE_SECONDS)
                continue
            if delivered is not None:
                self.take(delivered)
            elif self._chore is not None and time.monotonic() >= self._chore_due:
                self._do(self._chore)

    def _do(self, chore: Chore) -> None:
        """Do it once; what stopped it is on record where it was a tool call, and it is tried again when its time comes."""
        try:
            chore.perform(Task(self._recorder, self._gate, chore.name, (), self._stop, self._outgoing, self._tools))
        except TenutoError as error:
            log.warning("%s", error)
        self._chore_due = time.monotonic() + chore.seconds

    def take(self, delivered: Delivered) -> None:
        """Deal with one verified message and mark it as done."""
        duty = self._duties.get(delivered.event.topic)
        try:
            handover, run = _read(delivered, duty)
        except Refused as refusal:
            self._refuse(delivered, refusal)
        else:
            assert duty is not None
            self._attend(delivered, duty, handover, run)
        self._mailbox.done(delivered)

    def _refuse(self, delivered: Delivered, refusal: Refused) -> None:
        message = delivered.event
        log.warning("Refused a message of %s: %s", message.author, refusal)
        self._recorder.record(
            MessageRefused, run=message.run, cause=(message.id,), position=delivered.position, reason=refusal.reason
        )

    def _attend(self, delivered: Delivered, duty: Duty, handover: Handover, run: str) -> None:
        message = delivered.event
        earlier = self._earlier(message, run)
        if earlier == "completed":
            return
        received = self._recorder.record(MessageDelivered, run=run, cause=(message.id,), position=delivered.position)
        task = Task(self._recorder, self._gate, run, (received.id,), self._stop, self._outgoing, self._tools)
        if earlier == "interrupted" and not duty.repeatable:
            task.finish("failed", "An earlier attempt was interrupted. Look at its last tool call, then submit again.")
            return
        self._perform(duty, handover, task, delivered)

    def _perform(self, duty: Duty, handover: Handover, task: Task, delivered: Delivered) -> None:
        try:
            duty.perform(handover, task)
        except Refused as refusal:
            task.finish("refused", str(refusal))
        except TenutoError as error:
            task.finish("failed", str(error))
        except Exception as error:
            # The outermost loop: a defect ends the process, but not before the run says so. The message is done, or a
            # restart would run into the same defect for ever.
            task.finish("failed", f"A defect of this agent: {visible_line(repr(error))}")
            self._mailbox.done(delivered)
            raise

    def _earlier(self, message: MessageSent, run: str) -> Earlier:
        """Whether a former life of this agent took the message already, as the ledger knows it."""
        state: Earlier = "none"
        for verified in self._gate.events_of(run):
            event = verified.event
            if event.author != self._recorder.author:
                continue
            if isinstance(event, MessageDelivered) and message.id in event.cause:
                state = "interrupted"
            elif state == "interrupted" and isinstance(event, MessageSent | RunFinished):
                state = "completed"
        return state


def _read(delivered: Delivered, duty: Duty | None) -> tuple[Handover, str]:
    message, key = delivered.event, delivered.key
    if duty is None:
        raise Refused(f"This agent has no duty for the topic {message.topic}.", reason="not_addressed")
    if message.author != duty.sender or key.role != duty.role:
        sentence = f"{message.author} ({key.role}) may not send {message.topic}; only {duty.sender} ({duty.role}) may."
        raise Refused(sentence, reason="entitlement")
    if message.run is None:
        raise Refused(f"The message {message.id} belongs to no run.", reason="malformed")
    try:
        return from_payload(delivered.payload, Handover), message.run
    except Refused as refusal:
        raise Refused(str(refusal), reason="malformed") from refusal

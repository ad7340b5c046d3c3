"""The author's door: every event of an agent, a reviewer or a service enters the road here.

    with open_recorder(settings, "my-agent", software="my-agent/1.0") as recorder:
        with recorder.tool("shell", "build-host", arguments={"command": "make"}) as call:
            call.finish(run_make())

`record` builds the header, commits to the payload and seals it, signs, and keeps the event on disk; only then does it
return, and only then does the bus see anything. From there on a thread of the recorder publishes until the ledger's
receipt has come back and was verified. Nothing is ever dropped: while the bus is away the spool grows, when the spool
is full the caller waits, and what a crash leaves behind goes out first in the next life.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast
from uuid import UUID

from .accounting import Accounts
from .bus import Publisher
from .clock import Clock, NewId, from_micros
from .documents import Document
from .drain import Drain
from .enclosure import DeliveryRefused
from .errors import Busy, NotConfigured, Refused
from .events import DecisionMade, Event, MessageRefused, MessageSent, RecordLost, SessionClosed, SessionOpened
from .keyring import ENTITLED
from .mailbox import Mailbox, Receipt, RecordRefusedByLedger, Verdict
from .salvage import Loss
from .sheaf import SHEAF_HEADERS_MAX
from .signing import Signer
from .spool import Spool, SpoolFull
from .toolcall import ToolCall, named_arguments, on_record, tool_name
from .trust import Trust
from .writing import Draft, Screen, SheafWriter, Writer

CLOSE_SECONDS = 5.0
JOIN_SECONDS = 15.0
IDLE_SECONDS = 0.5
PAUSE_SECONDS = 0.05
AWAY_SECONDS = 0.2
SAY_AGAIN_SECONDS = 30.0
MESSAGE_REFUSALS_MAX = 100  # of one session: a flood into an inbox must not become a flood into the ledger
log = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)
P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["Lag", "Receipt", "RecordRefusedByLedger", "Recorder"]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the ledger is behind this author: events without receipt, their bytes, and the age of the oldest."""

    events: int
    bytes: int
    oldest_seconds: float


class Recorder:
    """One author's door, for one life of one process. Any thread may call.

    mailbox: where receipts come back, or None: then nothing can be waited for and the spool keeps everything until a
    later life has one. room_seconds: how long a call waits for room in a full spool before it raises Busy; None: for
    ever.
    """

    def __init__(
        self, *, signer: Signer, trust: Trust, publisher: Publisher, spool: Spool, clock: Clock, new_id: NewId,
        receipt_seconds: float,
    ) -> None:  # fmt: skip
        """`receipt_seconds` is how long `wait` waits by default. Publisher, spool and mailbox are closed by `close`."""
        self.author = signer.author
        self.mailbox: Mailbox | None = None
        self.room_seconds: float | None = None
        self._signer, self._trust, self._publisher, self._spool = signer, trust, publisher, spool
        self._clock, self._new_id, self._receipt_seconds = clock, new_id, receipt_seconds
        self._writer = Writer(signer, trust, spool, clock, new_id)
        self._drain = Drain(publisher, spool)
        self.accounts = Accounts(spool, self._drain, clock, lambda kind, fields: self._keep([self._draft(kind, **fields)]))
        self._session: UUID | None = None
        self._closed = False
        self._door = threading.Lock()  # from reading the chain to having moved it
        self._threads: list[threading.Thread] = []
        self._ended: NotConfigured | None = None  # what ended one of them, where a person can mend it
        self._message_refusals = self._renewals = 0

    def open(self, software: str, losses: Sequence[Loss] = ()) -> SessionOpened:
        """Begin a session; `software` names what runs, such as `my-agent/1.0`. What an earlier life left goes first.

        `losses` are events of earlier lives that cannot be sent any more; they go on record right behind the opening.

        Raises NotConfigured when the spool is another author's or another log's, or this recorder was open before.
        """
        if self._session is not None:
            raise NotConfigured(f"This recorder of {self.author} was opened before; a new session takes a new recorder.")
        self._spool.claim(self.author, self._trust.origin, self._trust.root_public_key)
        left = self._spool.waiting()[0]
        if left:
            log.warning("%s: %s events of an earlier life have no receipt yet and are sent again.", self.author, left)
        self._session = self._new_id()
        self._start("drain", self._drain.run)
        if self.mailbox is not None:
            self._start("receive", self._receive)
        begun = self.record(SessionOpened, software=software)
        for loss in losses:
            log.error("%s: events %s to %s of session %s are lost.", self.author, loss.first_seq, loss.last_seq, loss.session)
            self.record(RecordLost, lost_session=loss.session, first_seq=loss.first_seq, last_seq=loss.last_seq)
            self._spool.told(loss.session)
        self.accounts.begin(begun)
        return begun

    def record(
        self, kind: type[E], *, document: Document | None = None, payload: tuple[str, bytes] | None = None,
        run: str | None = None, cause: Sequence[UUID] = (), to: str | None = None, refs: Sequence[str] = (),
        **fields: Any,
    ) -> E:  # fmt: skip
        """Put one event on record and return it; it is signed and on disk then, and on its way to the ledger.

        `document`, or `payload` as media type and bytes, lies beside it. Fields that are None are left out. Raises
        HeaderRefused or PayloadRefused for what no event can hold, Busy when `room_seconds` passed with a full spool.
        """
        about: dict[str, Any] = {"run": run, "cause": cause, "to": to, "refs": refs}
        draft = self._draft(kind, document=document, payload=payload, **about, **fields)
        return cast("E", self._record([draft])[0])

    def screen_payloads(self, screen: Screen) -> None:
        """From now on every payload passes `screen` before it is sealed and signed; what it raises, `record` raises."""
        self._writer.screen = screen

    def follow_epochs(self, look: Callable[[], Trust]) -> None:
        """From now on payloads are sealed to the epoch in what `look` returns, and a change is put on record."""
        self._writer.look = look

    def sheaf(self, events_max: int = SHEAF_HEADERS_MAX) -> SheafWriter:
        """Collect events in a block and sign them together, at most `events_max` (64) with one signature; see `SheafWriter`.

        For what is said often and waited for by nobody: it costs the ledger a fraction of events that are signed alone.
        """
        return SheafWriter(self._draft, self._record, events_max)

    def send(
        self, to: str, topic: str, document: Document, *, run: str | None = None, cause: Sequence[UUID] = ()
    ) -> MessageSent:
        """Send a message to another author. It arrives only through the ledger, and only `to` can read it."""
        return self.record(MessageSent, document=document, to=to, topic=topic, run=run, cause=cause)

    def decision(self, verdict: str, *, document: Document | None = None, **fields: Any) -> DecisionMade:
        """Record what was concluded about a subject; for the fields see `DecisionMade`."""
        return self.record(DecisionMade, document=document, verdict=verdict, **fields)

    def wait(self, event: Event, seconds: float | None = None) -> Receipt:
        """Block until the ledger has `event`, provably, and return where; by default at most `receipt_seconds`.

        Raises Busy when no receipt came in time (the event stays in the spool and goes on being sent),
        RecordRefusedByLedger when the ledger refused it for good.
        """
        mailbox = self._demand_mailbox()
        seconds = self._receipt_seconds if seconds is None else seconds
        verdict = self._wait_for(lambda: self._verdict(mailbox, event), seconds)
        if verdict is None:
            lag = self.lag()
            sentence = f"No receipt for {event.kind} {event.id} came within {seconds:g} s. It is kept and sent again"
            raise Busy(f"{sentence}; {lag.events} events wait, the oldest for {lag.oldest_seconds:.0f} s.")
        if isinstance(verdict, RecordRefusedByLedger):
            raise verdict
        return verdict

    def flush(self, seconds: float) -> None:
        """Block until every event has its receipt (without a mailbox: is with the bus). Raises Busy after `seconds`."""
        if self.mailbox is not None:
            done = self._wait_for(lambda: self._spool.waiting()[0] == 0 or None, seconds) is not None
        else:
            done = self._wait_until(self._drain.caught_up, seconds)
        if not done:
            raise Busy(
                f"{self._spool.waiting()[0]} events of {self.author} have no receipt after {seconds:g} s; kept."
            )

    def new_call(self) -> str:
        """Return a name for a tool call that no other has."""
        return f"call-{self._new_id().hex}"

    def lag(self) -> Lag:
        """Return how far the ledger is behind this author."""
        events, size = self._spool.waiting()
        oldest = self._spool.oldest()
        age = 0.0 if oldest is None else (self._clock.now() - from_micros(oldest[1])).total_seconds()
        return Lag(events, size, max(0.0, age))

    def tool(
        self, tool: str, resource: str, *, arguments: dict[str, Any] | None = None, run: str | None = None,
        cause: Sequence[UUID] = (),
    ) -> AbstractContextManager[ToolCall]:  # fmt: skip
        """Put the block on record as one call of `tool` on `resource`. It begins once its start has a receipt.

        An error in the block is recorded and goes on; an interruption (`BaseException`) is recorded as unknown outcome.
        Raises Busy or RecordRefusedByLedger, with the tool not touched, when there is no receipt.
        """
        return on_record(self, tool, resource, arguments=arguments, run=run, cause=cause)

    def recorded(
        self, resource: str, *, tool: str | None = None, run: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function so that each call of it is on record as a tool call on `resource`; see `tool`."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(function)
            def call_on_record(*args: P.args, **kwargs: P.kwargs) -> R:
                arguments = named_arguments(function, args, kwargs)
                with self.tool(tool or tool_name(function), resource, arguments=arguments, run=run) as call:
                    value = function(*args, **kwargs)
                    call.finish(repr(value))
                return value

            return call_on_record

        return decorate

    def close(self, outcome: Literal["completed", "failed", "interrupted"] = "completed") -> None:
        """End the session, wait at most CLOSE_SECONDS for the last receipts, and let go of everything.

        What has no receipt by then stays in the spool for the next life. Harmless when repeated.
        """
        if self._closed:
            return
        try:
            if self._session is not None and all(thread.is_alive() for thread in self._threads):
                self._close_session(outcome)
        finally:
            self._closed = True
            self._drain.stop()
            for thread in self._threads:
                thread.join(JOIN_SECONDS)
            if self.mailbox is not None:
                self.mailbox.close()
            self._publisher.close()
            self._spool.close()

    def __enter__(self) -> Self:
        """Return itself; `open` is called apart, since it may raise."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, with the outcome that the block had."""
        ended: Literal["completed", "failed", "interrupted"] = "completed" if error is None else "interrupted"
        self.close("failed" if isinstance(error, Exception) else ended)

    def _draft(self, kind: type[Event], **what: Any) -> Draft:
        """Return what `record` was told, whole but for its place in the chain."""
        self._demand_open()
        assert self._session is not None
        return self._writer.draft(kind, self._session, **what)

    def _record(self, drafts: Sequence[Draft]) -> list[Event]:
        """`_keep`, waiting for room in the spool."""
        started = time.monotonic()
        while True:
            try:
                return self._keep(drafts)
            except SpoolFull as full:
                self._wait_for_room(full, started)

    def _keep(self, drafts: Sequence[Draft]) -> list[Event]:
        """Give the events their places in the chain, sign them, put them on disk; or raise SpoolFull, and nothing happened."""
        with self._door:
            self._demand_open()
            assert self._session is not None
            events = self._writer.write(self._session, drafts)
        self._drain.wake()
        return events

    def _wait_for_room(self, full: SpoolFull, started: float) -> None:
        waited = time.monotonic() - started
        left = SAY_AGAIN_SECONDS if self.room_seconds is None else self.room_seconds - waited
        if left <= 0:
            raise full
        log.warning("%s %s has waited %.0f s for room.", full, self.author, waited)
        self._spool.wait_for_room(full.size, min(left, SAY_AGAIN_SECONDS))

    def _verdict(self, mailbox: Mailbox, event: Event) -> Verdict | None:
        verdict = mailbox.verdict(event.id)
        if verdict is None and self._spool.record_of(event.id) is None:
            raise Refused(
                f"No receipt can come for {event.kind} {event.id}: this recorder did not write it, or too long ago."
            )
        return verdict

    def _wait_for(self, found: Callable[[], R], seconds: float) -> R | None:
        """`Mailbox.wait_for`, going on while the bus is away."""
        mailbox = self._demand_mailbox()
        deadline = time.monotonic() + seconds
        while True:
            self._demand_open()
            left = deadline - time.monotonic()
            try:
                return mailbox.wait_for(found, max(0.0, left))
            except Busy as busy:
                if left <= 0:
                    return None
                log.debug("%s", busy)
                time.sleep(min(left, PAUSE_SECONDS))

    def _wait_until(self, true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            self._demand_open()
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def _close_session(self, outcome: str) -> None:
        try:
            if self.room_seconds is None:
                self.room_seconds = CLOSE_SECONDS
            self.accounts.finish()
            self.record(SessionClosed, outcome=outcome)
            self.flush(CLOSE_SECONDS)
        except Busy as busy:
            log.warning("%s closes with its record incomplete: %s", self.author, busy)

    def _demand_open(self) -> None:
        if self._session is None or self._closed:
            raise NotConfigured(f"The recorder of {self.author} is {'closed' if self._closed else 'not open yet'}.")
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead and self._ended is not None:
            raise NotConfigured(str(self._ended))
        if dead:
            raise RuntimeError(f"{dead[0]} ended with a defect (its traceback is above): nothing would reach the ledger.")

    def _demand_mailbox(self) -> Mailbox:
        if self.mailbox is None:
            raise NotConfigured(f"The recorder of {self.author} has no mailbox, so no receipt can be waited for.")
        return self.mailbox

    def _start(self, name: str, work: Callable[[], None]) -> None:
        def live() -> None:
            try:
                work()
            except NotConfigured as reason:
                # Told to whoever calls next; what is in the spool stays there for the life after the mending.
                log.error("%s: %s", self.author, reason)
                self._ended = reason

        thread = threading.Thread(target=live, name=f"tenuto-{name}-{self.author}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _receive(self) -> None:
        """The mailbox's thread: take receipts in even while nobody waits for one."""
        mailbox = self._demand_mailbox()
        away = False
        while not self._drain.stopping.is_set():
            try:
                mailbox.pump(IDLE_SECONDS)
                away = self.accounts.inbox_away = False
            except Busy as busy:
                if not away:
                    log.warning("%s: %s", self.author, busy)
                away = self.accounts.inbox_away = True
                self._drain.stopping.wait(AWAY_SECONDS)
            self._heed(mailbox)
            self.accounts.look()
            with self._door:  # also while nothing is recorded: the key of an epoch that is over waits for every session
                self._writer.follow_epoch(self._session)

    def _heed(self, mailbox: Mailbox) -> None:
        """Do what the mailbox's news call for: publish again what a broker lost, put refused messages on record."""
        if mailbox.renewals != self._renewals:
            # The inbox was made anew, so the broker lost it, and most likely what was on its way as well.
            self._renewals = mailbox.renewals
            self._drain.start_over()
        for refusal in mailbox.take_refusals():
            self._put_on_record(mailbox, refusal)

    def _put_on_record(self, mailbox: Mailbox, refusal: DeliveryRefused) -> None:
        """Record that a message failed, if this author's role may say so. Never waits: receipts come by this thread."""
        key = mailbox.own_key()
        if key is None or MessageRefused.__struct_config__.tag not in ENTITLED[key.role] or self._closed:
            return
        self._message_refusals += 1
        if self._message_refusals > MESSAGE_REFUSALS_MAX:
            return
        cause = () if refusal.message is None else (refusal.message,)
        try:
            self._keep([self._draft(MessageRefused, position=refusal.position, reason=refusal.reason, cause=cause)])
        except SpoolFull as full:
            log.warning("%s The refusal of a message is only in this log: %s", full, refusal)

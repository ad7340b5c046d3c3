"""How an author's events get their places in its chain and their signature, and are on disk before anybody sees them.

One event is signed alone. Several that nothing waits for can be signed together, as a sheaf (`tenuto.sheaf`): then they
cost their readers one signature, and the author one write to disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec

from . import header as headers
from .clock import Clock, NewId, micros
from .documents import Document, to_payload
from .envelope import Envelope
from .errors import NotConfigured, Refused
from .events import FIRST_PREV, IN_SHEAF, Event, MessageSent, SessionClosed, SessionEpochFollowed
from .ledger import SessionHead
from .payload import PayloadSealer, Sealed
from .sheaf import SHEAF_HEADERS_MAX
from .signing import Signer, sign_headers
from .spool import Outgoing, Spool, SpoolFull
from .trust import Trust

SEQ_MAX = 2**53 - 1

Screen = Callable[[type[Event], tuple[str, bytes], str | None], tuple[str, bytes]]
"""What a payload passes before it is sealed: kind, media type with bytes, and run in, media type with bytes out."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its place in the chain, and the payload that goes with it, sealed to the key of `epoch`.

    Its `seq` is the longest that there is, so that a header which fits now fits wherever it will stand.
    """

    event: Event
    sealed: Sealed | None
    epoch: int = 0
    plaintext: bytes = b""


class Writer:
    """Turns drafts into events of one author. Belongs to whoever holds the author's door."""

    def __init__(self, signer: Signer, trust: Trust, spool: Spool, clock: Clock, new_id: NewId) -> None:
        """The spool is the author's, for this log."""
        self._signer, self._trust, self._spool, self._clock, self._new_id = signer, trust, spool, clock, new_id
        self._sealing = trust.epoch, PayloadSealer(bytes.fromhex(trust.epoch_public_key))
        self.screen: Screen | None = None
        self.look: Callable[[], Trust] = lambda: trust
        self._ended = False

    def draft(
        self, kind: type[Event], session: UUID, *, document: Document | None = None,
        payload: tuple[str, bytes] | None = None, cause: Sequence[UUID] = (), refs: Sequence[str] = (), **fields: Any,
    ) -> Draft:  # fmt: skip
        """Return the event as of now, its payload sealed, whole but for its place. See `Recorder.record`.

        Raises HeaderRefused or PayloadRefused for what no event can hold.
        """
        if document is not None:
            payload = to_payload(document)
        if payload is not None and self.screen is not None:
            payload = self.screen(kind, payload, fields.get("run"))
        (epoch, sealer), sealed, plaintext = self._sealing, None, b""
        if payload is not None:
            media_type, plaintext = payload
            sealed, commit = sealer.seal(plaintext)
            fields |= {"payload_type": media_type, "payload_len": len(plaintext), "payload_commit": commit}
        given = {name: value for name, value in fields.items() if value is not None}
        event = kind(
            v=1, log_origin=self._trust.origin, author=self._signer.author, key_id=self._signer.key_id, session=session,
            seq=SEQ_MAX, prev=FIRST_PREV, at=self._clock.now(), id=self._new_id(), cause=tuple(cause), refs=tuple(refs),
            **given,
        )  # fmt: skip
        headers.encode(event)
        return Draft(event, sealed, epoch, plaintext)

    def write(self, session: UUID, drafts: Sequence[Draft]) -> list[Event]:
        """Give these their places, sign them with one signature, put them on disk, all or none; return the events.

        Raises SpoolFull, and nothing happened.
        """
        self.follow_epoch(session)
        events = self._write(session, [self._present(draft) for draft in drafts])
        self._ended = self._ended or any(isinstance(event, SessionClosed) for event in events)
        return events

    def follow_epoch(self, session: UUID | None) -> None:
        """Seal to the epoch that is now, if it is a later one, and put that on record first.

        Nothing that stands behind this event in the session is sealed to an earlier epoch, so that its key may go. Before the
        session's first event there is nothing to say, and without room in the spool everything stays until the next time.
        """
        trust, before = self.look(), self._sealing
        if trust.epoch <= before[0] or session is None or self._ended or self._spool.chain(session) == SessionHead():
            return
        try:
            self._sealing = trust.epoch, PayloadSealer(bytes.fromhex(trust.epoch_public_key))
            self._write(session, [self.draft(SessionEpochFollowed, session, epoch=trust.epoch)])
        except SpoolFull:
            self._sealing = before

    def _present(self, draft: Draft) -> Draft:
        """A payload that was sealed to an epoch which is over by now is sealed again; its event commits to that."""
        epoch, sealer = self._sealing
        if draft.sealed is None or draft.epoch == epoch:
            return draft
        sealed, commit = sealer.seal(draft.plaintext)
        return Draft(msgspec.structs.replace(draft.event, payload_commit=commit), sealed, epoch, draft.plaintext)

    def _write(self, session: UUID, drafts: Sequence[Draft]) -> list[Event]:
        # The chain is read from the spool every time: whatever interrupted an earlier call, this cannot fork it.
        head = self._spool.chain(session)
        events, encoded = list[Event](), list[bytes]()
        for draft in drafts:
            event = msgspec.structs.replace(draft.event, seq=head.seq + 1, prev=head.header_hash)
            encoded.append(headers.encode(event))
            events.append(event)
            head = SessionHead(event.seq, headers.header_hash(encoded[-1]))
        signatures = sign_headers(self._signer, encoded)
        self._spool.append(
            *(
                self._outgoing(event, Envelope(header, signature, draft.epoch if draft.sealed else 0, draft.sealed))
                for draft, event, header, signature in zip(drafts, events, encoded, signatures, strict=True)
            )
        )
        return events

    @staticmethod
    def _outgoing(event: Event, envelope: Envelope) -> Outgoing:
        record = envelope.to_bytes()
        digest, moment = hashlib.sha256(record).digest(), micros(event.at)
        return Outgoing(
            event.session, event.seq, event.id, digest, moment, record, headers.header_hash(envelope.header)
        )


class SheafWriter:
    """Collects events in a block and puts them on record when it ends, at most SHEAF_HEADERS_MAX (64) under a signature.

    with recorder.sheaf() as sheaf:
        for finding in findings:
            sheaf.record(DecisionMade, subject="commit", ...)

    Nothing of a sheaf is on record before it is full or the block ends; a process that dies before loses it. That is why
    only kinds that nothing waits for may be in one (`events.IN_SHEAF`). An error in the block does not take back what was
    collected before it. What the recorder itself records meanwhile comes first. Belongs to one thread.
    """

    def __init__(
        self, draft: Callable[..., Draft], keep: Callable[[Sequence[Draft]], list[Event]], events_max: int
    ) -> None:
        """`draft` and `keep` are the recorder's; `events_max` is how many events get one signature, 1 to 64."""
        if not 1 <= events_max <= SHEAF_HEADERS_MAX:
            raise NotConfigured(f"A sheaf has at most {SHEAF_HEADERS_MAX} events, not {events_max}.")
        self._draft, self._keep, self._events_max = draft, keep, events_max
        self._drafts: list[Draft] = []
        self._open = False
        self.events: list[Event] = []

    def record(self, kind: type[Event], **what: Any) -> UUID:
        """Collect one event, told as for `Recorder.record`, and return its id, which others can name as their cause.

        `events` holds it once it is on record. Raises Refused for a kind that is signed alone, and like `Recorder.record`.
        """
        if not self._open:
            raise NotConfigured("Nothing is collected outside of the block: use `with recorder.sheaf() as sheaf`.")
        if kind not in IN_SHEAF:
            name = kind.__struct_config__.tag
            raise Refused(f"{name} is signed alone: record it with `recorder.record`. docs/events.md says which kinds are not.")
        self._drafts.append(self._draft(kind, **what))
        event = self._drafts[-1].event.id
        if len(self._drafts) == self._events_max:
            self.flush()
        return event

    def send(self, to: str, topic: str, document: Document, **what: Any) -> UUID:
        """Collect a message to another author; see `Recorder.send`."""
        return self.record(MessageSent, to=to, topic=topic, document=document, **what)

    def flush(self) -> None:
        """Put on record what was collected: signed and on disk on return. Raises Busy; then it is still collected."""
        if self._drafts:
            self.events += self._keep(self._drafts)
            self._drafts = []

    def __enter__(self) -> Self:
        """Begin to collect."""
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put on record what is left, whatever ended the block."""
        self._open = False
        self.flush()

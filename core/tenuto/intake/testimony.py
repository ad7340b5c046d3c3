"""What ingest itself has to say, in a session of its own: records it refused, gaps, and two events for one place.

Its events go straight into the batch that they are about, so that evidence and offset are one transaction: a refused
record is on record exactly once. The session is opened by the first of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .. import header as headers
from ..clock import NewId
from ..errors import Busy, Refused
from ..events import Event, SessionOpened
from ..keyring import Keyring
from ..ledger import NewEntry, SessionHead
from ..signing import Signer, sign_header
from ..verification import Sessions

SOFTWARE = "tenuto-ingest"


class CannotTestify(Busy):
    """Something must be put on record, and the ledger does not know ingest's key (yet); the records are kept and wait."""


class Testimony:
    """Ingest as an author. Where its session stands is read from the ledger like that of any other."""

    def __init__(self, signer: Signer, origin: str, new_id: NewId, *, software: str = SOFTWARE) -> None:
        """`signer` must be registered with the role `ingest` before anything can be said."""
        self._signer, self._origin, self._new_id, self._software = signer, origin, new_id, software
        self.session = new_id()

    def able(self, keyring: Keyring) -> bool:
        """Whether the ring lets this signer say what ingest has to say."""
        try:
            return keyring.find(self._signer.author, self._signer.key_id).role == "ingest"
        except Refused:
            return False

    def demand_able(self, keyring: Keyring) -> None:
        """Raise CannotTestify, with the remedy, unless `able`."""
        if not self.able(keyring):
            raise CannotTestify(
                f"A record must be refused on record, but the key {self._signer.key_id} of {self._signer.author} is not"
                " valid in the ledger. Nothing is lost: it waits until the root has registered this key with the role"
                " `ingest` (`tenuto init` does)."
            )

    def say(self, kind: type[Event], sessions: Sessions, at: datetime, **fields: Any) -> list[NewEntry]:
        """Return the event as the next of the session, after `session.opened` if it is the first; `sessions` advances."""
        entries = []
        if self.session not in sessions.heads:
            entries.append(self._next(SessionOpened, sessions, at, software=self._software))
        entries.append(self._next(kind, sessions, at, **fields))
        return entries

    def _next(self, kind: type[Event], sessions: Sessions, at: datetime, **fields: Any) -> NewEntry:
        head = sessions.heads.get(self.session, SessionHead())
        event = kind(
            v=1, log_origin=self._origin, author=self._signer.author, key_id=self._signer.key_id,
            session=self.session, seq=head.seq + 1, prev=head.header_hash, at=at, id=self._new_id(), **fields,
        )  # fmt: skip
        header = headers.encode(event)
        hashed = headers.header_hash(header)
        sessions.advance(event, hashed)
        state = header + sign_header(self._signer, header)
        return NewEntry(event.session, event.seq, event.kind, event.author, state, hashed)

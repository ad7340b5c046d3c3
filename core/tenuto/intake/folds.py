"""What ingest keeps of the ledger between batches: the key ring, the equivocations on record, and, once somebody reports a
purge, what decides whether it counts. Nothing is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import header as headers
from ..envelope import split_state
from ..errors import Refused
from ..events import Event, RecordEquivocation
from ..keyring import Keyring
from ..ledger import LedgerReader, Recorded
from ..log.merkle import leaf_hash
from ..purges import FOLDED, Purges
from ..signing import verify_header
from ..verification import VerificationFailed
from ..verified import Verified
from .judging import Double, PurgeStanding, Stored

KEY_KINDS = ("key.registered", "key.rotated", "key.revoked")
PURGE_KINDS = tuple(sorted(str(kind.__struct_config__.tag) for kind in FOLDED))
EQUIVOCATION_KINDS = ("record.equivocation",)
PAGE_EVENTS = 500


class KeyFold:
    """The ring after the first `folded_to` events, from key events that were each verified here.

    The store's word on which events are key events is only a hint: an invented one fails its signature and stops ingest;
    a hidden one lets in what every reader then refuses.
    """

    def __init__(self, store: LedgerReader, origin: str, root_public_key: bytes) -> None:
        """Starts before the first event; call `refresh`."""
        self._store, self._origin = store, origin
        self.keyring = Keyring(root_public_key)
        self.folded_to = 0

    def refresh(self) -> None:
        """Read on to the present end; raises VerificationFailed for a stored key event that does not hold."""
        size = self._store.head().size
        while entries := self._store.read_kinds(KEY_KINDS, self.folded_to, PAGE_EVENTS):
            for entry in entries:
                self._take(entry)
                self.folded_to = entry.position + 1
        self.folded_to = max(self.folded_to, size)

    def advance(self, keyring: Keyring, folded_to: int) -> None:
        """Take over the ring after a batch of our own that ended at `folded_to`; the store saw no other key event."""
        self.keyring, self.folded_to = keyring, folded_to

    def _take(self, entry: Recorded) -> None:
        _verified(entry, self._origin, self.keyring)


class PurgeFold:
    """What approvals, holds and starts say about purges, from events that were each verified here.

    It stays empty until the first purge is reported: nothing else asks, and approvals are many.
    """

    def __init__(self, store: LedgerReader, origin: str, root_public_key: bytes) -> None:
        """Starts before the first event; call `standing`."""
        self._store, self._origin, self._read_to = store, origin, 0
        self._keyring, self._purges = Keyring(root_public_key), Purges()

    def standing(self, positions: Iterable[int]) -> PurgeStanding:
        """Read on to the present end and return it, with what is stored at these positions; raises VerificationFailed."""
        while entries := self._store.read_kinds(PURGE_KINDS, self._read_to, PAGE_EVENTS):
            for entry in entries:
                self._take(entry)
            self._read_to = entries[-1].position + 1
        stored = (entry for position in positions for entry in self._store.read(position, 1, payloads=False))
        return PurgeStanding(self._purges, {entry.position: _stored(entry) for entry in stored})

    def _take(self, entry: Recorded) -> None:
        verified = _verified(entry, self._origin, self._keyring)
        try:
            self._purges.apply(verified)
        except Refused as refusal:
            raise VerificationFailed(5, str(refusal), entry.position) from refusal


class DoubleFold:
    """The equivocations on record, so that one that is delivered again is not recorded again."""

    def __init__(self, store: LedgerReader) -> None:
        """Starts before the first event; call `refresh`."""
        self._store, self._read_to = store, 0
        self.known: set[Double] = set()

    def refresh(self) -> None:
        """Read on to the present end."""
        while entries := self._store.read_kinds(EQUIVOCATION_KINDS, self._read_to, PAGE_EVENTS):
            for entry in entries:
                event = headers.decode(split_state(entry.state)[0])
                if isinstance(event, RecordEquivocation):
                    self.known.add((event.gap_session, event.at_seq, event.other_header))
            self._read_to = entries[-1].position + 1


def _verified(entry: Recorded, origin: str, keyring: Keyring) -> Verified:
    """Take a stored event by itself, steps 1 to 3, and let it change the ring; raises VerificationFailed."""
    step = 1
    try:
        header, signature = split_state(entry.state)
        event: Event = headers.decode(header)
        if event.log_origin != origin:
            raise Refused(f"the event was written for the log {event.log_origin}")
        step = 2
        key = keyring.verify_entitlement(event)
        step = 3
        verify_header(header, signature, key.public_key)
        step = 2
        keyring.apply(event, entry.position)
    except Refused as refusal:
        raise VerificationFailed(step, str(refusal), entry.position) from refusal
    return Verified(
        position=entry.position, recorded_at=entry.recorded_at, event=event, header=header, signature=signature,
        header_hash=headers.header_hash(header), leaf=leaf_hash(entry.entry), key=key,
    )  # fmt: skip


def _stored(entry: Recorded) -> Stored:
    header = split_state(entry.state)[0]
    event = headers.decode(header)
    return Stored(headers.header_hash(header), event.run, event.has_payload)

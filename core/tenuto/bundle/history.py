"""Steps 1 to 6 for the events of a bundle: what `verification.LogWalk` is for a log without holes, for one that is all holes.

The key ring is folded from the key events that are in the bundle, each of which is proven like any other. So nobody's key
table is trusted; but from a part of a log one cannot see what the rest says, and what follows from that is counted here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .. import header as headers
from ..clock import from_micros
from ..envelope import split_state
from ..errors import Refused
from ..events import IN_SHEAF, Event, RecordPurged
from ..keyring import ROOT, Key, Keyring
from ..ledger import parse_entry
from ..log.checkpoint import Checkpoint
from ..log.merkle import leaf_hash
from ..log.proof import ProofRefused, parse_log_proof, verify_inclusion
from ..signing import verify_header
from ..verification import Sessions, VerificationFailed, Verified
from .layout import opened_payload


@dataclass(frozen=True, slots=True)
class Shown:
    """The files of one event; `payload` is None where none is shown."""

    position: int
    entry: bytes
    proof: bytes
    payload: bytes | None = None


@dataclass
class History:
    """Takes the events of a bundle in the order of their positions.

    linked, unlinked: events whose predecessor in the session is in the bundle (or that have none), and the others.
    purged: position of a payload -> position of the purge that covers it.
    """

    keyring: Keyring
    origin: str
    checkpoint: Checkpoint
    note: bytes
    sessions: Sessions = field(default_factory=Sessions)
    linked: int = 0
    unlinked: int = 0
    purged: dict[int, int] = field(default_factory=dict)
    _recorded_at: datetime | None = None

    def take(self, shown: Shown) -> Verified:
        """Return the next event, verified; raises VerificationFailed naming the first step that fails."""
        recorded_at, header, signature, event = self._decode(shown)  # (1)
        key = self._entitled(event, shown.position)  # (2)
        try:
            verify_header(header, signature, key.public_key, type(event) in IN_SHEAF)  # (3)
        except Refused as refusal:
            raise VerificationFailed(3, str(refusal), shown.position) from refusal
        header_hash = headers.header_hash(header)
        self._continue(event, header_hash, shown.position)  # (4)
        payload = self._payload(event, shown)  # (5)
        leaf = leaf_hash(shown.entry)
        self._include(leaf, recorded_at, shown)  # (6)
        return Verified(
            position=shown.position, recorded_at=recorded_at, event=event, header=header, signature=signature,
            header_hash=header_hash, leaf=leaf, key=key, payload=payload,
        )  # fmt: skip

    def _decode(self, shown: Shown) -> tuple[datetime, bytes, bytes, Event]:
        try:
            at, state = parse_entry(shown.entry)
            header, signature = split_state(state)
            event, recorded_at = headers.decode(header), from_micros(at)
        except (Refused, ValueError, OverflowError) as refusal:
            raise VerificationFailed(1, str(refusal), shown.position) from refusal
        if event.log_origin != self.origin:
            raise VerificationFailed(1, f"the event was written for the log {event.log_origin}", shown.position)
        return recorded_at, header, signature, event

    def _entitled(self, event: Event, position: int) -> Key:
        try:
            key = self.keyring.verify_entitlement(event)
            self.keyring.apply(event, position)
        except Refused as refusal:
            raise VerificationFailed(2, str(refusal), position) from refusal
        if isinstance(event, RecordPurged):
            self.purged.update(dict.fromkeys(event.positions, position))
        return key

    def _continue(self, event: Event, header_hash: str, position: int) -> None:
        """Step 4 where it can be taken. The root's sessions must be whole: a key event could be missing between two of its."""
        before = self.sessions.heads.get(event.session)
        try:
            self.sessions.verify_author(event)
            if event.author == ROOT or event.seq == 0 or (before is not None and event.seq <= before.seq + 1):
                self.sessions.verify_next(event)
                self.linked += 1
            else:
                self.unlinked += 1
        except Refused as refusal:
            raise VerificationFailed(4, str(refusal), position) from refusal
        self.sessions.advance(event, header_hash)

    def _payload(self, event: Event, shown: Shown) -> bytes | None:
        if shown.payload is None:
            return None
        try:
            return opened_payload(shown.payload, event)
        except Refused as refusal:
            raise VerificationFailed(5, str(refusal), shown.position) from refusal

    def _include(self, leaf: bytes, recorded_at: datetime, shown: Shown) -> None:
        position, tree = shown.position, self.checkpoint
        if self._recorded_at is not None and recorded_at < self._recorded_at:
            raise VerificationFailed(6, "the ledger's own time runs back here", position)
        self._recorded_at = recorded_at
        try:
            proof = parse_log_proof(shown.proof)
            if proof.extra:
                raise ProofRefused("The proof carries extra bytes, which nothing vouches for.")
            if proof.index != position:
                raise ProofRefused(f"The proof is for entry {proof.index}.")
            if proof.note != self.note:
                raise ProofRefused("The proof leads to another checkpoint than that of the bundle.")
            verify_inclusion(leaf, position, tree.size, proof.hashes, tree.root)
        except ProofRefused as refusal:
            raise VerificationFailed(6, str(refusal), position) from refusal

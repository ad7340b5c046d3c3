"""One record of an inbox: an event with everything its receiver needs to check it without asking anybody.

    "TNI1" | u64 position | u64 after | u64 recorded_at, microseconds since 1970
           | u16 note length | checkpoint note | u8 number of hashes | inclusion proof, 32 bytes each | envelope

All integers are big-endian. The envelope is the author's own bytes (`tenuto.envelope`); where the event is a message,
the payload lies beside it with its key sealed to the receiver instead of the ledger.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from . import header as headers
from .bus import VALUE_BYTES_MAX
from .clock import from_micros, micros
from .envelope import Envelope, parse
from .errors import Refused
from .events import IN_SHEAF, Event
from .keyring import Keyring
from .ledger import entry_bytes
from .log.checkpoint import parse_checkpoint
from .log.merkle import leaf_hash
from .log.proof import PROOF_HASHES_MAX, verify_inclusion
from .settings import INBOX_TOPIC_PREFIX
from .signing import verify_header
from .spool import InboxState
from .trust import Trust

MAGIC = b"TNI1"
HASH_BYTES = 32
NOTE_BYTES_MAX = 12 * 1024
POSITION_MAX = 2**53 - 1  # positions are JSON numbers in `message.delivered`
_HEAD = struct.Struct(">4sQQQH")
_MICROS_MAX = micros(datetime.max.replace(tzinfo=from_micros(0).tzinfo))
# Kafka's topic names have none of these four; authors' names have no capitals, so no two of them share an inbox.
_TOPIC_LETTERS = str.maketrans({":": "C", "/": "S", "@": "A", "+": "P"})


class EnclosureRefused(Refused):
    """The bytes are not one whole enclosure."""

    reason = "malformed"


class DeliveryRefused(Refused):
    """A record of the inbox failed; `reason` is one of `message.refused`.

    position, message: what the record claimed to be, where that could be read.
    """

    position: int | None = None
    message: UUID | None = None


@dataclass(frozen=True, slots=True)
class Enclosure:
    """An event as delivery hands it over. Nothing in it is trusted until the receiver verified it.

    after: one more than the position of the record before it in this inbox, 0 for the first, so that a hole shows.
    note: the checkpoint, a signed note. proof: the leaf's inclusion in the tree of that checkpoint, RFC 6962 order.
    """

    position: int
    after: int
    recorded_at: datetime
    note: bytes
    proof: tuple[bytes, ...]
    envelope: Envelope

    @property
    def leaf(self) -> bytes:
        """The leaf hash that the event has in the tree if it was recorded then, with these bytes."""
        return leaf_hash(entry_bytes(micros(self.recorded_at), self.envelope.state))

    def to_bytes(self) -> bytes:
        """Return the record as it travels; raises EnclosureRefused for a part over its limit."""
        _demand_limits(len(self.note), len(self.proof))
        head = _HEAD.pack(MAGIC, self.position, self.after, micros(self.recorded_at), len(self.note))
        return head + self.note + bytes([len(self.proof)]) + b"".join(self.proof) + self.envelope.to_bytes()


def parse_enclosure(record: bytes) -> Enclosure:
    """Return the enclosure in `record`; raises EnclosureRefused or EnvelopeRefused for anything but exactly one."""
    if len(record) > VALUE_BYTES_MAX:
        raise EnclosureRefused(
            f"The record has {len(record):,} bytes; at most {VALUE_BYTES_MAX:,}.", reason="oversized"
        )
    if len(record) < _HEAD.size or record[:4] != MAGIC:
        raise EnclosureRefused("The record does not begin as an enclosure of version 1.")
    _, position, after, moment, note_length = _HEAD.unpack_from(record)
    if position > POSITION_MAX or after > position or moment > _MICROS_MAX:
        sentence = f"Position {position} after {after}, {moment} microseconds after 1970: no ledger has that."
        raise EnclosureRefused(sentence)
    note_end = _HEAD.size + note_length
    if len(record) <= note_end:
        raise EnclosureRefused(f"The record ends after {len(record):,} bytes, inside its checkpoint.")
    hashes = record[note_end]
    _demand_limits(note_length, hashes)
    end = note_end + 1 + hashes * HASH_BYTES
    if len(record) < end:
        raise EnclosureRefused(f"The record ends after {len(record):,} bytes, inside its proof of {hashes} hashes.")
    starts = range(note_end + 1, end, HASH_BYTES)
    proof = tuple(record[start : start + HASH_BYTES] for start in starts)
    envelope = parse(record[end:])
    if envelope.epoch != 0:
        raise EnclosureRefused("The payload key is marked as sealed to the ledger, not to the receiver.")
    return Enclosure(position, after, from_micros(moment), record[_HEAD.size : note_end], proof, envelope)


def verify_enclosure(
    enclosure: Enclosure, trust: Trust, ring: Keyring, state: InboxState
) -> tuple[Event, Keyring, InboxState]:
    """Walk the steps that need no secret; return the event, the ring after it, and the checkpoint as the largest seen.

    Raises DeliveryRefused with a reason of `message.refused`. Neither `ring` nor `state` is changed.
    """
    with refusing("checkpoint"):  # (7), (9)
        checkpoint = parse_checkpoint(enclosure.note, trust.log_key, trust.origin)
        if checkpoint.size < state.tree_size or (checkpoint.size == state.tree_size and checkpoint.root != state.root):
            raise Refused(
                f"The log signed {state.tree_size} events before, and now {checkpoint.size} that do not extend them."
            )
    with refusing("proof"):  # (6)
        verify_inclusion(enclosure.leaf, enclosure.position, checkpoint.size, enclosure.proof, checkpoint.root)
    with refusing("malformed"):  # (1)
        event = headers.decode(enclosure.envelope.header)
        if event.log_origin != trust.origin:
            raise Refused(f"The event was written for the log {event.log_origin}.")
    with refusing("key"):  # (2)
        key = ring.verify_entitlement(event)
        if event.kind.startswith("key."):
            ring = ring.copy()  # a refused event may leave a ring half changed
            ring.apply(event, enclosure.position)
    with refusing("signature"):  # (3)
        envelope = enclosure.envelope
        verify_header(envelope.header, envelope.signature, key.public_key, type(event) in IN_SHEAF)
    return event, ring, replace(state, tree_size=checkpoint.size, root=checkpoint.root)


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Turn a refusal inside into one for this reason; entitlement keeps its own name."""
    try:
        yield
    except Refused as refusal:
        known = "entitlement" if refusal.reason == "entitlement" else reason
        raise DeliveryRefused(str(refusal), reason=known) from refusal


def inbox_topic(author: str) -> str:
    """Return the topic of an author's inbox; different authors have different ones."""
    return INBOX_TOPIC_PREFIX + author.translate(_TOPIC_LETTERS)


def _demand_limits(note_length: int, hashes: int) -> None:
    if note_length > NOTE_BYTES_MAX:
        raise EnclosureRefused(
            f"The checkpoint has {note_length:,} bytes; at most {NOTE_BYTES_MAX:,}.", reason="oversized"
        )
    if hashes > PROOF_HASHES_MAX:
        raise EnclosureRefused(f"The proof has {hashes} hashes; at most {PROOF_HASHES_MAX}.", reason="oversized")

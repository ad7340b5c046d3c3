"""READ THIS FIRST. The ledger: what is in it, in which order, and what never happens.

Invariants, each with a test of the same number in tests/contracts/ledger_contract.py:

 1. Positions have no gaps: they are 0, 1, 2, ... in commit order.
 2. The position of an event is its leaf index in the Merkle tree.
 3. A stored byte never changes and a stored event never goes away. (Retention moves the oldest partitions into archives,
    whole and verified, from which every reader goes on being answered.)
 4. The head (tree size and frontier) is always that of exactly the events stored.
 5. An event enters once: what a consumer offset brought in is never brought in again.
 6. Each session is one unbroken chain; its stored head is that of its last event.
 7. `recorded_at` does not run back.

The store assigns positions under one locked head row, so that commit order is index order and any number of ingest
processes may compete. No sequence object is involved: an abort leaves no hole.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from .clock import micros
from .errors import Busy, TenutoError
from .events import FIRST_PREV

BATCH_EVENTS_MAX = 2000
ENTRY_FORMAT = 1
_ENTRY_HEAD = struct.Struct(">BQH")


class AlreadyAppended(TenutoError):
    """The consumer offset of this batch is in the ledger: it was committed before. Read the offset again and go on."""


class HeadsMoved(Busy):
    """Another writer moved a session head or a key since the caller looked; nothing was written. Look again and repeat."""


class LedgerFull(TenutoError):
    """The tables have no partition for the next positions: nothing was written, and nothing is lost, until one is made."""


class NotOwner(TenutoError):
    """Another process owns this partition now; the caller must stop."""


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """An encrypted payload as the ledger keeps it: its key wrapped under the storage key, nonce, ciphertext."""

    wrapped_key: bytes
    nonce: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An event that passed every check and is about to enter. `state` is `header || signature`, verbatim."""

    session: UUID
    seq: int
    kind: str
    author: str
    state: bytes
    header_hash: str
    payload: StoredPayload | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the ledger. Nothing about it is trusted until it was verified."""

    position: int
    recorded_at: datetime
    state: bytes
    payload: StoredPayload | None = None

    @property
    def entry(self) -> bytes:
        """The Merkle leaf's input; see `entry_bytes`."""
        return entry_bytes(micros(self.recorded_at), self.state)


@dataclass(frozen=True, slots=True)
class SessionHead:
    """Where a session stands: number and header hash of its last event, and whose it is. The default is before the first."""

    seq: int = -1
    header_hash: str = FIRST_PREV
    author: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """A record that came before its predecessors; kept until they arrive or the gap's bound has passed."""

    session: UUID
    seq: int
    record: bytes
    topic: str
    partition: int
    offset: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """The head row: how many events there are and the Merkle frontier over them (32-byte hashes, largest tree first).

    recorded_at: the time of the last event, below which no writer's clock may fall; None where a reader does not know it.
    """

    size: int
    frontier: bytes
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one append does, as one transaction.

    entries: the events, in order, at most BATCH_EVENTS_MAX. heads_before: for every session among them, and every other
    that the caller consulted, the head it built on. tracking: name and next offset of the consumer that brought them.
    keys_folded_to: the ledger size up to which the caller has seen key events. park, unpark: records to keep for later,
    and places of kept ones to drop.
    """

    entries: Sequence[NewEntry]
    heads_before: dict[UUID, SessionHead]
    recorded_at: datetime
    keys_folded_to: int
    tracking: tuple[str, int] | None = None
    park: Sequence[Parked] = ()
    unpark: Sequence[tuple[UUID, int]] = field(default=())

    def __post_init__(self) -> None:
        """Hold the limit; a larger batch would keep the head row locked for too long."""
        if len(self.entries) > BATCH_EVENTS_MAX:
            raise ValueError(f"A batch has at most {BATCH_EVENTS_MAX:,} events, not {len(self.entries):,}.")


class LedgerReader(Protocol):
    """The one door out."""

    def head(self) -> Head:
        """Return the head row as committed."""
        ...

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return up to `limit` events from position `start` on, in order, gapless; fewer only at the end."""
        ...

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Like `read`, only events that are stored under these kinds. A hint, never a proof that there are no others."""
        ...


class LedgerStore(LedgerReader, Protocol):
    """Where ingest writes. On return of `append` everything in the batch is durable; if it raises, nothing is."""

    def append(self, batch: Batch) -> range:
        """Append and return the positions given.

        Raises AlreadyAppended, HeadsMoved (also when a record to unpark is not there), NotOwner, LedgerFull; any of them
        means that nothing was written. Busy means that it was not learned: `claim` again, which tells by the offset. May be repeated
        harmlessly with the same batch: the consumer offset makes the second attempt raise AlreadyAppended.
        """
        ...

    def claim(self, tracking_name: str) -> int:
        """Become the owner of this consumer position and return the next offset to read, 0 if never read.

        Raises NotOwner while another process owns it. Ownership ends with the database session that took it; from then
        on `append` raises NotOwner until it was claimed again.
        """
        ...

    def session_heads(self, sessions: Sequence[UUID]) -> dict[UUID, SessionHead]:
        """Return the heads of these sessions; unknown sessions are left out."""
        ...

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        """Return what is stored at these places (session, seq), to tell a redelivery from an equivocation."""
        ...

    def parked(self) -> list[Parked]:
        """Return the records that wait for their predecessors, oldest first."""
        ...


def entry_bytes(recorded_micros: int, state: bytes) -> bytes:
    """Return the Merkle leaf's input: `format(1) || recorded_at in microseconds(8) || length(2) || header || signature`.

    `recorded_at` is inside, so the ledger's own clock is as tamper-evident as the event.
    """
    return _ENTRY_HEAD.pack(ENTRY_FORMAT, recorded_micros, len(state)) + state


def parse_entry(entry: bytes) -> tuple[int, bytes]:
    """The inverse of `entry_bytes`: microseconds and state; raises ValueError for anything else."""
    if len(entry) < _ENTRY_HEAD.size:
        raise ValueError("the entry is shorter than its head")
    version, recorded_micros, length = _ENTRY_HEAD.unpack_from(entry)
    state = entry[_ENTRY_HEAD.size :]
    if version != ENTRY_FORMAT or length != len(state):
        raise ValueError(f"the entry has format {version} and {len(state)} bytes where {length} were announced")
    return recorded_micros, state

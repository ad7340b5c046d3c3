"""A ledger in memory, for tests and seeded simulations: the rules of the real one, under the same contract tests.

It is NOT DURABLE: everything is gone with the process, and it says so when it is made. Each `MemoryLedger` is one
"database session"; sessions of one `Rows` compete as processes compete over one database.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from uuid import UUID

from ..clock import EPOCH
from ..ledger import (
    AlreadyAppended,
    Batch,
    Head,
    HeadsMoved,
    NewEntry,
    NotOwner,
    Parked,
    Recorded,
    SessionHead,
)
from ..log.merkle import Frontier, leaf_hash

log = logging.getLogger(__name__)


@dataclass
class Rows:
    """What several sessions share; `lock` is held for every look and every change."""

    lock: Lock = field(default_factory=Lock)
    entries: list[tuple[NewEntry, Recorded]] = field(default_factory=list)
    frontier: Frontier = field(default_factory=Frontier)
    recorded_at: datetime = EPOCH
    heads: dict[UUID, SessionHead] = field(default_factory=dict)
    places: dict[tuple[UUID, int], bytes] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    owners: dict[str, MemoryLedger] = field(default_factory=dict)
    parked: dict[tuple[UUID, int], Parked] = field(default_factory=dict)


class MemoryLedger:
    """`LedgerStore` over rows in memory. Not durable."""

    def __init__(self, rows: Rows | None = None) -> None:
        """Open another session on `rows`, or on an empty ledger of its own."""
        self.rows = Rows() if rows is None else rows
        log.warning("This ledger is in memory: it is not durable, and nothing in it survives this process.")

    def close(self) -> None:
        """End this session: what it owned is free for others."""
        with self.rows.lock:
            self.rows.owners = {name: owner for name, owner in self.rows.owners.items() if owner is not self}

    def head(self) -> Head:
        """Return size and frontier."""
        with self.rows.lock:
            return Head(self.rows.frontier.size, self.rows.frontier.to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        """Return up to `limit` events from `start` on."""
        with self.rows.lock:
            found = [stored for _, stored in self.rows.entries[start : start + limit]]
        return found if payloads else [replace(stored, payload=None) for stored in found]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events of these kinds from `start` on."""
        with self.rows.lock:
            return [stored for entry, stored in self.rows.entries[start:] if entry.kind in kinds][:limit]

    def append(self, batch: Batch) -> range:
        """Append; see `LedgerStore.append`."""
        with self.rows.lock:
            self._demand(batch)
            size = len(self.rows.entries)
            recorded_at = max(batch.recorded_at, self.rows.recorded_at)
            added = [
                (entry, Recorded(position, recorded_at, entry.state, entry.payload))
                for position, entry in enumerate(batch.entries, start=size)
            ]
            # Nothing below can fail, so the batch is in as a whole from here on.
            self.rows.entries += added
            self.rows.frontier = self.rows.frontier.extend(leaf_hash(stored.entry) for _, stored in added)
            if added:
                self.rows.recorded_at = recorded_at
            for entry in batch.entries:
                self.rows.heads[entry.session] = SessionHead(entry.seq, entry.header_hash, entry.author)
                self.rows.places[entry.session, entry.seq] = entry.state
            for place in batch.unpark:
                del self.rows.parked[place]
            for kept in batch.park:
                self.rows.parked.setdefault((kept.session, kept.seq), kept)
            if batch.tracking is not None:
                self.rows.offsets[batch.tracking[0]] = batch.tracking[1]
            return range(size, size + len(added))

    def _demand(self, batch: Batch) -> None:
        """Raise what `append` raises, in the order in which the real store finds it."""
        rows = self.rows
        if batch.tracking is not None:
            name, offset = batch.tracking
            if rows.owners.get(name) is not self:
                raise NotOwner(f"This session does not own {name}; it must be claimed again.")
            if offset <= rows.offsets.get(name, -1):
                raise AlreadyAppended(f"Offset {offset} of {name} is in the ledger already.")
        if any(place not in rows.parked for place in batch.unpark):
            raise HeadsMoved("A waiting record is not there any more.")
        if not batch.entries:
            return
        if any(entry.kind.startswith("key.") for entry, _ in rows.entries[batch.keys_folded_to :]):
            raise HeadsMoved(f"Keys changed after position {batch.keys_folded_to}.")
        for session, expected in batch.heads_before.items():
            if rows.heads.get(session, SessionHead()) != expected:
                raise HeadsMoved(f"Session {session} moved on since this batch was checked.")

    def claim(self, tracking_name: str) -> int:
        """Become the owner of this consumer position and return its next offset."""
        with self.rows.lock:
            if self.rows.owners.setdefault(tracking_name, self) is not self:
                raise NotOwner(f"Another session owns {tracking_name}.")
            return self.rows.offsets.get(tracking_name, 0)

    def session_heads(self, sessions: Sequence[UUID] | None = None) -> dict[UUID, SessionHead]:
        """Return the heads of these sessions, or of all."""
        with self.rows.lock:
            if sessions is None:
                return dict(self.rows.heads)
            return {session: self.rows.heads[session] for session in sessions if session in self.rows.heads}

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        """Return what is stored at these places."""
        with self.rows.lock:
            return {place: self.rows.places[place] for place in places if place in self.rows.places}

    def parked(self) -> list[Parked]:
        """Return the waiting records, oldest first."""
        with self.rows.lock:
            return sorted(self.rows.parked.values(), key=lambda kept: (kept.parked_at, kept.session, kept.seq))

    def columns(self, start: int, limit: int) -> list[tuple[int, UUID, int, str, bytes]]:
        """Return `(position, session, seq, kind, leaf hash)` as stored beside the events."""
        with self.rows.lock:
            return [
                (stored.position, entry.session, entry.seq, entry.kind, leaf_hash(stored.entry))
                for entry, stored in self.rows.entries[start : start + limit]
            ]

    def kept_payloads(self, positions: Sequence[int]) -> list[int]:
        """Return at which of these positions a payload lies."""
        with self.rows.lock:
            return [position for position in positions if self.rows.entries[position][1].payload is not None]

    def stray_payloads(self) -> int:
        """None can be: here a payload lies inside its event."""
        return 0

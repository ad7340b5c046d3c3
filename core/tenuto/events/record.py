"""What the ledger itself has to say about records: an attack on the road leaves evidence on the road."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from .base import Count, Event, Hash, Moment, Name

TARGETS_MAX = 32

RefusalReason = Literal[
    "malformed",
    "oversized",
    "unknown_kind",
    "unknown_version",
    "wrong_origin",
    "unknown_key",
    "revoked_key",
    "signature",
    "entitlement",
    "payload",
    "replayed",
    "broken_chain",
    "clock_skew",
]
"""malformed: the bytes are no envelope. oversized: over a named limit. unknown_kind, unknown_version: a newer or foreign
author. wrong_origin: written for another log. unknown_key, revoked_key: no key of this author at this position.
signature: the signature does not hold. entitlement: this role may not author this kind, or a purge without its approval. payload: the payload does not
match its commitment. replayed: an old record under a new transport. broken_chain: `prev` is not the last header.
clock_skew: reserved for authors whose claimed time is refused by policy."""


SpoolingReason = Literal["bus_away", "no_receipt", "earlier_life"]
"""bus_away: the bus did not take events. no_receipt: it took them, and the ledger's receipts did not come. earlier_life: the
process that wrote them ended, and they waited for this one."""


class RecordRefused(Event, frozen=True, kw_only=True, tag="record.refused"):
    """Ingest refused a record; its hash and place in Kafka identify it, its bytes are not repeated."""

    record_sha256: Hash
    reason: RefusalReason
    topic: Name
    partition: Count
    offset: Count
    claimed_author: Name | None = None
    claimed_session: UUID | None = None


class RecordGap(Event, frozen=True, kw_only=True, tag="record.gap"):
    """Events `first_seq` to `last_seq` of a session never arrived within the bound; later ones are accepted after this."""

    gap_session: UUID
    first_seq: Count
    last_seq: Count


class RecordEquivocation(Event, frozen=True, kw_only=True, tag="record.equivocation"):
    """One author signed two different events with the same place in its chain; the second is evidence, not history."""

    claimed_author: Name
    gap_session: UUID
    at_seq: Count
    recorded_header: Hash
    other_header: Hash


PurgeReason = Literal["secret", "personal_data", "legal", "mistake"]
"""secret: a credential lay in it. personal_data: somebody has the right to be forgotten. legal: an order or a contract
demands it. mistake: it should never have been recorded."""


class RecordPurged(Event, frozen=True, kw_only=True, tag="record.purged"):
    """The payloads at these positions were made unreadable under the named approval: their keys are destroyed.

    header_hashes: SHA-256 of the header at each position, in the same order; the approval's digest is over positions,
    hashes and reason. A purge without them, or whose approval was not granted and consumed by its author, does not count
    (`tenuto.purges`); ingest refuses it.
    """

    approval: Name
    positions: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]
    header_hashes: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=TARGETS_MAX)] = ()
    reason: PurgeReason | None = None


class RecordLost(Event, frozen=True, kw_only=True, tag="record.lost"):
    """A recorder lost its spool: these events of its own had no receipt and cannot be sent again. One that stands in the
    ledger nevertheless had arrived before.
    """

    lost_session: UUID
    first_seq: Count
    last_seq: Count


class RecordSpooled(Event, frozen=True, kw_only=True, tag="record.spooled"):
    """A recorder kept events back from `since` to `until`, longer than its bound, for want of receipts; none of them waits any
    longer. events: how many went through its spool in that time. bytes_max: the most that lay in it at once. periods: how
    many such times, one soon after the other, are told here in one.
    """

    events: Count
    bytes_max: Count
    since: Moment
    until: Moment
    why: SpoolingReason
    periods: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]


class RecordUnaccounted(Event, frozen=True, kw_only=True, tag="record.unaccounted"):
    """A recorder began with an empty spool, and the ledger had this earlier session of its author up to `last_seq` and without
    a close. Whether more of it was written is not known; if so, it is lost, unless it still arrives.
    """

    lost_session: UUID
    last_seq: Count

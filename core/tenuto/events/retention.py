"""What left the database: retention takes old events out of the tables, never out of the log."""

from __future__ import annotations

from .base import Count, Event, Hash


class RetentionApplied(Event, frozen=True, kw_only=True, tag="retention.applied"):
    """The events from `first` to `last` are in an archive that was verified, and their tables may be dropped from here on.

    minimum: the minimum index from then on (C2SP tlog-tiles): the first position that the database still holds.
    archive: SHA-256 of the archive's manifest, which names every file of it by its own. Of two such events over the same
    positions the later one names the archive that counts.
    """

    first: Count
    last: Count
    minimum: Count
    archive: Hash

"""A legal hold says what nobody may purge or drop, whatever else was decided; whether one is in force is a fold, `tenuto.holding`."""

from __future__ import annotations

from .base import Count, Event, Name


class HoldPlaced(Event, frozen=True, kw_only=True, tag="hold.placed"):
    """From here on nothing that it covers may be purged or dropped until it is lifted; the payload is the reason, in words.

    hold: its name. It covers every event of the header's `run`, those still to come too, and the positions from `first`
    to `last`, both included; where one of these two is left out, everything on that side. Naming neither a run nor a
    position, it covers the whole log: what was said carelessly keeps too much, never too little.
    """

    hold: Name
    first: Count | None = None
    last: Count | None = None


class HoldLifted(Event, frozen=True, kw_only=True, tag="hold.lifted"):
    """The hold is over. It counts from the custodian who placed it and from the root; the payload says why, in words."""

    hold: Name

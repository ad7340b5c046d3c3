"""The open requests in short, for a page that sorts all of them and shows a few.

Titles and sentences lie encrypted in the read model, and a thousand of them are a thousand times a key to derive. What an
inbox counts and sorts by needs none of that; what it shows is asked for by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from .inbox import APPROVAL, ITEMS_MAX, InboxItem, listed

PENDING_MAX = 1000
"""So many open requests are told apart at once; with more, the oldest are."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An open request in short: what its place among the others depends on."""

    approval: str
    position: int
    risks: tuple[str, ...]
    requested: datetime
    expires: datetime

    def state_at(self, now: datetime) -> str:
        """Return the state at `now`, if nothing but time has happened since the last applied event."""
        return "expired" if now > self.expires else "open"


def briefly(connection: Connection, limit: int = PENDING_MAX) -> tuple[Pending, ...]:
    """Return the open requests in short, oldest first, at most PENDING_MAX."""
    item = APPROVAL.c
    query = select(item.approval, item.position, item.risks, item.requested, item.expires).where(item.state == "open")
    rows = connection.execute(query.order_by(item.position).limit(min(limit, PENDING_MAX)))
    return tuple(Pending(row.approval, row.position, tuple(row.risks.split()), row.requested, row.expires) for row in rows)


def count_pending(connection: Connection) -> int:
    """Return how many requests are open."""
    return connection.scalar(select(func.count()).where(APPROVAL.c.state == "open")) or 0


def in_order(connection: Connection, names: Sequence[str]) -> tuple[InboxItem, ...]:
    """Return these requests whole, in this order, at most ITEMS_MAX; one that is not there any more is left out."""
    found = {item.approval: item for item in listed(connection, names[:ITEMS_MAX])}
    return tuple(found[name] for name in names if name in found)

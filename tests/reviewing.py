"""How an approval comes about properly, for tests that need one: the list of pieces, the console's views, the coverage.

Nothing here judges; it writes what a gate, a console and a reviewer would, from the card or from what is on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tenuto.approvals.coverage import first_coverage, next_coverage
from tenuto.approvals.pieces import entries_of, list_digest, pieces_of
from tenuto.documents import ApprovalCard
from tenuto.events import ApprovalListed, ApprovalRequested, Event
from tenuto.events.approval import PIECES_LISTED_MAX

CONSOLE = "console"


def listed(card: ApprovalCard, risks: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The fields of each `approval.listed` for a card, besides `approval` and `digest`."""
    entries = entries_of(pieces_of(card, risks))
    for start in range(0, len(entries), PIECES_LISTED_MAX):
        columns = zip(*entries[start : start + PIECES_LISTED_MAX], strict=True)
        yield dict(zip(("pieces", "names", "risks", "milliseconds"), columns, strict=True))


def committed(card: ApprovalCard, risks: Sequence[str] = ()) -> dict[str, Any]:
    """What the request says about that list."""
    entries = entries_of(pieces_of(card, risks))
    total = sum(entry[3] for entry in entries)
    return {"pieces": list_digest(entries), "pieces_count": len(entries), "review_milliseconds": total}


def shown(events: Iterable[Event], asked: ApprovalRequested, reviewer: str) -> tuple[list[dict[str, Any]], str]:
    """The fields of the console's `approval.viewed` for everything that is listed, and the coverage that they make."""
    coverage = first_coverage(asked.approval, asked.digest, reviewer)
    views = []
    for event in events:
        if isinstance(event, ApprovalListed) and (event.approval, event.author) == (asked.approval, asked.author):
            for piece, milliseconds in zip(event.pieces, event.milliseconds, strict=True):
                views.append(
                    {"approval": asked.approval, "digest": asked.digest, "piece": piece, "milliseconds": milliseconds, "reviewer": reviewer}
                )
                coverage = next_coverage(coverage, piece, milliseconds)
    return views, coverage

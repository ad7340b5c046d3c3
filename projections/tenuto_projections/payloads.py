"""What a read model may take out of a payload, and what it must forget again.

A payload can be purged; the event that commits to it stays. A copy in a read model would outlive the purge, so every
projection that copies asks here, remembers the position it copied from, and blanks it when a purge names that position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tenuto.documents import Document, from_payload, media_type
from tenuto.errors import Refused
from tenuto.events import RecordPurged
from tenuto.purges import purge_sentence
from tenuto.verification import Verified

NONE, AVAILABLE, CLOSED, PURGED = "none", "available", "closed", "purged"
"""No payload; opened and matching its commitment; not opened here; made unreadable by a purge on record."""

AnyDocument = TypeVar("AnyDocument", bound=Document)


def payload_state(verified: Verified) -> str:
    """Return NONE, AVAILABLE, CLOSED or PURGED."""
    if not verified.event.has_payload:
        return NONE
    if verified.purged:
        return PURGED
    return CLOSED if verified.payload is None else AVAILABLE


def document(verified: Verified, kind: type[AnyDocument]) -> AnyDocument | None:
    """Return the payload as `kind`; None if it is not there or its author wrote something else."""
    if payload_state(verified) != AVAILABLE or verified.event.payload_type != media_type(kind):
        return None
    try:
        return from_payload(verified.payload, kind)
    except Refused:
        return None


def purges_in(page: Sequence[Verified]) -> list[tuple[RecordPurged, str]]:
    """Return the purges in this page, each with its sentence."""
    purges = [(verified, verified.event) for verified in page if isinstance(verified.event, RecordPurged)]
    return [(event, purge_sentence(event, verified.recorded_at)) for verified, event in purges]


def purged_positions(page: Sequence[Verified]) -> list[int]:
    """Return the positions that purges in this page name."""
    purges = [verified.event for verified in page if isinstance(verified.event, RecordPurged)]
    return sorted({position for purge in purges for position in purge.positions})

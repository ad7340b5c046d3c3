"""The total checker: recompute everything from the stored events alone, and compare all that is stored beside them.

Called at the end of every test that writes; so those tests can be short.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from tenuto import header as headers
from tenuto.envelope import split_state
from tenuto.events import Event
from tenuto.ledger import LedgerReader, SessionHead
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.trust import Trust
from tenuto.verification import LogWalk, Verified

PAGE = 500


class CheckedReader(LedgerReader, Protocol):
    """A reader that also shows what is stored beside the events."""

    def columns(self, start: int, limit: int) -> list[tuple[int, UUID, int, str, bytes]]: ...

    def stray_payloads(self) -> int: ...

    def session_heads(self) -> dict[UUID, SessionHead]: ...


def check_ledger(reader: Any, trust: Trust, *, storage_key: bytes | None = None) -> list[Verified]:
    """Walk steps 1 to 6 from the first event to the head and return all events; any difference fails the test."""
    head = reader.head()
    walk = LogWalk(origin=trust.origin, root_public_key=trust.root, storage_key=storage_key)
    verified: list[Verified] = []
    while walk.size < head.size:
        entries = reader.read(walk.size, min(PAGE, head.size - walk.size))
        assert entries, f"the head says {head.size} events, reading ends after {walk.size}"
        check_columns(reader, walk.size, entries)
        verified += walk.take(entries)
    walk.verify_no_payload_missing()
    assert reader.read(head.size, 1) == [], "there are events behind the head"
    assert walk.frontier.size == head.size
    assert walk.frontier.to_bytes() == head.frontier, "the stored frontier is not that of the stored events"
    assert Frontier.from_bytes(head.size, head.frontier).root() == walk.frontier.root()
    assert walk.sessions.heads == reader.session_heads(), "a stored session head is not that of its last event"
    assert reader.stray_payloads() == 0
    return verified


def check_columns(reader: Any, start: int, entries: list[Any]) -> None:
    """Everything that is stored beside an event says what the event says."""
    columns = reader.columns(start, len(entries))
    assert [column[0] for column in columns] == [entry.position for entry in entries]
    for entry, (_, session, seq, kind, leaf) in zip(entries, columns, strict=True):
        event: Event = headers.decode(split_state(entry.state)[0])
        assert (session, seq, kind) == (event.session, event.seq, event.kind)
        assert leaf == leaf_hash(entry.entry)

"""Read models filled by the real projections with events that nobody had to sign: enough for a console to draw.

`Planted` is the test's ledger: it gives positions, applies each event to every projection and moves the head row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Engine, text
from tenuto.documents import Document, to_payload
from tenuto.events.base import FIRST_PREV, Event
from tenuto.events.key import KeyRegistered
from tenuto.events.session import SessionOpened
from tenuto.keyring import ROOT, Key
from tenuto.keytree import KeyTree
from tenuto.trust import Trust
from tenuto.verification import STEPS, Verified
from tenuto_projections.copies import OPTION
from tenuto_projections.integrity import note_walk
from tenuto_projections.running import all_projections
from tenuto_projections.walked import PASSED, Seen, Tick, Walk

ORIGIN = "tenuto.demo/payments"
SOFTWARE = "tenuto/0.1.0"
COPIES = {OPTION: KeyTree.whole(bytes(32))}
"""With what the planted read models seal and open their copies."""
PAGE = 500
SAID = {
    1: "All {size:,} envelopes decode within their limits.",
    2: "9 keys signed, each valid and entitled at its position.",
    3: "All {size:,} signatures hold over the stored bytes.",
    4: "9 sessions are unbroken; 0 with a gap on record.",
    5: "31 payloads match their commitments; 0 are gone under a purge on record.",
    6: "The root over all {size:,} events is the one that the log signed.",
    7: "The checkpoint is signed by " + ORIGIN + ".",
    8: "It is cosigned as the policy demands (quorum 1, of local).",
    9: "It is the checkpoint over {size:,} events that was seen before, unchanged.",
}
"""What the projector would say of each step."""


def digest(*parts: object) -> str:
    """A SHA-256 that is the same in every run of the test."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def built(author: str, kind: type[Event], at: datetime, number: int, document: Document | None = None, **fields: Any) -> Event:
    """Return an event as a recorder would build it; `number` makes its id."""
    beside: dict[str, Any] = {}
    if document is not None:
        media, payload = to_payload(document)
        beside = {"payload_type": media, "payload_len": len(payload), "payload_commit": digest(payload)}
    given = {name: value for name, value in fields.items() if value is not None}
    return kind(
        v=1, log_origin=ORIGIN, author=author, key_id=digest(author)[:16], session=UUID(digest(author)[:32]), seq=number,
        prev=FIRST_PREV, at=at, id=UUID(digest("event", author, number)[:32]), **beside, **given,
    )  # fmt: skip


def plant_home(folder: Path) -> Path:
    """Write the trust file of the planted log and return the folder."""
    nothing = "0" * 64
    Trust(origin=ORIGIN, root_public_key=nothing, log_key="", policy="", epoch=1, epoch_public_key=nothing).save(folder)
    return folder


class Planted:
    """A ledger whose only readers are the projections."""

    def __init__(self, url: str, start: datetime) -> None:
        """`url` is a migrated, empty database as its owner; `start` the ledger's first moment."""
        self.engine: Engine = sqlalchemy.create_engine(url, execution_options=COPIES)
        self.now = start
        self.position = 0
        self._projections = all_projections()
        self.events: list[Event] = []
        self._page: list[Verified] = []
        self._holding = False
        self._keys: dict[str, Key] = {ROOT: _key(ROOT, ROOT, ROOT, insecure=False)}
        self.write(ROOT, SessionOpened, software=SOFTWARE)

    def register(self, author: str, role: str, owner: str, *, insecure: bool = False) -> None:
        """Enter a key and open the author's session."""
        key = self._keys[author] = _key(author, role, owner, insecure=insecure)
        self.write(
            ROOT, KeyRegistered, subject=author, subject_key_id=key.key_id, public_key=key.public_key.hex(), role=role,
            owner=owner, insecure_demo=insecure,
        )  # fmt: skip
        self.write(author, SessionOpened, software=SOFTWARE)

    def key_of(self, author: str) -> str:
        """The id of an author's key."""
        return self._keys[author].key_id

    def write(self, author: str, kind: type[Event], document: Document | None = None, *, after: float = 1.0, **fields: Any) -> Event:
        """Append an event `after` seconds and return it."""
        self.now += timedelta(seconds=after)
        event = built(author, kind, self.now, self.position, document, **fields)
        self.take(event, document)
        return event

    def take(self, event: Event, document: Document | None = None) -> None:
        """Append an event that somebody else built."""
        payload = None if document is None else to_payload(document)[1]
        verified = Verified(
            position=self.position, recorded_at=self.now, event=event, header=b"", signature=b"",
            header_hash=digest(event.id), leaf=hashlib.sha256(event.id.bytes).digest(), key=self._keys[event.author],
            payload=payload,
        )  # fmt: skip
        self.position += 1
        self.events.append(event)
        self._page.append(verified)
        if not self._holding:
            self._apply()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Apply what is written inside as pages, as the projector does."""
        self._holding = True
        yield
        self._holding = False
        self._apply()

    def _apply(self) -> None:
        with self.engine.begin() as connection:
            for start in range(0, len(self._page), PAGE):
                for projection in self._projections:
                    projection.apply(connection, self._page[start : start + PAGE])
            connection.execute(
                text("UPDATE ledger.log_head SET tree_size = :size, recorded_at = :at"), {"size": self.position, "at": self.now}
            )
        self._page.clear()

    def seal(self, at: datetime | None = None) -> None:
        """Write down a walk in which every step was taken."""
        ticks = [Tick(step, title, PASSED, SAID[step].format(size=self.position)) for step, title in STEPS.items()]
        seen = Seen(ORIGIN, self.position, digest("root", self.position))
        walk = Walk(seen, f"{ORIGIN}\n{self.position}\n{seen.root}\n".encode(), tuple(ticks))
        with self.engine.begin() as connection:
            note_walk(connection, walk, at or datetime.now(UTC))


def _key(author: str, role: str, owner: str, *, insecure: bool) -> Key:
    public_key = hashlib.sha256(author.encode()).digest()
    since = -1 if author == ROOT else 0  # the root's key is pinned, no event registered it
    return Key(author, digest(author)[:16], public_key, role, owner, insecure, since)

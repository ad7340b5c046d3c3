"""Read model `fleet/1`: every author, with which keys it signs, who answers for it, and how it behaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, MetaData, Text, select
from tenuto.events import (
    AlertRaised,
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    RecordEquivocation,
    RecordRefused,
    SessionClosed,
    SessionOpened,
)
from tenuto.keyring import ROOT
from tenuto.verification import Verified

from .tables import Instant, Rows, table

AUTHORS_MAX = 500

METADATA = MetaData()
AUTHOR = table(
    "author", METADATA,
    Column("author", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("first_seen", Instant),
    Column("last_seen", Instant),
    Column("events", Integer, nullable=False),
    Column("session", Text),
    Column("session_since", Instant),
    Column("software", Text),
    Column("refused", Integer, nullable=False),
    Column("equivocations", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
)  # fmt: skip
KEY = table(
    "author_key", METADATA,
    Column("author", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("insecure_demo", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("since_at", Instant),
    Column("until", BigInteger),
    Column("until_at", Instant),
    Column("ended", Text),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuthorKey:
    """One key. since, until: positions (since is -1 for the pinned root key; until is None while it is valid).

    ended: rotated, compromised, retired, lost, owner_left, or None.
    """

    key_id: str
    role: str
    owner: str
    insecure_demo: bool
    since: int
    since_at: datetime | None
    until: int | None
    until_at: datetime | None
    ended: str | None


@dataclass(frozen=True, slots=True)
class Author:
    """One author. first_seen, last_seen: ledger times of its own events, None before the first.

    session: id of the newest session that is not closed: the process runs, or died without saying so.
    refused, equivocations: records in its name that ingest refused. alerts: how often it was the suspect.
    """

    author: str
    role: str
    owner: str
    first_seen: datetime | None
    last_seen: datetime | None
    events: int
    session: str | None
    session_since: datetime | None
    software: str | None
    refused: int
    equivocations: int
    alerts: int
    keys: tuple[AuthorKey, ...]

    @property
    def insecure_demo(self) -> bool:
        """Whether a key that is still valid lies unprotected on a demo machine."""
        return any(key.insecure_demo and key.until is None for key in self.keys)


def fleet(connection: Connection, limit: int = AUTHORS_MAX, after: str = "") -> tuple[Author, ...]:
    """Return the authors by name, at most AUTHORS_MAX, with their keys; `after` is the last name already shown."""
    query = select(AUTHOR).where(AUTHOR.c.author > after).order_by(AUTHOR.c.author).limit(min(limit, AUTHORS_MAX))
    authors = connection.execute(query).mappings().all()
    names = [row["author"] for row in authors]
    keys: dict[str, list[AuthorKey]] = defaultdict(list)
    for row in connection.execute(select(KEY).where(KEY.c.author.in_(names)).order_by(KEY.c.since)).mappings():
        values = dict(row)
        keys[values.pop("author")].append(AuthorKey(**values))
    return tuple(Author(**row, keys=tuple(keys[row["author"]])) for row in authors)


class Fleet:
    """The projection. Only registered authors have a row: a stranger's claims cannot make the table grow."""

    name = "fleet/1"
    tables = METADATA

    def fold(self, page: Sequence[Verified]) -> None:
        """Nothing is kept in memory."""

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Write the authors and keys of this page."""
        names = {name for verified in page for name in _named(verified.event)}
        authors = Rows(connection, AUTHOR, ((name,) for name in names))
        owned = connection.execute(select(KEY.c.author, KEY.c.key_id).where(KEY.c.author.in_(sorted(names))))
        keys = Rows(connection, KEY, (tuple(row) for row in owned))
        for verified in page:
            _count(verified, authors, keys)
            _note_key(verified, authors, keys)
            _note_trouble(verified.event, authors)
        authors.write()
        keys.write()


def _named(event: Event) -> set[str]:
    others = (getattr(event, field, None) for field in ("subject", "claimed_author", "suspect"))
    return {event.author} | {name for name in others if name is not None}


def _count(verified: Verified, authors: Rows, keys: Rows) -> None:
    event, key = verified.event, verified.key
    if key.since < 0 and keys.get(ROOT, key.key_id) is None:  # the root's key is pinned: no event registered it
        pinned = {"since": key.since, "since_at": None}
        _add_key(verified, authors, keys, author=ROOT, key_id=key.key_id, role=ROOT, owner=key.owner, **pinned)
    row = authors.get(event.author)
    assert row is not None, "a verified event's author has a registered key"
    row["events"] += 1
    row["first_seen"] = row["first_seen"] or verified.recorded_at
    row["last_seen"] = verified.recorded_at
    if isinstance(event, SessionOpened):
        row.update(session=str(event.session), session_since=verified.recorded_at, software=event.software)
    elif isinstance(event, SessionClosed) and row["session"] == str(event.session):
        row.update(session=None, session_since=None)


def _note_key(verified: Verified, authors: Rows, keys: Rows) -> None:
    event = verified.event
    if isinstance(event, KeyRegistered):
        _add_key(
            verified, authors, keys, author=event.subject, key_id=event.subject_key_id, role=event.role,
            owner=event.owner, insecure_demo=event.insecure_demo,
        )  # fmt: skip
    elif isinstance(event, KeyRotated):
        old = _end_key(verified, keys, event.subject, event.old_key_id, "rotated")
        kept = {name: old[name] for name in ("role", "owner", "insecure_demo")}
        _add_key(verified, authors, keys, author=event.subject, key_id=event.subject_key_id, **kept)
    elif isinstance(event, KeyRevoked):
        _end_key(verified, keys, event.subject, event.subject_key_id, event.reason)


def _add_key(verified: Verified, authors: Rows, keys: Rows, **key: Any) -> None:
    keys.add(**({"since": verified.position, "since_at": verified.recorded_at, "insecure_demo": False} | key))
    counts = dict.fromkeys(("events", "refused", "equivocations", "alerts"), 0)
    row = authors.add(author=key["author"], role=key["role"], owner=key["owner"], **counts)
    row.update(role=key["role"], owner=key["owner"])


def _end_key(verified: Verified, keys: Rows, author: str, key_id: str, ended: str) -> dict[str, Any]:
    row = keys.get(author, key_id)
    if row is None:  # only the root's first key can be unknown here: it ends before it signed anything
        row = keys.add(author=author, key_id=key_id, role=ROOT, owner=ROOT, since=-1, insecure_demo=False)
    row.update(until=verified.position, until_at=verified.recorded_at, ended=ended)
    return row


def _note_trouble(event: Event, authors: Rows) -> None:
    if isinstance(event, AlertRaised):
        _bump(authors.get(event.suspect), "alerts")
    elif isinstance(event, RecordRefused) and event.claimed_author is not None:
        _bump(authors.get(event.claimed_author), "refused")
    elif isinstance(event, RecordEquivocation):
        _bump(authors.get(event.claimed_author), "equivocations")


def _bump(row: dict[str, Any] | None, column: str) -> None:
    if row is not None:
        row[column] += 1

"""Read model `signers/1`: who is whom by login, which passkeys are offered, enrolled and revoked, and who may sign at all.

It is what the fold of `tenuto.approvals` says of the roster and its passkeys, written down for people. Nothing is permitted
by it: whether a decision counts is computed from the events again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, MetaData, Text, delete, select
from tenuto.approvals import Approvals
from tenuto.approvals.roster import REVIEWER_ROLE
from tenuto.events import (
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerUnbound,
)
from tenuto.verification import Verified

from .tables import Instant, table

KINDS: frozenset[type[Event]] = frozenset({
    KeyRegistered, KeyRotated, KeyRevoked, PasskeyOffered, PasskeyEnrolled, PasskeyRevoked, ReviewerBound, ReviewerEnrolled,
    ReviewerUnbound,
})  # fmt: skip

METADATA = MetaData()
LOGIN = table(
    "login", METADATA,
    Column("identity", Text, primary_key=True),
    Column("reviewer", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
)  # fmt: skip
PASSKEY = table(
    "passkey", METADATA,
    Column("credential", Text, primary_key=True),
    Column("reviewer", Text, nullable=False),
    Column("credential_id", Text, nullable=False),
    Column("web_origin", Text, nullable=False),
    Column("offered", Instant, nullable=False),
    Column("owner", Text),
    Column("since", BigInteger),
    Column("until", BigInteger),
)  # fmt: skip
SIGNER = table(
    "signer", METADATA,
    Column("reviewer", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("passkey_only", Boolean, nullable=False),
    Column("keys", Integer, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldPasskey:
    """One passkey. owner, since: who it is and where it was enrolled, None while it is only offered. until: revoked there."""

    credential: str
    reviewer: str
    credential_id: str
    web_origin: str
    offered: datetime
    owner: str | None
    since: int | None
    until: int | None

    @property
    def state(self) -> str:
        """Return offered, active or revoked."""
        if self.since is None:
            return "offered"
        return "active" if self.until is None else "revoked"


@dataclass(frozen=True, slots=True)
class Signer:
    """How one reviewer may sign. keys: registered keys that are valid, passkeys not among them. active: False for nobody known."""

    reviewer: str
    owner: str
    active: bool
    passkey_only: bool
    keys: int
    passkeys: tuple[HeldPasskey, ...]

    @property
    def signing(self) -> tuple[HeldPasskey, ...]:
        """The passkeys that count now, oldest first."""
        return tuple(one for one in self.passkeys if one.state == "active")


def reviewer_of(connection: Connection, identity: str) -> str | None:
    """Return who logs in with this identity now, None for nobody."""
    found = connection.execute(select(LOGIN.c.reviewer).where(LOGIN.c.identity == identity, LOGIN.c.until.is_(None)))
    reviewer: str | None = found.scalar_one_or_none()
    return reviewer


def signer(connection: Connection, reviewer: str) -> Signer:
    """Return how this reviewer may sign; one whom the roster does not know is not active and has no keys."""
    row = connection.execute(select(SIGNER).where(SIGNER.c.reviewer == reviewer)).mappings().one_or_none()
    held = passkeys(connection, reviewer)
    if row is None:
        return Signer(reviewer, "", active=False, passkey_only=False, keys=0, passkeys=held)
    return Signer(**row, passkeys=held)


def passkeys(connection: Connection, reviewer: str | None = None) -> tuple[HeldPasskey, ...]:
    """Return the passkeys of this reviewer, or everybody's, in the order in which they were offered."""
    query = select(PASSKEY).order_by(PASSKEY.c.offered, PASSKEY.c.credential)
    if reviewer is not None:
        query = query.where(PASSKEY.c.reviewer == reviewer)
    return tuple(HeldPasskey(**row) for row in connection.execute(query).mappings())


class Signers:
    """The projection. Its few rows are written anew whenever one of their events came."""

    name = "signers/1"
    tables = METADATA

    def __init__(self) -> None:
        """Start before the first event."""
        self._approvals = Approvals()
        self._offered: dict[str, datetime] = {}

    def fold(self, page: Sequence[Verified]) -> None:
        """Bring the fold past events that are in the tables already."""
        for verified in page:
            self._take(verified)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Fold the page and write down who may sign at its end."""
        changed = [verified for verified in page if self._take(verified)]
        if changed:
            self._write(connection, LOGIN, self._logins())
            self._write(connection, PASSKEY, self._passkeys())
            self._write(connection, SIGNER, self._signers())

    def _take(self, verified: Verified) -> bool:
        event = verified.event
        if type(event) not in KINDS or (isinstance(event, KeyRegistered) and event.role != REVIEWER_ROLE):
            return False
        self._approvals.apply(verified)
        if isinstance(event, PasskeyOffered):
            self._offered.setdefault(event.credential, verified.recorded_at)
        return True

    @staticmethod
    def _write(connection: Connection, of: Any, rows: list[dict[str, Any]]) -> None:
        connection.execute(delete(of))
        if rows:
            connection.execute(of.insert(), rows)

    def _logins(self) -> list[dict[str, Any]]:
        return [
            {"identity": one.identity, "reviewer": one.reviewer, "since": one.since, "until": one.until}
            for one in self._approvals.roster.identities.all()
        ]

    def _passkeys(self) -> list[dict[str, Any]]:
        fold = self._approvals.passkeys
        enrolled = [self._row(one.offer) | {"owner": one.owner, "since": one.since, "until": one.until} for one in fold.all()]
        return enrolled + [self._row(offer) for offer in fold.offers()]

    def _row(self, offer: PasskeyOffered) -> dict[str, Any]:
        return {
            "credential": offer.credential, "reviewer": offer.reviewer, "credential_id": offer.credential_id,
            "web_origin": offer.web_origin, "offered": self._offered[offer.credential], "owner": None, "since": None, "until": None,
        }  # fmt: skip

    def _signers(self) -> list[dict[str, Any]]:
        rows = []
        for one in self._approvals.roster.reviewers():
            by_passkey = {held.offer.credential for held in self._approvals.passkeys.of(one.name)}
            rows.append({
                "reviewer": one.name, "owner": one.owner, "active": one.active, "passkey_only": one.passkey_only,
                "keys": len(one.keys - by_passkey),
            })  # fmt: skip
        return rows

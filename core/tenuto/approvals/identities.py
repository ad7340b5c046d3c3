"""Which login is which reviewer. It says who somebody is, and nothing about what that person may do.

An identity is issuer and subject together: OpenID Connect Core 1.0, section 5.7, calls them the only claims that a party may
rely on as a stable name. An e-mail address is none: it is given to the next person, it is changed, and what "verified" means
is up to each provider. The ledger holds a hash of the two, for an account's name does not belong into what is kept for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from ..events import ReviewerBound, ReviewerUnbound
from ..keyring import Key

_DOMAIN = b"tenuto.example/login-identity/v1"


@dataclass(frozen=True, slots=True)
class Bound:
    """One identity of a reviewer. since, until: positions; until is None while it stands."""

    identity: str
    reviewer: str
    since: int
    until: int | None = None


def identity_of(issuer: str, subject: str) -> str:
    """Return what the ledger calls a person at a provider: SHA-256 over each part with its length before it, hex."""
    parts = (_DOMAIN, issuer.encode(), subject.encode())
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


class Identities:
    """The fold over bindings. Everything but `apply` only reads."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._bound: dict[str, Bound] = {}

    def reviewer_of(self, identity: str) -> str | None:
        """Return who logs in with this identity, None for nobody."""
        found = self._bound.get(identity)
        return None if found is None or found.until is not None else found.reviewer

    def all(self) -> tuple[Bound, ...]:
        """Return the last binding of every identity that was ever bound, oldest identity first."""
        return tuple(self._bound.values())

    def apply(self, event: ReviewerBound | ReviewerUnbound, key: Key, position: int, *, owner: str) -> bool:
        """Take the next event; `owner` is the person whom the reviewer's keys name. Return whether it changed anything.

        Nobody binds himself: a login would let an administrator into a reviewer's place whom he may not be.
        """
        found = self._bound.get(event.identity)
        stands = found is not None and found.until is None
        if isinstance(event, ReviewerUnbound):
            if found is None or not stands or found.reviewer != event.reviewer:
                return False
            self._bound[event.identity] = replace(found, until=position)
            return True
        if stands or key.owner == owner or key.author == event.reviewer:
            return False
        self._bound[event.identity] = Bound(event.identity, event.reviewer, position)
        return True

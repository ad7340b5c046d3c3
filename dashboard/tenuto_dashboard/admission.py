"""Who is looking: from what a provider says of a login to a reviewer of the ledger. No I/O, no Streamlit.

The login says who somebody is, by issuer and subject and nothing else: what else stands in its token, a group, a role, an
address, is not even looked at. What that person may do is said by the ledger alone, and asked anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tenuto.approvals.identities import identity_of
from tenuto.errors import TenutoError

CLAIM_CHARACTERS_MAX = 2048
State = Literal["open", "nobody", "expired", "unbound", "known"]


class NotAdmitted(TenutoError):
    """Nobody is logged in here who is a reviewer; the sentence says so."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is looking. `open` is a console without logins; `reviewer` is the name in which is looked and signed, or None.

    issuer, subject, identity: of the login, where there is one.
    """

    state: State
    reviewer: str | None = None
    issuer: str = ""
    subject: str = ""
    identity: str = ""


def admit(
    claims: Mapping[str, Any], now: datetime, *, hours: int, reviewer_of: Callable[[str], str | None]
) -> Admission:
    """Return who somebody with these claims of an ID token is; `reviewer_of` asks the ledger for an identity.

    A login is good for `hours` from when it was issued (`iat`): the browser's cookie lives longer, and nobody can take it back.
    """
    issuer, subject, issued = claims.get("iss"), claims.get("sub"), claims.get("iat")
    if claims.get("is_logged_in") is not True or not _text(issuer) or not _text(subject):
        return Admission("nobody")
    identity = identity_of(str(issuer), str(subject))
    who = {"issuer": str(issuer), "subject": str(subject), "identity": identity}
    if not _recent(issued, now, timedelta(hours=hours)):
        return Admission("expired", **who)
    reviewer = reviewer_of(identity)
    return Admission("unbound", **who) if reviewer is None else Admission("known", reviewer, **who)


def _text(claim: object) -> bool:
    return isinstance(claim, str) and 0 < len(claim) <= CLAIM_CHARACTERS_MAX


def _recent(issued: object, now: datetime, good_for: timedelta) -> bool:
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        return False
    try:
        moment = datetime.fromtimestamp(issued, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return now - good_for < moment <= now + timedelta(minutes=5)  # providers' clocks differ by a little

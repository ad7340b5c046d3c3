"""Whose decision or finding an event is: that of the author who signed it, or that of the person whose passkey did."""

from __future__ import annotations

from dataclasses import dataclass

from ..events import ApprovalSigned, SpotcheckSigned
from ..keyring import Key
from .coverage import MEASURING_ROLE
from .passkeys import PasskeyRefused, Passkeys
from .roster import REVIEWER_ROLE, Roster


@dataclass(frozen=True, slots=True)
class Voter:
    """The reviewer and the person. `fault` says why the decision is nobody's, "" if it is somebody's.

    forged: the console says that `name` decided, and `name` did not sign it.
    """

    name: str
    owner: str
    fault: str = ""
    forged: bool = False


def voter_of(event: ApprovalSigned | SpotcheckSigned, key: Key, roster: Roster, passkeys: Passkeys) -> Voter:
    """Return whose decision it is. An assertion that holds is used up by this, so each event is asked about once."""
    if key.role != MEASURING_ROLE:
        fault = "" if key.role == REVIEWER_ROLE else f"{event.author} has the role {key.role}."
        if event.reviewer is not None or event.assertion is not None:
            fault = fault or f"{event.author} signs with a key of its own and speaks for nobody else."
        own = roster.find(event.author)
        if own is not None and own.passkey_only:
            fault = fault or f"{event.author} decides by passkey only, and signed with a key of its own."
        return Voter(event.author, key.owner, fault)
    name = event.reviewer or event.author
    known = roster.find(name)
    try:
        passkeys.use(event, name)
    except PasskeyRefused as refusal:
        return Voter(name, known.owner if known else key.owner, str(refusal), forged=True)
    assert known is not None, "an enrolment puts its reviewer on the roster"
    return Voter(name, known.owner)

"""By which hand a reviewer signs in this console, or why not; and the door of a decision that a passkey signed. No I/O.

By passkey wherever there is one, and always where people log in: a login says who had the browser open, and a key file on
this machine signs whatever it is handed. The configured reviewer's key file is for a console that one person has alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

from tenuto.approvals.passkeys import Assertion
from tenuto.documents import Document
from tenuto.events import ApprovalSigned, SpotcheckSigned
from tenuto.events.base import Event
from tenuto_projections.signers import Signer

from .decisions import Door, NotSigned
from .passkeys import Ballot, Page

E = TypeVar("E", bound=Event)
_SAID: dict[type[Event], str] = {ApprovalSigned: "decision", SpotcheckSigned: "finding"}
MAKE_ONE = "Make one on the page Passkeys; somebody else has to enrol it."


@dataclass(frozen=True, slots=True)
class Hand:
    """How to sign: by `passkey` (`held` are the credential ids that may), by the reviewer's `key` file, or not at all.

    sentence: why not, and what to do about it; "" otherwise.
    """

    by: Literal["passkey", "key", "none"]
    held: tuple[str, ...] = ()
    sentence: str = ""


def hand_of(signer: Signer, page: Page | None, *, login: bool) -> Hand:
    """Return by which hand this reviewer signs on a console that stands at `page` (None: where no passkeys work)."""
    active = signer.signing
    held = tuple(one.credential_id for one in active if page is not None and one.web_origin == page.web_origin)
    name = signer.reviewer
    if not signer.active and (signer.keys or active):
        return Hand("none", sentence=f"{name} is not an active reviewer: nothing that {name} signs counts.")
    if held:
        return Hand("passkey", held)
    if active:
        return Hand("none", sentence=f"Your passkey belongs to {active[-1].web_origin}. Open the console there to decide.")
    if login or signer.passkey_only:
        return Hand("none", sentence=f"{name} decides by passkey, and none is enrolled yet. {MAKE_ONE}")
    return Hand("key")


class CarryingDoor:
    """The console's door for one decision: what it records is what the passkey signed, or nothing."""

    def __init__(self, door: Door, ballot: Ballot, assertion: Assertion) -> None:
        """`door` is the console's own; `assertion` is the answer to `ballot`."""
        self._door, self._ballot, self._assertion = door, ballot, assertion

    def record(
        self, kind: type[E], *, document: Document | None = None, run: str | None = None, cause: Sequence[UUID] = (),
        **fields: Any,
    ) -> E:  # fmt: skip
        """Record the decision with its assertion; raises NotSigned for any other decision than the one that was signed."""
        ballot = self._ballot
        signed = {"approval": ballot.approval, "digest": ballot.digest, _SAID.get(kind, ""): ballot.decision}
        if ballot.coverage is not None:
            signed["coverage"] = ballot.coverage
        if fields != signed:
            raise NotSigned("What you signed is not what is asked any more: the page had moved on. Look again, and sign once more.")
        return self._door.record(
            kind, document=document, run=run, cause=cause, reviewer=ballot.reviewer, assertion=str(self._assertion),
            **fields,
        )  # fmt: skip

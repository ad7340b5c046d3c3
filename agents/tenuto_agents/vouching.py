"""From which state a plan may be made, and which of its changes the change request explains (M32).

Whoever can write the state decides what the next plan does: a resource put in is deleted, one taken out is created again,
an attribute edited is changed. Three checks stand against that, each good for itself:

 1. the state is the one that our last apply of an approved plan left, by its digest, as the ledger has it
 2. the base of the change, planned from this state, changes nothing; so what the change itself plans, it asked for
 3. before the apply the state is still the one that was planned from

Terraform has a fourth ("saved plan is stale"), which is of no use when the state was poisoned before the plan.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenuto.documents import PlannedChange
from tenuto.errors import Refused
from tenuto.events import StateAttested
from tenuto.verification import Verified

from .plan import summary
from .statestore.visiting import Snapshot

SUMMARY_CHARACTERS_MAX = 600


class StateNotVouched(Refused):
    """The state is not what an approved apply left; nothing is planned from it."""

    reason = "state_not_vouched"


class NotRequested(Refused):
    """The plan would do something that the change request does not ask for."""

    reason = "not_requested"


def last_attested(events: Iterable[Verified], state: str, author: str) -> StateAttested | None:
    """Return the newest version that `author`, as an agent, vouches for; `events` are those of the state's run, in order."""
    found = None
    for verified in events:
        event = verified.event
        if isinstance(event, StateAttested) and (event.state, event.author) == (state, author) and verified.key.role == "agent":
            found = event
    return found


class Guards:
    """The three checks; each raises, and none of them knows of the others."""

    def verify_attested(self, name: str, found: Snapshot | None, attested: StateAttested | None) -> None:
        """Check 1; raises StateNotVouched."""
        if attested is None and found is not None:
            raise StateNotVouched(f"There is a state {name}, and no apply on record left it. Nothing is planned from it.")
        if attested is not None and found is None:
            raise StateNotVouched(f"The state {name} is gone; its serial {attested.serial} is on record. Restore it first.")
        if attested is not None and found is not None and found.digest != attested.digest:
            raise StateNotVouched(
                f"The state {name} (serial {found.serial}) is not the one that the last approved apply left (serial "
                f"{attested.serial}, digest {attested.digest[:12]}). Somebody else wrote it; nothing is planned from it."
            )

    def verify_requested(self, at_base: tuple[PlannedChange, ...], found: Snapshot | None) -> None:
        """Check 2; `at_base` is what the base of the change would change. Raises NotRequested."""
        if found is not None and at_base:
            sentence = summary(at_base)[:SUMMARY_CHARACTERS_MAX]
            raise NotRequested(
                f"Without the change, its base would already {sentence}. That is not what was asked for: the state or the "
                "cloud is not as approved, or the change is based on an older commit than what is applied."
            )

    def verify_unmoved(self, name: str, planned_from: Snapshot | None, now: Snapshot | None) -> None:
        """Check 3; raises StateNotVouched."""
        if (planned_from and planned_from.digest) != (now and now.digest):
            raise StateNotVouched(f"The state {name} moved between the plan and its apply; nothing was applied.")

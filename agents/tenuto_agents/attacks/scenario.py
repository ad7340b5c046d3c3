"""What an attack is: a goal, the ids of the threat model that it tries, and a function that tries it for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from tenuto.errors import TenutoError

if TYPE_CHECKING:
    from .ground import Ground


class Lacking(TenutoError):
    """The attack needs a part that is not on this machine; `parts` are sentences that name each and the remedy."""

    def __init__(self, *parts: str) -> None:
        """At least one part."""
        super().__init__(" ".join(parts))
        self.parts = parts


@dataclass(frozen=True, slots=True)
class Stop:
    """A control that stopped or noticed the attack.

    control: its id, such as `M27` or `R1`. sentence: what it did, in plain words. evidence: ids of events that show it, each of
    which has to be in the ledger since the attack began. said: what an independent program printed, for a control that
    leaves no event because it is a reader (`tenuto verify`).
    """

    control: str
    sentence: str
    evidence: tuple[UUID, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of an attack. reached: the attacker has what the goal says, as seen on the target, not as reported by it."""

    reached: bool
    sentence: str
    stops: tuple[Stop, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One attack. `goal` is what the attacker wants, `refs` the threats, chains and controls that it tries.

    attack: tries it on the ground that it is given; raises Lacking when a part is missing. It leaves nothing behind that
    goes on working: whatever it started it stops.
    """

    name: str
    goal: str
    refs: tuple[str, ...]
    attack: Callable[[Ground], Seen]

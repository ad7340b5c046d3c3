"""Legal holds, as a pure fold over the verified ledger: which of them stand over an event now.

A hold beats every purge and every retention rule; both ask here, and both are refused while a hold is in force.

Who places one: a custodian, who may do nothing else, or the root. Who lifts it: the custodian who placed it, or the root
for one who has left; no other custodian's word ends it, so that a hold is no stronger than the one person who answers for
it and no weaker either. A lift that does not count changes nothing. Placing a name again adds to what it covers, also when
somebody else does: each placement ends with a lift by its own author. What is placed after a lift is in force again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from .errors import Refused
from .events import HoldLifted, HoldPlaced
from .keyring import ROOT
from .verified import Verified

GRAIN = 256
"""Which runs have events where is remembered per so many positions: one bundle of the published log, the least that is dropped."""


class Held(Refused):
    """A legal hold is in force over what was to be purged or dropped; `holds` are their names."""

    reason = "held"

    def __init__(self, what: str, holds: tuple[str, ...]) -> None:
        """`what` begins the sentence, such as `Position 7`."""
        names = ", ".join(holds)
        super().__init__(f"{what} is under the legal hold {names}. Nothing of it may go before that is lifted.")
        self.holds = holds


@dataclass(frozen=True, slots=True)
class Placed:
    """One placement that is in force; see `HoldPlaced` for what it covers."""

    hold: str
    author: str
    position: int
    since: datetime
    run: str | None
    first: int | None
    last: int | None

    @property
    def has_range(self) -> bool:
        """Whether it names positions; one without run or range covers the whole log."""
        return self.first is not None or self.last is not None or self.run is None

    def meets(self, first: int, last: int) -> bool:
        """Whether its range meets the positions `first` to `last`; what it covers by its run is not asked here."""
        return self.has_range and _range_meets(self.first, self.last, first, last)


@dataclass
class Holds:
    """The holds after a prefix of the ledger; `apply` takes the next verified event, in order."""

    _placed: list[Placed] = field(default_factory=list)
    _runs: dict[str, list[int]] = field(default_factory=dict)

    def apply(self, verified: Verified) -> None:
        """Take the next event; the walk has made sure already that its author's role may say it."""
        event = verified.event
        if event.run is not None:
            grains = self._runs.setdefault(event.run, [])
            grain = verified.position // GRAIN
            if not grains or grains[-1] != grain:
                grains.append(grain)
        if isinstance(event, HoldPlaced):
            self._placed.append(
                Placed(event.hold, event.author, verified.position, verified.recorded_at, event.run, event.first, event.last)
            )
        elif isinstance(event, HoldLifted):
            self._placed = [one for one in self._placed if one.hold != event.hold or event.author not in (one.author, ROOT)]

    def in_force(self) -> tuple[Placed, ...]:
        """Every placement that is in force, in the order of the ledger."""
        return tuple(self._placed)

    def over(self, position: int, run: str | None) -> tuple[str, ...]:
        """Return the names of the holds in force over the event at `position`, which belongs to `run`."""
        return _names(
            one for one in self._placed if one.meets(position, position) or (run is not None and run == one.run)
        )

    def over_range(self, first: int, last: int, before: int | None = None) -> tuple[str, ...]:
        """Return the names of the holds that cover anything from `first` to `last`, both included.

        Exact for ranges that begin and end at multiples of GRAIN, as those of partitions do; others count a whole grain.
        `before`: only placements that stand before this position of the ledger count.
        """
        placed = [one for one in self._placed if before is None or one.position < before]
        return _names(one for one in placed if one.meets(first, last) or self._has_run(one.run, first, last))

    def would_cover(self, event: HoldPlaced, first: int, last: int) -> bool:
        """Whether this placement, which is not taken yet, covers anything from `first` to `last`; see `over_range`."""
        has_range = event.first is not None or event.last is not None or event.run is None
        return (has_range and _range_meets(event.first, event.last, first, last)) or self._has_run(event.run, first, last)

    def verify_free(self, position: int, run: str | None) -> None:
        """Raise Held, naming the holds, if any is in force over the event at `position`, which belongs to `run`."""
        holds = self.over(position, run)
        if holds:
            raise Held(f"Position {position}", holds)

    def verify_range_free(self, first: int, last: int) -> None:
        """Raise Held, naming the holds, if any covers anything from `first` to `last`; see `over_range`."""
        holds = self.over_range(first, last)
        if holds:
            raise Held(f"Something between the positions {first} and {last}", holds)

    def _has_run(self, run: str | None, first: int, last: int) -> bool:
        return run is not None and any(first // GRAIN <= grain <= last // GRAIN for grain in self._runs.get(run, ()))


def _range_meets(low: int | None, high: int | None, first: int, last: int) -> bool:
    return (low or 0) <= last and (high is None or first <= high)


def _names(placed: Iterable[Placed]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.hold for one in placed))

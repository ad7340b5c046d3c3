"""To whom a request goes next, and why; or until when it waits. Pure: from the desk and the time, nothing else.

A request goes to the reviewer with the fewest open ones who is on shift and under the cap, and is neither excluded by
identity nor has voted on it or had it before. Where somebody on shift has no place left, the assignment is an overflow and
says who and why. What is not decided within the bound goes on to the next; whoever had it may still decide. Old requests come first,
so none starves while others are served, and when nobody is left the request waits and says when a place frees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .desk import Assignment, Desk, excluded
from .fold import Standing
from .roster import CAP_WINDOW, Reviewer


@dataclass(frozen=True, slots=True)
class Assign:
    """The request goes to `reviewer`. why: a word of `ApprovalAssigned`. relieves: who had it and did not decide."""

    approval: str
    reviewer: str
    owner: str
    why: str
    sentence: str
    relieves: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Nobody can take it. until: when a place frees, None where that depends on people; `sentence` says which."""

    approval: str
    until: datetime | None
    sentence: str


def moves(desk: Desk, now: datetime, pending: Sequence[Assign] = ()) -> list[Assign | Waits]:
    """Return what there is to do at `now`, oldest request first; each move reckons with those before it.

    `pending` is what was recorded and is not in the ledger yet: it counts as done, or it would be decided twice.
    """
    load = _Load(desk, now, Counter(move.owner for move in pending))
    done = list(pending)
    found: list[Assign | Waits] = []
    for standing in desk.undecided(now):
        while (move := _next(desk, standing, load, done)) is not None:
            found.append(move)
            if isinstance(move, Waits):
                break
            done.append(move)
            load.more[move.owner] += 1
    return found


class _Load:
    """What lies on whose desk at one moment; `more` are moves by person that are not in the ledger yet."""

    def __init__(self, desk: Desk, now: datetime, more: Counter[str]) -> None:
        self.desk, self.now, self.more = desk, now, more
        self.cap = desk.roster.decisions_per_hour
        self._open: dict[str, int] = {}
        self._made: dict[str, tuple[datetime, ...]] = {}

    def open(self, one: Reviewer) -> int:
        if one.owner not in self._open:
            self._open[one.owner] = self.desk.on_desk(one.owner, self.now)
        return self._open[one.owner] + self.more[one.owner]

    def made(self, one: Reviewer) -> tuple[datetime, ...]:
        if one.owner not in self._made:
            self._made[one.owner] = self.desk.approvals.decisions(one.owner, self.now)
        return self._made[one.owner]

    def places(self, one: Reviewer) -> int:
        return self.cap - len(self.made(one)) - self.open(one)

    def free(self, one: Reviewer) -> bool:
        return one.on_shift(self.now) and self.places(one) > 0

    def rank(self, one: Reviewer) -> tuple[int, int, str]:
        return self.open(one), len(self.made(one)), one.name

    def frees(self, one: Reviewer) -> datetime | None:
        """When this reviewer can take one more, if time alone brings that about."""
        made, leaving = self.made(one), 1 - self.places(one)
        if leaving > len(made):
            return None
        return one.next_shift(self.now if leaving < 1 else made[leaving - 1] + CAP_WINDOW)

    def hindered(self, one: Reviewer) -> str:
        """Say why this reviewer cannot take it now."""
        if self.places(one) < 1:
            made = f"{len(self.made(one))} decisions in the last 60 minutes and {self.open(one)} open"
            return f"{one.name} has no place left: {made}, of {self.cap}"
        return f"{one.name} is off shift until {one.next_shift(self.now):%H:%M} UTC"


def _next(desk: Desk, standing: Standing, load: _Load, pending: Sequence[Assign]) -> Assign | Waits | None:
    """Return the next move for an open request, None when as many people as it needs have it and none is late."""
    approval = standing.request.event.approval
    own = [move for move in pending if move.approval == approval]
    gone = {move.relieves for move in own if move.relieves}
    live = [one for one in desk.live(standing) if one.reviewer not in gone]
    late = next((one for one in live if load.now >= one.at + desk.roster.escalate_after), None)
    needed = standing.quorum - len(standing.counting) - len(live) - len(own)
    if standing.request.demand.fault or standing.request.pieces.fault or (needed < 1 and late is None):
        return None
    taken = {one.owner for one in live} | {vote.owner for vote in standing.counting} | {move.owner for move in own}
    had = desk.relieved(approval) | gone
    able = [
        one for one in desk.roster.reviewers()
        if one.owner not in taken and one.name not in had and not excluded(standing.request, one)
    ]  # fmt: skip
    free = [one for one in able if load.free(one)]
    if free:
        return _given(approval, min(free, key=load.rank), able, load, late=None if needed > 0 else late, second=bool(taken))
    return _waits(approval, able, load) if needed > 0 else None


def _given(
    approval: str, chosen: Reviewer, able: Sequence[Reviewer], load: _Load, *, late: Assignment | None, second: bool
) -> Assign:
    full = next((one for one in able if one.on_shift(load.now) and load.places(one) < 1), None)
    if late is not None:
        sentence = f"{late.reviewer} did not decide within {load.desk.roster.escalate_after.total_seconds():.0f} seconds."
        return Assign(approval, chosen.name, chosen.owner, "escalation", sentence, late.reviewer)
    if full is not None:
        return Assign(approval, chosen.name, chosen.owner, "overflow", f"{load.hindered(full)}.")
    if second:
        return Assign(approval, chosen.name, chosen.owner, "second_vote", "It needs one more reviewer.")
    return Assign(approval, chosen.name, chosen.owner, "next_free", f"{chosen.name} has the fewest open requests.")


def _waits(approval: str, able: Sequence[Reviewer], load: _Load) -> Waits:
    if not able:
        return Waits(approval, None, "Nobody may review it: every reviewer is excluded, lacks the role, or had it already.")
    moments = sorted(moment for one in able if (moment := load.frees(one)) is not None)
    sentence = "; ".join(load.hindered(one) for one in able[:3]) + (f"; and {len(able) - 3} more" if len(able) > 3 else "")
    if not moments:
        return Waits(approval, None, f"{sentence}. A place frees when one of the open requests is decided.")
    return Waits(approval, moments[0], f"{sentence}. The next place frees at {moments[0]:%H:%M:%S} UTC.")

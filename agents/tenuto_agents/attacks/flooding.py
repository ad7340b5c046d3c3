"""Attacks on a reviewer's hour (T4, M12): more requests than people can read, and more approvals than one person gives.

The flood goes to the router that runs, and so to whoever reviews here; it is taken back as soon as the router has
nothing left to give. Where so many people are on shift that it would take more than FLOOD_MAX requests, it is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tenuto.approvals.desk import Desk
from tenuto.approvals.routing import Assign, Waits, moves
from tenuto.events import ApprovalAssigned
from tenuto.following import Follower
from tenuto.verification import Verified
from tenuto.wiring import open_follower

from .ground import RANGE_AGENT, Ground
from .reviews import Ask, ask, said_yes, shown
from .scenario import Lacking, Scenario, Seen, Stop

FLOOD_MAX = 40
"""Requests that a flood may take. They are on real people's desks for some seconds."""
CAP_MAX = 20
ROUTED_SECONDS_MAX = 30.0
CALM_SECONDS = 2.5
"""The router looks again every two seconds while nothing happens; what it has not done by then it does not do."""


@dataclass
class Watched:
    """The desk of everybody, from the first event on, as anybody computes it."""

    follower: Follower
    desk: Desk = field(default_factory=Desk)
    given: list[Verified] = field(default_factory=list)

    def take(self) -> None:
        """Take what was signed since."""
        for verified in self.follower.catch_up():
            self.desk.apply(verified)
            if isinstance(verified.event, ApprovalAssigned):
                self.given.append(verified)

    def given_of(self, approvals: set[str]) -> list[Verified]:
        """What routers said about these requests, whether or not it stands."""
        return [one for one in self.given if isinstance(one.event, ApprovalAssigned) and one.event.approval in approvals]


def flood(ground: Ground) -> Seen:
    """Ask for more than everybody on shift may decide in an hour, and see whether anybody is given more, or it passes by itself."""
    watched = Watched(open_follower(ground.settings, payloads=False))
    watched.take()
    before = _load(ground, watched)
    cap = watched.desk.roster.decisions_per_hour
    free = sum(max(cap - made, 0) for made in before.values())
    if not before or free + 1 > FLOOD_MAX:
        why = f"{free} requests would have to lie with people" if before else "no reviewer is on shift"
        raise Lacking(f"The router cannot be flooded here: {why}; an attack lays at most {FLOOD_MAX} on real desks.")
    gate = ground.gate()
    asks = [ask(ground, gate=gate) for _ in range(free + 1)]
    try:
        _until_calm(ground, watched, asks)
        return _flooded(ground, watched, asks, before)
    finally:
        withdraw(ground, asks)


def stamp(ground: Ground) -> Seen:
    """Approve one request more in an hour than a person can have read, with everything shown for long enough."""
    cap = ground.approvals.roster.decisions_per_hour
    if cap > CAP_MAX:
        raise Lacking(f"A reviewer here may decide {cap} times an hour; the attack goes up to {CAP_MAX}.")
    (stamper,) = ground.newcomers("reviewer")
    gate = ground.gate()
    asks = [ask(ground, gate=gate) for _ in range(cap + 1)]
    try:
        votes = stamped(ground, asks, stamper)
        last = asks[-1]
        said, standing = last.resume(), last.standing()
        if last.done.exists() or standing.state in ("granted", "consumed"):
            return Seen(reached=True, sentence=f"The approval number {len(asks)} of one hour counts; the request is {standing.state}.")
        vote = standing.votes[-1] if standing.votes else None
        counted = sum(bool(one.standing().counting) for one in asks[:-1])
        if vote is None or vote.rule != 4 or counted != cap:
            return Seen(reached=False, sentence=f"It was not cleared, but not by rule 4: {said}")
        sentence = f"Rule 4 of the fold: {vote.sentence} The {counted} before it count."
        return Seen(reached=False, sentence=f"The tool did not run. The gate said: {said}", stops=(Stop("M12", sentence, (votes[-1],)),))
    finally:
        withdraw(ground, asks)


def stamped(ground: Ground, asks: Sequence[Ask], stamper: str) -> list[UUID]:
    """Let one reviewer look at all of these and approve them, in order; return the ids of the votes once all are on record."""
    looked = [shown(ground, one.asked, stamper) for one in asks]
    if (last := looked[-1][0]) is not None:
        ground.wait_on_record(last)
    votes = [said_yes(ground, one.asked, stamper, coverage=coverage) for one, (_, coverage) in zip(asks, looked, strict=True)]
    ground.wait_on_record(votes[-1])
    return [vote.id for vote in votes]


def withdraw(ground: Ground, asks: Sequence[Ask]) -> None:
    """Take all of them back and wait until nobody has them any more."""
    for one in asks:
        one.withdraw()
    ground.recorder(RANGE_AGENT).flush(ROUTED_SECONDS_MAX)


def _load(ground: Ground, watched: Watched) -> Counter[str]:
    """How much of an hour each person on shift has used: decisions made, and requests that lie there."""
    now, desk = ground.clock.now(), watched.desk
    people = {one.owner for one in desk.roster.reviewers() if one.active and one.on_shift(now)}
    return Counter({owner: desk.roster.decisions_per_hour - desk.places(owner, now) for owner in people})


def _until_calm(ground: Ground, watched: Watched, asks: Sequence[Ask]) -> None:
    """Wait until the router has nothing left to give of these, or gave too much; raises Lacking when it gives nothing."""
    ours, deadline = {one.asked.approval for one in asks}, time.monotonic() + ROUTED_SECONDS_MAX
    calm_since: float | None = None
    while time.monotonic() < deadline:
        watched.take()
        given = watched.given_of(ours)
        if len(given) >= len(asks):
            return
        left = [move for move in moves(watched.desk, ground.clock.now()) if isinstance(move, Assign) and move.approval in ours]
        if given and not left:
            calm_since = calm_since or time.monotonic()
            if time.monotonic() - calm_since > CALM_SECONDS:
                return
        else:
            calm_since = None
        time.sleep(0.1)
    if not watched.given_of(ours):
        raise Lacking("No router gives requests to reviewers here: `tenuto route` does not run, or it is far behind.")


def _flooded(ground: Ground, watched: Watched, asks: Sequence[Ask], before: Counter[str]) -> Seen:
    desk, cap = watched.desk, watched.desk.roster.decisions_per_hour
    ours = {one.asked.approval for one in asks}
    given = watched.given_of(ours)
    owners = {one.name: one.owner for one in desk.roster.everybody()}
    load = before + Counter(owners[one.event.reviewer] for one in given if isinstance(one.event, ApprovalAssigned))
    over = {owner: count for owner, count in load.items() if count > cap}
    now = ground.clock.now()
    passed = [one for one in asks if desk.approvals.standing(one.asked.approval, now).state != "open"]
    if over or passed:
        words = ", ".join(f"{owner} has {count}" for owner, count in over.items()) or f"{len(passed)} passed without a decision"
        return Seen(reached=True, sentence=f"Of {cap} an hour: {words}.")
    waits = [move for move in moves(desk, now) if isinstance(move, Waits) and move.approval in ours]
    more = [one for one in given if isinstance(one.event, ApprovalAssigned) and one.event.why == "overflow"]
    sentence = f"{len(asks)} requests: nobody was given more than {cap} an hour, {len(more)} went on to the next with room"
    sentence += f", {len(waits)} waits. {waits[0].sentence if waits else ''}"
    evidence = tuple(dict.fromkeys(one.event.id for one in (*more[:8], *given[-8:])))
    return Seen(reached=False, sentence="The router kept every desk under its cap.", stops=(Stop("M12", sentence.strip(), evidence),))


SCENARIOS = (
    Scenario("flood-of-requests", "A reviewer with more on the desk than an hour can hold, or a request that passes unread.", ("T4", "M12", "R1"), flood),
    Scenario("rubber-stamped", "One approval more in an hour than a person can have read.", ("T4", "M12"), stamp),
)  # fmt: skip

"""Attacks on spot checks (T4, M14): throw the lot again, throw it oneself, and take the second look oneself.

The draws are the router's, over approvals of the range that were really spent. What decides is never its word: each draw is
repeated here from the published checkpoints alone, as `tenuto spotcheck verify` does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tenuto.approvals.spotcheck import Spotcheck, Spotchecks, redraw
from tenuto.documents import Reason
from tenuto.events import ApprovalConsumed, RecordRefused, SpotcheckDrawn, SpotcheckSigned
from tenuto.log.witnessing import parse_policy
from tenuto.verification import Verified
from tenuto.wiring import open_follower

from .flooding import Watched, stamped
from .forging import Chain
from .ground import RANGE_AGENT, RANGE_FORGER, Ground
from .reviews import Ask, ask
from .scenario import Lacking, Scenario, Seen, Stop

DRAWN_SECONDS_MAX = 60.0
REFUSAL_SECONDS = 30.0
BATCH, BATCHES_MAX = 8, 4
"""Approvals that are spent at once until one of them is drawn: none in 32 happens once in 180 times."""


@dataclass
class Lots:
    """All draws, from the first event on, as anybody folds them."""

    ground: Ground
    watched: Watched = field(init=False)
    checks: Spotchecks = field(init=False)

    def __post_init__(self) -> None:
        """Start before the first event."""
        self.watched = Watched(open_follower(self.ground.settings, payloads=False))
        self.checks = Spotchecks(self.watched.desk.approvals)

    def take(self) -> None:
        """Take what was signed since."""
        for verified in self.watched.follower.catch_up():
            self.watched.desk.apply(verified)
            self.checks.apply(verified)

    def drawn(self, asks: Sequence[Ask]) -> list[tuple[Spotcheck, SpotcheckDrawn]]:
        """Wait for the draws of these; raises Lacking when they do not come."""
        deadline = time.monotonic() + DRAWN_SECONDS_MAX
        while time.monotonic() < deadline:
            self.take()
            found = [(self.checks.find(one.asked.approval), self.checks.draw_of(one.asked.approval)) for one in asks]
            if all(check is not None and draw is not None for check, draw in found):
                return [(check, draw) for check, draw in found if check is not None and draw is not None]
            time.sleep(0.1)
        raise Lacking("No router draws for spot checks here: `tenuto route` does not run, or no witness cosigns.")

    def steered(self, check: Spotcheck, draw: SpotcheckDrawn) -> bool:
        """Whether the draw on record is another than the published checkpoints give."""
        trust = self.ground.trust
        covering, ticket = redraw(self.ground.settings.tiles, check, parse_policy(trust.policy), trust.origin)
        return (draw.ticket, draw.size) != (ticket, covering.checkpoint.size)

    def state(self, approval: str) -> str:
        """Where the second look of an approval stands now."""
        self.take()
        check = self.checks.find(approval)
        return "" if check is None else check.state(self.ground.clock.now())


def draw_again(ground: Ground) -> Seen:
    """Say that an approval was spared before anybody draws, spend it twice to have it drawn twice, and say so again."""
    lots = Lots(ground)
    (one,), _ = _spent(ground, 1)
    first = _lie(ground, one)
    ((check, draw),) = lots.drawn([one])
    again = _consume(ground, one)
    second = _lie(ground, one)
    ground.wait_on_record(again)
    lots.take()
    after, stands = lots.checks.draw_of(one.asked.approval), lots.checks.find(one.asked.approval)
    refused = [found for lie in (first, second) if (found := ground.wait_for(_refusal_of(lie), REFUSAL_SECONDS))]
    moved = stands is None or stands.position != check.position or after is None or after.ticket != draw.ticket
    if moved or lots.steered(check, draw):
        return Seen(reached=True, sentence="The draw on record is not the one that the published checkpoints give.")
    told = f"Drawn once, at {draw.size} entries: anybody who repeats it gets the same ticket {draw.ticket[:16]}."
    stops = [Stop("M14", told, (draw.id, again.id))]
    if len(refused) == 2:
        stops.append(Stop("M27", "An agent may not say what was drawn; both lies are refused on record.", tuple(seen.event.id for seen in refused)))
    return Seen(reached=False, sentence="The lot fell once and nobody could throw it.", stops=tuple(stops))


def look_oneself(ground: Ground) -> Seen:
    """Take the second look at an approval that I gave myself."""
    lots, evidence = Lots(ground), list[UUID]()
    for _ in range(BATCHES_MAX):
        asks, stamper = _spent(ground, BATCH)
        draws = lots.drawn(asks)
        if any(lots.steered(check, draw) for check, draw in draws):
            return Seen(reached=True, sentence="A draw on record is not the one that the published checkpoints give.")
        evidence += [draw.id for _, draw in draws]
        due = [check for check, draw in draws if draw.drawn]
        if due:
            return _looked(ground, lots, due, stamper)
    told = f"{len(evidence)} draws, each repeated from the checkpoints; none of them asks for a second look."
    return Seen(reached=False, sentence="No draw fell, so there was no second look to take.", stops=(Stop("M14", told, tuple(evidence[-8:])),))


def _looked(ground: Ground, lots: Lots, due: Sequence[Spotcheck], stamper: str) -> Seen:
    own = _agree(ground, due[0], stamper)
    if lots.state(due[0].approval) == "agreed":
        return Seen(reached=True, sentence="Whoever approved has looked a second time, and it counts.")
    (other,) = ground.newcomers("reviewer")
    for check in due:  # what was drawn is not left to the people here
        looked = _agree(ground, check, other)
    if lots.state(due[0].approval) != "agreed":
        return Seen(reached=False, sentence="It does not count, and neither does the look of somebody else.")
    told = "The approver's own second look does not count; that of another person does."
    return Seen(reached=False, sentence=told, stops=(Stop("M14", told, (own.id, looked.id)),))


def _spent(ground: Ground, count: int) -> tuple[list[Ask], str]:
    """Approvals of a newcomer's, spent by the agent."""
    (stamper,) = ground.newcomers("reviewer")
    gate = ground.gate()
    asks = [ask(ground, gate=gate) for _ in range(count)]
    stamped(ground, asks, stamper)
    spent = [_consume(ground, one) for one in asks]
    ground.wait_on_record(spent[-1])
    return asks, stamper


def _consume(ground: Ground, one: Ask) -> ApprovalConsumed:
    call = ground.approvals.request(one.asked.approval).demand.call
    return ground.recorder(RANGE_AGENT).record(
        ApprovalConsumed, run=one.asked.run, cause=(one.asked.id,), approval=one.asked.approval, digest=one.asked.digest, call=call
    )


def _agree(ground: Ground, check: Spotcheck, reviewer: str) -> SpotcheckSigned:
    signed = ground.recorder(reviewer).record(
        SpotcheckSigned, document=Reason(text="Red team."), approval=check.approval, digest=check.digest, finding="agree"
    )
    ground.wait_on_record(signed)
    return signed


def _lie(ground: Ground, one: Ask) -> bytes:
    """An agent's word that this approval was spared; returns the record."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    chain.publish(chain.opened())
    size = len(ground.since()) + 1_000_000
    spared = chain.event(
        SpotcheckDrawn, approval=one.asked.approval, position=size - 1, size=size, ticket="f" * 64, drawn=False
    )
    record = chain.signed(spared)
    chain.publish(record)
    return record


def _refusal_of(record: bytes) -> Callable[[Verified], bool]:
    digest = hashlib.sha256(record).hexdigest()
    return lambda one: isinstance(one.event, RecordRefused) and one.event.record_sha256 == digest


def _scenario(name: str, goal: str, attack: Callable[[Ground], Seen]) -> Scenario:
    return Scenario(name, goal, ("T4", "M14", "R1"), attack)


SCENARIOS = (
    _scenario("draw-again", "An approval that is never looked at again, by another draw.", draw_again),
    _scenario("second-look-by-approver", "A second look by the one who approved.", look_oneself),
)

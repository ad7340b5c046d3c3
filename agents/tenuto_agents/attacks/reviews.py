"""Attacks on human review (T4): approving unseen, for oneself, twice, for something else, and using an approval again.

The range's agent asks through a real gate; its reviewers sign with real keys. What is tried is always the tool at the end:
it writes a file into the scratch folder, and whether that file is there says whether the attacker arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tenuto.action import Action, ActionRefused
from tenuto.approvals import Standing
from tenuto.approvals.coverage import first_coverage, next_coverage
from tenuto.documents import ApprovalCard, PlannedChange, Reason, Result
from tenuto.errors import Busy
from tenuto.events import ApprovalConsumed, ApprovalRequested, ApprovalRevoked, ApprovalSigned, ApprovalViewed
from tenuto.gate import Gate

from .ground import RANGE_AGENT, RANGE_CONSOLE, RANGE_REVIEWERS, Ground
from .scenario import Lacking, Scenario, Seen, Stop

FIRST, SECOND = RANGE_REVIEWERS
TOOL, RESOURCE = "terraform.apply", "stack:range"
OTHER_DIGEST = hashlib.sha256(b"another plan").hexdigest()
LONG_MILLISECONDS = 600_000


@dataclass
class Ask:
    """One request of the range's agent, and the tool that waits behind it."""

    ground: Ground
    gate: Gate
    action: Action
    asked: ApprovalRequested
    done: Path

    def sign(self, reviewer: str, *, coverage: str | None = None, digest: str | None = None) -> ApprovalSigned:
        """Let a reviewer sign an approval, by default for what was asked and with what was seen."""
        signed = said_yes(self.ground, self.asked, reviewer, coverage=coverage, digest=digest)
        self.ground.wait_on_record(signed)
        return signed

    def look(self, reviewer: str, console: str = RANGE_CONSOLE) -> str:
        """Let a console say that this reviewer had every piece open for long; return the coverage that this makes."""
        viewed, coverage = shown(self.ground, self.asked, reviewer, console)
        if viewed is not None:
            self.ground.wait_on_record(viewed)
        return coverage

    def resume(self, action: Action | None = None) -> str:
        """Let the gate go on with it; return what refused, or "" when the tool ran."""
        try:
            self.gate.resume(self.asked, action or self.action, self._execute)
        except (ActionRefused, Busy) as refusal:
            return str(refusal)
        return ""

    def standing(self) -> Standing:
        """Where the request stands by the red team's own fold."""
        self.ground.since()
        return self.ground.approvals.standing(self.asked.approval, self.ground.clock.now())

    def withdraw(self) -> None:
        """Take the request back, so that nobody is asked about it."""
        if self.standing().state in ("open", "granted"):
            self.ground.recorder(RANGE_AGENT).record(
                ApprovalRevoked, run=self.asked.run, cause=(self.asked.id,), approval=self.asked.approval, reason="superseded"
            )

    def _execute(self) -> Result:
        self.done.write_text("the tool ran")
        return Result(text="It ran.")


def shown(ground: Ground, asked: ApprovalRequested, reviewer: str, console: str = RANGE_CONSOLE) -> tuple[ApprovalViewed | None, str]:
    """Let a console say so of every piece of a request; return its last word, which is on its way, and the coverage."""
    coverage, viewed = first_coverage(asked.approval, asked.digest, reviewer), None
    for piece in ground.approvals.request(asked.approval).pieces.demanded:
        milliseconds = max(piece.milliseconds, 1)
        viewed = ground.recorder(console).record(
            ApprovalViewed, run=asked.run, cause=(asked.id,), approval=asked.approval, digest=asked.digest, piece=piece.digest,
            milliseconds=milliseconds, reviewer=reviewer,
        )  # fmt: skip
        coverage = next_coverage(coverage, piece.digest, milliseconds)
    return viewed, coverage


def said_yes(
    ground: Ground, asked: ApprovalRequested, reviewer: str, *, coverage: str | None = None, digest: str | None = None
) -> ApprovalSigned:
    """Let a reviewer sign an approval; it is on its way."""
    return ground.recorder(reviewer).record(
        ApprovalSigned, document=Reason(text="Red team."), run=asked.run, cause=(asked.id,), approval=asked.approval,
        digest=digest or asked.digest, decision="approve",
        coverage=coverage or first_coverage(asked.approval, asked.digest, reviewer),
    )  # fmt: skip


def approve(ground: Ground, asked: ApprovalRequested, *reviewers: str) -> None:
    """Let each of these reviewers look at everything and approve, as honest ones do."""
    for reviewer in reviewers:
        viewed, coverage = shown(ground, asked, reviewer)
        if viewed is not None:
            ground.wait_on_record(viewed)
        ground.wait_on_record(said_yes(ground, asked, reviewer, coverage=coverage))


def ask(ground: Ground, *, initiator: str = "range-initiator", deletes: bool = False, gate: Gate | None = None) -> Ask:
    """Ask for something that needs people; raises Lacking where the policy of this system demands nobody for it."""
    actions, risks = (("delete",), ("deletion",)) if deletes else (("update",), ())
    change = PlannedChange(address="aws_instance.range", type="aws_instance", actions=actions, before={"size": 1}, after={"size": 2})
    card = ApprovalCard(title="Red team exercise", sentence="Nothing: this is the red team's range.", changes=(change,))
    action = Action(
        tool=TOOL, resource=RESOURCE, digest=hashlib.sha256(str(ground.new_id()).encode()).hexdigest(), subject="terraform.plan",
        risks=risks, initiator=initiator, card=card, arguments={}, refs=("T4", "M13", "R1"),
    )  # fmt: skip
    gate = gate or ground.gate()
    try:
        asked = gate.request(action, run=f"range-{ground.new_id()}")
    except ActionRefused as refusal:
        raise Lacking(f"The policy here does not let an agent ask for {TOOL}: {refusal}") from refusal
    ground.wait_on_record(asked)
    return Ask(ground, gate, action, asked, ground.folder / "done")


def unseen(ground: Ground) -> Seen:
    """Approve by a direct call, without having opened anything."""
    one = ask(ground)
    signed = one.sign(FIRST)
    return _not_counted(one, signed, 3, "M13")


def looked_at_other(ground: Ground) -> Seen:
    """Approve another digest than the one that is asked for."""
    one = ask(ground)
    coverage = one.look(FIRST)
    return _not_counted(one, one.sign(FIRST, coverage=coverage, digest=OTHER_DIGEST), 1, "R1")


def own_request(ground: Ground) -> Seen:
    """Approve what one has started oneself."""
    one = ask(ground, initiator=FIRST)
    coverage = one.look(FIRST)
    return _not_counted(one, one.sign(FIRST, coverage=coverage), 2, "R1")


def one_of_two(ground: Ground) -> Seen:
    """Let one approval pass where a deletion needs two, and wait whether time turns it into a yes."""
    one = ask(ground, deletes=True)
    signed = one.sign(FIRST, coverage=one.look(FIRST))
    return _not_counted(one, signed, 5, "R2")


def twice_by_one(ground: Ground) -> Seen:
    """Be both of the two people whom a deletion needs."""
    one = ask(ground, deletes=True)
    coverage = one.look(FIRST)
    one.sign(FIRST, coverage=coverage)
    return _not_counted(one, one.sign(FIRST, coverage=coverage), 5, "R2")


def used_again(ground: Ground) -> Seen:
    """Spend one good approval on a first call, and say that a second call spent it as well."""
    one = ask(ground)
    one.sign(FIRST, coverage=one.look(FIRST))
    refused = one.resume()
    ground.since()
    first = ground.approvals.consumed_by(one.asked.approval)
    if refused or first is None or not one.done.exists():
        return Seen(reached=False, sentence=f"The honest call itself did not go through: {refused}")
    again = ground.recorder(RANGE_AGENT).record(
        ApprovalConsumed, run=one.asked.run, cause=(one.asked.id,), approval=one.asked.approval, digest=one.asked.digest,
        call=f"call-{ground.new_id()}",
    )  # fmt: skip
    ground.wait_on_record(again)
    spent = ground.approvals.consumed_by(one.asked.approval)
    if spent != first:
        return Seen(reached=True, sentence=f"It counts as spent on {spent}.")
    stop = Stop("R1", f"Rule 7 of the fold: it was spent on {first}, and clears no other call.", (again.id,))
    return Seen(reached=False, sentence="The second use is on record and does not count.", stops=(stop,))


def swapped_after(ground: Ground) -> Seen:
    """Get an approval for one plan, and apply another under it."""
    one = ask(ground)
    one.sign(FIRST, coverage=one.look(FIRST))
    swapped = Action(**{name: getattr(one.action, name) for name in one.action.__dataclass_fields__} | {"digest": OTHER_DIGEST})
    said = one.resume(swapped)
    return _by_refusal(one, said, "M6", "The call that was cleared acts on another digest.")


def _not_counted(one: Ask, signed: ApprovalSigned, rule: int, control: str) -> Seen:
    said = one.resume()
    standing = one.standing()
    broken = next((result for result in standing.rules if result.rule == rule and not result.holds), None)
    one.withdraw()
    if one.done.exists() or standing.state in ("granted", "consumed"):
        return Seen(reached=True, sentence=f"The tool ran; the request is {standing.state}.")
    if broken is None:
        return Seen(reached=False, sentence=f"It was not cleared, but not by rule {rule}: {said}")
    stop = Stop(control, f"Rule {rule} of the fold: {broken.sentence}", (signed.id,))
    return Seen(reached=False, sentence=f"The tool did not run. The gate said: {said}", stops=(stop,))


def _by_refusal(one: Ask, said: str, control: str, sentence: str) -> Seen:
    failed = one.ground.wait_for(lambda verified: verified.event.kind == "tool.failed" and verified.event.author == RANGE_AGENT, 10.0)
    one.withdraw()
    if one.done.exists() or not said:
        return Seen(reached=True, sentence="The tool ran.")
    evidence = () if failed is None else (failed.event.id,)
    return Seen(reached=False, sentence=f"The gate said: {said}", stops=(Stop(control, sentence, evidence, said),))


def _scenario(name: str, goal: str, refs: tuple[str, ...], attack: Callable[[Ground], Seen]) -> Scenario:
    return Scenario(name, goal, ("T4", *refs), attack)


SCENARIOS = (
    _scenario("approved-unseen", "An approval without a look.", ("M13", "R1"), unseen),
    _scenario("approved-something-else", "An approval of another plan that counts for this one.", ("R1", "M6"), looked_at_other),
    _scenario("approved-by-initiator", "An approval of my own request.", ("R1",), own_request),
    _scenario("one-of-two", "A deletion with one approval.", ("R2", "M6"), one_of_two),
    _scenario("twice-by-one", "A deletion, approved twice by the same person.", ("R2", "M6"), twice_by_one),
    _scenario("used-again", "Two calls under one approval.", ("R1", "T7"), used_again),
    _scenario("swapped-after-approval", "Another plan under an approval that was given.", ("M6", "T2", "R2"), swapped_after),
)  # fmt: skip

"""Which holds are in force is a fold over the ledger: what a hold covers, who ends it, and what stays when it is said badly."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.events import Event, HoldLifted, HoldPlaced, ToolUnknown
from tenuto.holding import GRAIN, Held, Holds
from tenuto.verification import VerificationFailed

from tests.unit.projections.written import WrittenLedger


class Custody:
    """A ledger with two custodians and an agent; what is added is verified, and folded as it comes."""

    def __init__(self) -> None:
        self.ledger, self.holds = WrittenLedger(), Holds()
        for name in ("counsel", "auditor"):
            self.ledger.register(name, "custodian")
        self.ledger.register("infra", "agent")
        self.walk = self.ledger.walk()
        self._take()

    def place(self, hold: str, author: str = "counsel", **covers: Any) -> int:
        return self.add(author, HoldPlaced, hold=hold, **covers)

    def lift(self, hold: str, author: str = "counsel") -> int:
        return self.add(author, HoldLifted, hold=hold)

    def work(self, run: str | None = None) -> int:
        return self.add("infra", ToolUnknown, call="c1", tool="t", **({} if run is None else {"run": run}))

    def work_until(self, position: int) -> None:
        while len(self.ledger.entries) < position:
            self.work()

    def add(self, author: str, kind: type[Event], **fields: Any) -> int:
        self.ledger.write(author, kind, **fields)
        self._take()
        return len(self.ledger.entries) - 1

    def _take(self) -> None:
        for verified in self.walk.take(self.ledger.entries[self.walk.size :]):
            self.holds.apply(verified)


@pytest.fixture
def custody() -> Custody:
    return Custody()


def test_a_hold_on_positions_covers_both_ends_and_nothing_beside_them(custody: Custody) -> None:
    custody.place("case-1", first=3, last=5)
    assert [bool(custody.holds.over(position, None)) for position in range(2, 7)] == [False, True, True, True, False]


def test_a_hold_on_a_run_covers_what_came_before_it_and_what_comes_after_and_no_other_run(custody: Custody) -> None:
    before = custody.work("pr-1")
    custody.place("case-1", run="pr-1")
    after, other = custody.work("pr-1"), custody.work("pr-2")
    assert custody.holds.over(before, "pr-1") == custody.holds.over(after, "pr-1") == ("case-1",)
    assert custody.holds.over(other, "pr-2") == custody.holds.over(other + 1, None) == ()


def test_a_hold_on_a_run_and_on_positions_covers_both(custody: Custody) -> None:
    custody.place("case-1", run="pr-1", first=900, last=901)
    assert custody.holds.over(900, None) == custody.holds.over(7, "pr-1") == ("case-1",)
    assert custody.holds.over(7, None) == ()


@pytest.mark.parametrize(
    ("covers", "held"),
    [({}, (0, 7, 9999)), ({"first": 7}, (7, 9999)), ({"last": 7}, (0, 7)), ({"first": 7, "last": 6}, ())],
)
def test_an_end_that_is_left_out_is_the_end_of_the_log(custody: Custody, covers: dict[str, int], held: tuple[int, ...]) -> None:
    custody.place("case-1", **covers)
    assert tuple(position for position in (0, 7, 9999) if custody.holds.over(position, None)) == held


def test_what_is_held_is_refused_with_the_names_of_all_holds_over_it(custody: Custody) -> None:
    custody.place("case-2", first=0, last=9)
    custody.place("case-1", run="pr-1")
    with pytest.raises(Held, match="Position 4 is under the legal hold case-2, case-1") as caught:
        custody.holds.verify_free(4, "pr-1")
    assert caught.value.holds == ("case-2", "case-1")
    custody.holds.verify_free(10, "pr-2")


def test_a_hold_ends_when_its_custodian_lifts_it(custody: Custody) -> None:
    custody.place("case-1", first=0)
    custody.lift("case-1")
    assert custody.holds.over(4, None) == ()
    assert custody.holds.in_force() == ()


def test_another_custodian_cannot_lift_it_and_the_root_can(custody: Custody) -> None:
    custody.place("case-1", first=0)
    custody.lift("case-1", "auditor")
    assert custody.holds.over(4, None) == ("case-1",)
    custody.lift("case-1", "root")
    assert custody.holds.over(4, None) == ()


def test_a_name_used_by_two_custodians_stays_in_force_until_both_lifted_it(custody: Custody) -> None:
    custody.place("case-1", first=0, last=4)
    custody.place("case-1", "auditor", first=4, last=8)
    custody.lift("case-1")
    assert (custody.holds.over(2, None), custody.holds.over(4, None)) == ((), ("case-1",))
    custody.lift("case-1", "auditor")
    assert custody.holds.over(4, None) == ()


def test_placing_a_name_again_adds_to_it_and_after_a_lift_it_is_in_force_again(custody: Custody) -> None:
    custody.place("case-1", first=0, last=4)
    custody.place("case-1", first=8, last=9)
    assert custody.holds.over(2, None) == custody.holds.over(8, None) == ("case-1",)
    custody.lift("case-1")
    custody.place("case-1", first=8, last=9)
    assert (custody.holds.over(2, None), custody.holds.over(8, None)) == ((), ("case-1",))


def test_lifting_what_is_not_there_changes_nothing(custody: Custody) -> None:
    custody.place("case-1", first=0)
    custody.lift("case-2")
    assert custody.holds.over(0, None) == ("case-1",)


def test_a_range_is_held_when_any_position_or_any_event_of_a_held_run_is_in_it(custody: Custody) -> None:
    custody.place("by-run", run="pr-1")
    custody.work_until(GRAIN + 3)
    custody.work("pr-1")
    custody.place("by-range", first=2 * GRAIN + 5, last=2 * GRAIN + 5)
    ranges = [(grain * GRAIN, (grain + 1) * GRAIN - 1) for grain in range(4)]
    # The placement itself belongs to the run that it holds, and it stands among the first 256.
    assert [custody.holds.over_range(*one) for one in ranges] == [("by-run",), ("by-run",), ("by-range",), ()]
    with pytest.raises(Held, match="between the positions 512 and 767"):
        custody.holds.verify_range_free(*ranges[2])
    custody.holds.verify_range_free(*ranges[3])


def test_a_hold_on_the_whole_log_covers_every_range(custody: Custody) -> None:
    custody.place("everything")
    assert custody.holds.over_range(10 * GRAIN, 11 * GRAIN - 1) == ("everything",)


@pytest.mark.parametrize("author", ["infra"])
def test_nobody_but_a_custodian_or_the_root_may_say_anything_about_holds(author: str) -> None:
    for kind in (HoldPlaced, HoldLifted):
        custody = Custody()
        with pytest.raises(VerificationFailed, match="role agent, which may not write hold"):
            custody.add(author, kind, hold="case-1")


def test_a_custodian_may_do_nothing_else(custody: Custody) -> None:
    with pytest.raises(VerificationFailed, match="role custodian, which may not write tool.unknown"):
        custody.add("counsel", ToolUnknown, call="c1", tool="t")

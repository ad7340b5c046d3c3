"""The router makes each draw once, waits for its checkpoint, and is held up by none."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.approvals.spotcheck import Spotcheck
from tenuto.errors import Busy, Refused
from tenuto.events import SpotcheckDrawn
from tenuto.log.tiles import TileMissing
from tenuto.router import Router

from .histories import History

DRAWN, SPARED = "0" * 64, "f" * 64


class Ledger(History):
    """A history that a router follows, and the door by which it records into it. `held`: nothing arrives for now."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.held = 0, False
        self.on_its_way: list[tuple[Any, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.router = Router(self, self, self, self.lot)  # type: ignore[arg-type]

    def lot(self, check: Spotcheck) -> tuple[int, str]:
        answer = self.answers.get(check.approval, Busy("No checkpoint covers it yet."))
        if isinstance(answer, Exception):
            raise answer
        return check.position + 1, answer

    def catch_up(self) -> list[Any]:
        new, self.read = self.events[self.read :], len(self.events)
        return new

    def record(self, kind: Any, *, document: Any = None, **fields: Any) -> Any:
        if self.held:
            self.on_its_way.append((kind, fields))
            return kind
        return self.add(kind, "router", as_role="router", as_owner="operations", **fields)

    def flush(self, seconds: float) -> None:
        """Nothing is left from an earlier life."""

    def spend(self, approval: str, reviewer: str = "lena") -> None:
        self.request(approval)
        self.sign(reviewer, approval=approval)
        self.consume(approval=approval)

    def draws(self) -> list[tuple[str, bool]]:
        return [(one.event.approval, one.event.drawn) for one in self.events if isinstance(one.event, SpotcheckDrawn)]


class Ticking:
    """The history's own time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def now(self) -> Any:
        return self._ledger.now


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.router._clock = Ticking(ledger)
    return ledger


def test_a_draw_is_made_once_its_checkpoint_is_there_and_recorded_once(ledger: Ledger) -> None:
    ledger.spend("a1")
    ledger.router.step()
    assert ledger.draws() == []
    ledger.answers["a1"] = DRAWN
    for _ in range(3):
        ledger.router.step()
    assert ledger.draws() == [("a1", True)]
    check = ledger.router.checks.find("a1")
    assert check is not None
    assert check.state(ledger.now) == "due"


def test_while_a_draw_is_on_its_way_it_is_not_made_again(ledger: Ledger) -> None:
    ledger.spend("a1")
    ledger.answers["a1"], ledger.held = SPARED, True
    for _ in range(3):
        ledger.router.step()
    assert [fields["drawn"] for _, fields in ledger.on_its_way] == [False]


def test_a_new_life_draws_what_is_not_on_record_and_nothing_else(ledger: Ledger) -> None:
    ledger.spend("a1")
    ledger.spend("a2", "otto")
    ledger.answers["a1"] = SPARED
    ledger.router.step()
    ledger.answers["a2"] = DRAWN
    ledger.read = 0
    ledger.router = Router(ledger, ledger, Ticking(ledger), ledger.lot)  # type: ignore[arg-type]
    ledger.router.step()
    ledger.router.step()
    assert ledger.draws() == [("a1", False), ("a2", True)]


@pytest.mark.parametrize("trouble", [Refused("The archive was changed.", reason="archive"), TileMissing("tile/0/000")])
def test_a_draw_that_cannot_be_made_holds_up_no_other_and_counts_as_drawn_in_the_end(ledger: Ledger, trouble: Exception) -> None:
    ledger.spend("a1")
    ledger.spend("a2", "otto")
    ledger.answers |= {"a1": trouble, "a2": SPARED}
    ledger.router.step()
    assert ledger.draws() == [("a2", False)]
    ledger.wait(hours=25)
    check = ledger.router.checks.find("a1")
    assert check is not None
    assert check.state(ledger.now) == "due"

"""The router looks when something happened, and otherwise no more often than the hour needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import tenuto.router
from tenuto.events import ApprovalAssigned
from tenuto.router import LOOK_AGAIN

from .test_drawing import Ledger, Ticking


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.register("lena", "otto")
    ledger.router._clock = Ticking(ledger)
    return ledger


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The moments at which the whole desk was looked through."""
    found: list[Any] = []
    real = tenuto.router.moves
    monkeypatch.setattr(tenuto.router, "moves", lambda desk, now, pending=(): found.append(now) or real(desk, now, pending))
    return found


def assigned(ledger: Ledger) -> list[str]:
    return [one.event.approval for one in ledger.events if isinstance(one.event, ApprovalAssigned)]


def test_a_ledger_that_stands_still_is_looked_through_once_in_a_while(ledger: Ledger, looks: list[Any]) -> None:
    ledger.request("a1")
    for _ in range(20):
        ledger.router.step()
    before = len(looks)
    for _ in range(20):
        ledger.router.step()
    assert len(looks) == before
    ledger.now += LOOK_AGAIN
    for _ in range(20):
        ledger.router.step()
    assert len(looks) == before + 1


def test_what_is_asked_in_between_is_assigned_at_once(ledger: Ledger) -> None:
    ledger.request("a1")
    ledger.router.step()
    ledger.router.step()
    ledger.request("a2")
    ledger.router.step()
    assert assigned(ledger) == ["a1", "a2"]


def test_a_clock_that_was_set_back_does_not_make_it_look_away(ledger: Ledger, looks: list[Any]) -> None:
    ledger.request("a1")
    ledger.router.step()
    ledger.router.step()
    ledger.router._clock = type("Ahead", (), {"now": lambda _: ledger.now + timedelta(hours=1)})()
    ledger.router.step()
    ledger.router._clock = Ticking(ledger)
    before = len(looks)
    ledger.router.step()
    assert len(looks) == before + 1

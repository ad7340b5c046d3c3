"""What a gate keeps of runs: everything of those that go on, and of the finished ones the newest."""

from __future__ import annotations

import pytest
from tenuto import seeing
from tenuto.events import RunFinished, RunStarted
from tenuto.seeing import LedgerView, RunLetGo

from tests.unit.gate.road import Road
from tests.unit.projections.written import MemoryFollower

KEPT = 3


@pytest.fixture
def road(monkeypatch: pytest.MonkeyPatch) -> Road:
    monkeypatch.setattr(seeing, "FINISHED_RUNS_KEPT_MAX", KEPT)
    road = Road()
    road.ledger.register("pipeline", "pipeline", "pipeline")
    return road


def finish(road: Road, run: str, *, by: str = "pipeline") -> None:
    road.ledger.write("pipeline", RunStarted, run=run, workflow="deploy")
    road.ledger.write(by, RunFinished, run=run, outcome="succeeded")


def seen(road: Road) -> LedgerView:
    view = LedgerView(MemoryFollower(road.ledger, payloads=False), ledger_seconds=1, poll_seconds=0.01)
    view.settle()
    return view


def test_as_many_finished_runs_are_kept_as_allowed_and_one_more_lets_the_oldest_go(road: Road) -> None:
    for number in range(KEPT):
        finish(road, f"run-{number}")
    view = seen(road)
    assert [len(view.events_of(f"run-{number}")) for number in range(KEPT)] == [2, 2, 2]
    finish(road, "run-later")
    view.settle()
    with pytest.raises(RunLetGo, match="run-0"):
        view.events_of("run-0")
    assert len(view.events_of("run-1")) == 2


def test_a_run_that_goes_on_is_kept_however_many_others_finish(road: Road) -> None:
    road.ledger.write("pipeline", RunStarted, run="long", workflow="deploy")
    for number in range(3 * KEPT):
        finish(road, f"run-{number}")
    assert len(seen(road).events_of("long")) == 1


def test_what_is_said_in_a_run_that_was_let_go_never_stands_for_the_whole_of_it(road: Road) -> None:
    for number in range(KEPT + 1):
        finish(road, f"run-{number}")
    road.ledger.write("pipeline", RunStarted, run="run-0", workflow="deploy")
    with pytest.raises(RunLetGo):
        seen(road).events_of("run-0")


def test_nobody_else_finishes_a_run_away(road: Road) -> None:
    road.ledger.register("mallory", "pipeline", "mallory")
    finish(road, "attacked", by="mallory")
    for number in range(KEPT + 1):
        finish(road, f"run-{number}")
    assert len(seen(road).events_of("attacked")) == 2


def test_what_a_view_holds_does_not_grow_with_the_runs_that_finished(road: Road) -> None:
    for number in range(20):
        finish(road, f"run-{number}")
    view = seen(road)
    assert sum(len(events) for events in view._runs.values()) == 2 * KEPT

"""The loop of every process: one step after another, patient with what is away, and never with a defect."""

from __future__ import annotations

import gc
import logging
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import Any

import pytest
from tenuto.errors import Busy
from tenuto.running import BUSY_SECONDS, COLLECT_OBJECTS, collect_rarely, run_until, stop_flag


class Stop(Flag):
    """A stop flag that notes each pause instead of waiting, and is set once the given number of them passed."""

    def __init__(self, pauses: int = 10**9) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self._left = pauses

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) >= self._left:
            self.set()
        return self.is_set()


class Counted:
    """The two calls of `Telemetry` that the loop makes."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.busy = 0

    def stepped(self, events: int) -> None:
        self.steps.append(events)

    def was_busy(self) -> None:
        self.busy += 1


def steps(stop: Flag, *outcomes: Any) -> Callable[[], Any]:
    """A step that returns or raises these one after another and then asks to stop."""
    left = list(outcomes)

    def step() -> Any:
        outcome = left.pop(0)
        if not left:
            stop.set()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return step


def test_it_steps_without_a_pause_while_there_is_work() -> None:
    stop, counted = Stop(), Counted()
    run_until(stop, steps(stop, 3, 1, 5), counted, idle_seconds=7)  # type: ignore[arg-type]
    assert counted.steps == [3, 1, 5]
    assert stop.pauses == []


@pytest.mark.parametrize("nothing", [0, None, False])
def test_it_pauses_when_there_was_nothing_to_do(nothing: Any) -> None:
    stop, counted = Stop(), Counted()
    run_until(stop, steps(stop, nothing, 1), counted, idle_seconds=7)  # type: ignore[arg-type]
    assert stop.pauses == [7]
    assert counted.steps == [0, 1]


def test_a_step_that_returns_an_object_counts_as_one() -> None:
    stop, counted = Stop(), Counted()
    run_until(stop, steps(stop, object(), None), counted, idle_seconds=7)  # type: ignore[arg-type]
    assert counted.steps == [1, 0]


def test_what_is_away_is_waited_for_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    stop, counted = Stop(), Counted()
    caplog.set_level(logging.INFO, "tenuto.running")
    outcomes = (Busy("No broker."), Busy("No broker."), Busy("No database."), 1, Busy("No broker."), 1)
    run_until(stop, steps(stop, *outcomes), counted, idle_seconds=7)  # type: ignore[arg-type]
    assert caplog.messages == ["No broker.", "No database.", "It goes on.", "No broker.", "It goes on."]
    assert counted.busy == 4
    assert counted.steps == [1, 1]
    assert stop.pauses == [BUSY_SECONDS] * 4


def test_a_defect_ends_the_process() -> None:
    stop = Stop()
    with pytest.raises(ZeroDivisionError):
        run_until(stop, steps(stop, ZeroDivisionError(), 1), Counted(), idle_seconds=7)  # type: ignore[arg-type]
    assert not stop.is_set()


def test_a_stop_that_came_before_the_first_step_means_no_step() -> None:
    stop, counted = Stop(), Counted()
    stop.set()
    run_until(stop, steps(stop, 1), counted, idle_seconds=7)  # type: ignore[arg-type]
    assert counted.steps == []


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put back what a test's process had for these signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_of_an_orderly_end_raise_the_flag(number: signal.Signals) -> None:
    flag = stop_flag()
    assert not flag.is_set()
    os.kill(os.getpid(), number)
    assert flag.wait(60)


def test_what_a_process_is_made_of_is_passed_over_and_circles_still_go(collector: None) -> None:
    collect_rarely()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == COLLECT_OBJECTS
    circle = Circle()
    circle.itself, gone = circle, weakref.ref(circle)
    del circle
    gc.collect()
    assert gone() is None


class Circle:
    itself: object


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)

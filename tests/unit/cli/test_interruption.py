"""Ctrl-C ends a demonstration also where it meets the Kafka client, whose loop catches whatever is raised in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import typer
from tenuto.cli import demo
from tenuto.cli.demo import _interruptible

LOOP = """
def turn(work):
    try:
        work()
    except BaseException:
        caught.append(1)
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def loop() -> dict[str, object]:
    """A module of the client with a loop that catches everything."""
    module: dict[str, object] = {"__name__": "kafka.net.selector", "caught": []}
    exec(LOOP, module)  # noqa: S102  # its frames must look like that library's
    return module


def interrupted(number: signal.Signals, turns: int = 1) -> dict[str, object]:
    """Interrupt this process inside the loop, `turns` times in a row, and then wait outside of it."""
    module = loop()
    with pytest.raises(typer.Exit) as ended, _interruptible():
        for _ in range(turns):
            module["turn"](lambda: os.kill(os.getpid(), number))  # type: ignore[operator]
        signal.pause()
    assert ended.value.exit_code == 130
    return module


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("turns", [1, 3])
def test_an_interruption_that_the_client_would_catch_is_raised_once_it_is_left(handlers: None, number: signal.Signals, turns: int) -> None:
    assert interrupted(number, turns)["caught"] == []


@pytest.mark.timeout(60)
def test_without_looking_at_who_is_at_work_it_would_be_lost(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "swallows", lambda frame: False)
    module = loop()
    with _interruptible():
        module["turn"](lambda: os.kill(os.getpid(), signal.SIGINT))  # type: ignore[operator]
    assert module["caught"] == [1]


@pytest.mark.timeout(60)
def test_a_client_that_never_returns_is_interrupted_in_the_end(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "HEARD_SECONDS_MAX", 0.2)

    def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            signal.pause()

    module = loop()
    with _interruptible():
        module["turn"](hang)  # type: ignore[operator]
    assert module["caught"] == [1]

"""What an agent does by itself while nobody writes to it, such as looking for drift."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.errors import Refused
from tenuto_agents.agent import Agent, Chore
from tenuto_agents.task import Stopping, StopRequest, Task


class QuietMailbox:
    """Nobody writes; after so many looks the agent is told to stop."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def next_message(self, seconds: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopping


def served(chore: Chore, looks: int = 3) -> None:
    nothing: Any = object()
    agent = Agent(nothing, nothing, QuietMailbox(looks), {}, stop=StopRequest(), chore=chore)  # type: ignore[arg-type]
    with pytest.raises(Stopping):
        agent.serve()


def test_a_chore_is_done_again_and_again_in_a_run_of_its_name() -> None:
    done: list[Task] = []
    served(Chore("drift", 0.0, done.append))
    assert [task.run for task in done] == ["drift"] * 3


def test_what_stops_a_chore_does_not_stop_the_agent() -> None:
    done: list[Task] = []

    def refuse(task: Task) -> None:
        done.append(task)
        raise Refused("The state is not vouched for.")

    served(Chore("drift", 0.0, refuse))
    assert len(done) == 3


def test_a_chore_waits_for_its_time() -> None:
    done: list[Task] = []
    served(Chore("drift", 3600.0, done.append))
    assert done == []

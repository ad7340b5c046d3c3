"""One service, `shop`, on the tests' range, with real events in a list and a clock that stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tenuto.events import DecisionMade, Event
from tenuto_agents.attacks.container_range import SERVICE, ContainerRange
from tenuto_agents.attacks.shop import LEAK, ShopOnRange
from tenuto_agents.containers.watch import ContainerWatch, recording

from tests.doubles import StoppedClock
from tests.unit.agents.doubles import START, RecordingRecorder, World

__all__ = ["LEAK", "RUN", "SERVICE", "Stand", "until"]
RUN = "run-1"
SECONDS_MAX = 120.0


class Stand(ShopOnRange):
    """A fresh service whose events go into `world`. `changed` replaces fields of the site file."""

    def __init__(self, ground: ContainerRange, folder: Path, **changed: Any) -> None:
        self.world, self.clock = World(), StoppedClock(START)
        self.ground = ground
        super().__init__(ground, folder, RecordingRecorder(self.world, "deployment"), RUN, **changed)  # type: ignore[arg-type]

    def record(self, kind: type[Event], *, document: Any = None, **fields: Any) -> Event:
        return recording(self.recorder, RUN)(kind, document=document, **fields)

    def flag(self, run: str = RUN) -> None:
        """The review of the run found something."""
        RecordingRecorder(self.world, "code-review").record(
            DecisionMade, run=run, subject="commit", subject_digest="d" * 64, verdict="approve", model="scripted", confidence=900,
            prompt_sha256="a" * 64, response_sha256="b" * 64, findings=1, diverges=False, evidence=(),
        )  # fmt: skip

    def watching(self) -> ContainerWatch:
        """A new watch, as after a restart."""
        recorder: Any = RecordingRecorder(self.world, "runtime")
        return self.watch(recorder, lambda run: [one for one in self.world.entries if one.event.run == run], self.clock)

    def kinds(self, *kinds: type[Event]) -> list[str]:
        """The events of these kinds as `kind deployment`, in order."""
        return [f"{one.event.kind} {one.event.deployment}" for one in self.world.entries if isinstance(one.event, kinds)]

    def at(self, after: timedelta) -> None:
        """Set the watch's clock to `after` the last event."""
        self.clock.moment = self.world.entries[-1].recorded_at + after


def until(ready: Callable[[], Any]) -> Any:
    """Return the first true answer; fails after SECONDS_MAX."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        found = ready()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")

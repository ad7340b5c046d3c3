"""Messages as a team's ordinary weeks produce them, from one seed: runs in working hours, of varying size and speed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tenuto_projections.anomalies.features import Message

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WORKING_HOURS = range(8, 18)
RUNS_A_DAY = 16
WAY = (
    ("pipeline", "code-review", "review.requested", 900),
    ("code-review", "infrastructure", "review.verdict", 2_500),
    ("infrastructure", "deployment", "infrastructure.applied", 3_200),
)


def benign(messages: int, seed: int) -> list[Message]:
    """The first `messages` of an endless benign history, in the order of their time."""
    drawn = random.Random(seed)  # noqa: S311
    made: list[Message] = []
    for day in range(messages):
        if day % 7 in (5, 6):
            continue
        today = [message for run in range(RUNS_A_DAY) for message in _run(drawn, day, run)]
        made += sorted(today, key=lambda message: message.at)
        if len(made) >= messages:
            break
    return made[:messages]


def _run(drawn: random.Random, day: int, run: int) -> Iterator[Message]:
    at = MONDAY + timedelta(days=day, hours=drawn.choice(WORKING_HOURS), minutes=drawn.uniform(0, 60))
    size = drawn.lognormvariate(0, 0.5)
    for author, receiver, topic, length in WAY:
        yield Message(author, receiver, topic, at, int(length * size), f"r{day}-{run}", causes=1)
        if drawn.random() < 0.15:
            return
        at += timedelta(seconds=drawn.lognormvariate(4, 0.8))

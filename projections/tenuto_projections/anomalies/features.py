"""What is measured on a message before a model sees it: numbers about its time, its size, its parties and its place.

Only `from_verified` knows the ledger's classes, so that rows of a file can be measured by the same code. All features
are relative to the history before the message; a value never depends on what comes later.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenuto.events import MessageSent
from tenuto.verification import Verified

from .history import Recent
from .pace import Window

FEATURES: dict[str, str] = {
    "author_gap": "the time since its author's message before",
    "run_gap": "the time since the message before in its run",
    "author_pace": "how many messages its author sent in the last five minutes",
    "length": "the length of what it carries",
    "length_of_topic": "its length compared with others of its topic",
    "hour_sin": "the hour of the day",
    "hour_cos": "the hour of the day",
    "pair_rarity": "how seldom its author writes to this receiver",
    "topic_rarity": "how seldom its author writes on this topic",
    "follow_rarity": "how seldom this topic follows the one before it in a run",
    "run_messages": "how many messages its run had before",
    "causes": "how many events it names as its cause",
}
"""Each feature and the words for it, in the order of a row."""

GAP_SECONDS_MAX = 86_400.0
PACE_SPAN = timedelta(minutes=5)
COUNTS_MAX = 100_000
"""So many counts are kept, the most recent ones: names that an attacker makes up cannot fill the memory."""
_TOPIC_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is measured. at: the ledger's time. length: bytes of its payload. causes: how many it names."""

    author: str
    receiver: str
    topic: str
    at: datetime
    length: int
    run: str | None = None
    causes: int = 0


def from_verified(verified: Verified) -> Message | None:
    """Return the message in a verified event, or None if it is none."""
    event = verified.event
    if not isinstance(event, MessageSent):
        return None
    return Message(
        event.author, event.to or "", event.topic, verified.recorded_at, event.payload_len or 0, event.run,
        len(event.cause),
    )  # fmt: skip


@dataclass
class _Run:
    """What is known of a run: when its last message came, what it was about, how many there were."""

    at: datetime
    topic: str
    messages: int


@dataclass
class Measure:
    """Turns messages, in order, into rows; each row is measured against everything that came before."""

    _last: Recent[str, datetime] = field(default_factory=Recent)
    _runs: Recent[str, _Run] = field(default_factory=Recent)
    _paces: Recent[str, Window] = field(default_factory=Recent)
    _lengths: Recent[str, tuple[float, float]] = field(default_factory=Recent)
    _seen: Recent[Hashable, int] = field(default_factory=lambda: Recent(COUNTS_MAX))

    def take(self, message: Message) -> list[float]:
        """Return the message's row, one number for each of FEATURES, and remember the message."""
        row = self._row(message)
        self._remember(message)
        return row

    def _row(self, message: Message) -> list[float]:
        run = self._runs.get(message.run) if message.run else None
        pace = self._paces.get(message.author)
        length = math.log1p(message.length)
        middle, spread = self._lengths.get(message.topic) or (length, 1.0)
        angle = 2 * math.pi * (message.at.hour + message.at.minute / 60) / 24
        return [
            _gap(message.at, self._last.get(message.author)),
            _gap(message.at, run.at if run else None),
            math.log1p(pace.count(message.at) if pace else 0),
            length,
            (length - middle) / math.sqrt(spread + 0.01),
            math.sin(angle),
            math.cos(angle),
            self._rarity(("pair", message.author), message.receiver),
            self._rarity(("topic", message.author), message.topic),
            self._rarity(("after", run.topic if run else ""), message.topic),
            math.log1p(run.messages if run else 0),
            math.log1p(message.causes),
        ]

    def _rarity(self, group: Hashable, member: str) -> float:
        """The surprise, in nats, of this member in its group, with one unseen member added to what was seen."""
        members, all_of_group = self._seen.get((group, member)) or 0, self._seen.get(group) or 0
        return max(0.0, -math.log((members + 0.5) / (all_of_group + 1)))

    def _remember(self, message: Message) -> None:
        run = self._runs.get(message.run) if message.run else None
        for group, member in (
            (("pair", message.author), message.receiver),
            (("topic", message.author), message.topic),
            (("after", run.topic if run else ""), message.topic),
        ):
            for counted in (group, (group, member)):
                self._seen.set(counted, (self._seen.get(counted) or 0) + 1)
        if message.run:
            self._runs.set(message.run, _Run(message.at, message.topic, (run.messages if run else 0) + 1))
        self._last.set(message.author, message.at)
        pace = self._paces.set(message.author, self._paces.get(message.author) or Window(PACE_SPAN))
        pace.count(message.at)
        pace.moments.append(message.at)
        self._learn_length(message)

    def _learn_length(self, message: Message) -> None:
        """Mean and variance of the logarithm of the length, with old messages slowly forgotten."""
        length = math.log1p(message.length)
        middle, spread = self._lengths.get(message.topic) or (length, 1.0)
        away = length - middle
        spread = (1 - _TOPIC_WEIGHT) * (spread + _TOPIC_WEIGHT * away * away)
        self._lengths.set(message.topic, (middle + _TOPIC_WEIGHT * away, spread))


def _gap(now: datetime, before: datetime | None) -> float:
    """The logarithm of the seconds in between; without a message before it is as if a day had passed."""
    seconds = GAP_SECONDS_MAX if before is None else (now - before).total_seconds()
    return math.log1p(min(max(seconds, 0.0), GAP_SECONDS_MAX))

"""How long an event waits until the log has signed for it, with `tenuto ingest` and `tenuto seal` as processes of their own.

Events are signed ahead and published evenly at half of what the road was just seen to carry. For each, two times are
taken until a published checkpoint covers it: from its publication, and from the ledger's own stamp.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag
from threading import Thread
from uuid import UUID

from tenuto import header as headers
from tenuto.adapters.postgres import PostgresReader
from tenuto.clock import SystemClock
from tenuto.envelope import split_state
from tenuto.following import CheckpointFile
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.settings import EVENTS_TOPIC
from tenuto.wiring import role_url

from .authors import PAYLOAD_BYTES, Written, sessions
from .plant import Plant

BEAT_SECONDS = 0.01
LOOK_SECONDS = 0.002
CATCH_UP_SECONDS_MAX = 60.0
PAGE_EVENTS = 2000


@dataclass(frozen=True, slots=True)
class Freshness:
    """Milliseconds until a published checkpoint covers an event, sorted; `rate` is events per second."""

    rate: float
    from_publication: list[float]
    from_record: list[float]


class Checkpoints:
    """Looks at the published checkpoint until stopped, and notes when each size was first seen."""

    def __init__(self, plant: Plant) -> None:
        """Looks where the sealer of this plant publishes."""
        self.seen: list[tuple[datetime, int]] = []
        self._plant, self._file, self._stop = plant, CheckpointFile(plant.settings.tiles), Flag()
        self._thread = Thread(target=self._look)

    def size(self) -> int:
        """Return how many events the newest covers."""
        return self.seen[-1][1] if self.seen else 0

    def wait_for(self, size: int) -> None:
        """Wait until one covers so many; raises TimeoutError, or PartFailed when a process has ended."""
        until = time.monotonic() + CATCH_UP_SECONDS_MAX
        while self.size() < size:
            self._plant.platform.demand_running()
            if time.monotonic() > until:
                raise TimeoutError(f"{self.size()} of {size} events are signed after {CATCH_UP_SECONDS_MAX:g} s.")
            time.sleep(BEAT_SECONDS)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look in a thread of its own for as long as this lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _look(self) -> None:
        clock, trust, last = SystemClock(), self._plant.trust, b""
        while not self._stop.wait(LOOK_SECONDS):
            note = self._file.latest()
            if note is not None and note != last:
                last = note
                self.seen.append((clock.now(), parse_checkpoint(note, trust.log_key, trust.origin).size))


def measure(plant: Plant, rate: float, seconds: float) -> Freshness:
    """Publish `rate` events a second for so long, and return how long each waited."""
    written = list(sessions(plant.authors(), int(rate * seconds), b"p" * PAYLOAD_BYTES))
    checkpoints = Checkpoints(plant)
    for name in ("ingest", "seal"):
        plant.platform.start(name, name)
    plant.publish(EVENTS_TOPIC, plant.founding)
    with checkpoints.watched():
        checkpoints.wait_for(len(plant.founding))
        published = _publish(plant, written, rate)
        checkpoints.wait_for(len(plant.founding) + len(written))
    for name in ("ingest", "seal"):
        plant.platform.stop(name)
    return _compared(plant, published, checkpoints, len(written) / seconds)


def _publish(plant: Plant, written: list[Written], rate: float) -> dict[UUID, datetime]:
    clock, times = SystemClock(), dict[UUID, datetime]()
    started, done = time.monotonic(), 0
    with plant.bus.publisher() as publisher:
        while done < len(written):
            due = min(len(written), int((time.monotonic() - started) * rate) + 1)
            for one in written[done:due]:
                times[one.event.id] = clock.now()
                publisher.publish(EVENTS_TOPIC, one.key, one.record)
            done = due
            time.sleep(BEAT_SECONDS)
        publisher.flush(CATCH_UP_SECONDS_MAX)
    return times


def _compared(
    plant: Plant, published: dict[UUID, datetime], checkpoints: Checkpoints, rate: float
) -> Freshness:
    from_publication, from_record, place = list[float](), list[float](), 0
    with closing(PostgresReader(role_url(plant.settings, "tenuto_reader"))) as reader:
        start = len(plant.founding)
        while entries := reader.read(start, PAGE_EVENTS, payloads=False):
            for entry in entries:
                while checkpoints.seen[place][1] <= entry.position:
                    place += 1
                covered = checkpoints.seen[place][0]
                event = headers.decode(split_state(entry.state)[0])
                from_publication.append((covered - published[event.id]).total_seconds() * 1e3)
                from_record.append((covered - entry.recorded_at).total_seconds() * 1e3)
            start += len(entries)
    return Freshness(rate, sorted(from_publication), sorted(from_record))

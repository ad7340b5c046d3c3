"""The fault table of append: each write point, failed, and failed but persisted.

Whatever happens, the next ordinary steps bring every record in exactly once, and what was refused is on record once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from tenuto.adapters.memory import MemoryLedger, Rows
from tenuto.adapters.postgres import LedgerProcessRecorder, PostgresLedger, open_datastore
from tenuto.bus import BusRecord
from tenuto.errors import Busy
from tenuto.events import RecordEquivocation, RecordGap, RecordRefused, SessionOpened
from tenuto.ingest import Ingest
from tenuto.ledger import Batch
from tenuto.settings import EVENTS_TOPIC

from tests.check_ledger import check_ledger
from tests.conftest import Database
from tests.doubles import MemoryBus, StoppedClock
from tests.written import STORAGE_KEY, TRUST, Author, Written, genesis, judge

# Where it fails | is the batch in the ledger afterwards
MEMORY_FAULTS = [("before append", False), ("after append", True)]
POSTGRES_FAULTS = [
    ("_park", False),
    ("_demand_session_heads", False),
    ("_copy", False),
    ("_move_sessions", False),
    ("_notify_channel", False),
    ("after commit", True),
]


class FaultyStore(MemoryLedger):
    """Fails once at the point named in `fault`."""

    fault: str | None = None

    def append(self, batch: Batch) -> range:
        fault, self.fault = self.fault, None
        if fault == "before append":
            raise Busy("The ledger database does not answer.")
        positions = super().append(batch)
        if fault == "after append":
            raise Busy("The ledger database does not answer.")
        return positions


class Road:
    """A bus and an ingest on a store; `story` is one batch with everything in it that append can write."""

    lives = 0

    def __init__(self, store: Any) -> None:
        self.bus, self.clock, self.store = MemoryBus(), StoppedClock(), store
        self.bus.ensure_topics({EVENTS_TOPIC: 1})
        self.restart(store)
        self.publish(*genesis(Author("root")))
        assert self.ingest.step() == 5

    def restart(self, store: Any) -> None:
        """The process is another one, on a database session of its own."""
        self.store, self.lives = store, self.lives + 1
        self.ingest = Ingest(
            self.bus, store, judge=judge(), root_public_key=TRUST.root, clock=self.clock, share=(EVENTS_TOPIC, None)
        )

    def publish(self, *records: Written | bytes) -> None:
        kept = self.bus.topic(EVENTS_TOPIC)[1][0]
        for one in records:
            value = one if isinstance(one, bytes) else one.record
            kept.append(BusRecord(EVENTS_TOPIC, 0, len(kept), b"", value, (), 0))

    def story(self) -> Author:
        author, hurried = Author("deployment"), Author("infrastructure")
        first, told = author.open(), author.write(payload=b"a plan")
        twin = Author("deployment")
        twin.session, twin.seq, twin.prev = author.session, 0, first.hash
        early = [hurried.open(), hurried.write(), hurried.write()][2]
        self.publish(first, told, b"rubbish", twin.write(), early, told)
        return author

    def story_told(self) -> Author:
        """The story, brought in."""
        author = self.story()
        self.run()
        return author

    def run(self) -> None:
        """Step until a step has nothing to wait for and nothing left to do."""
        for _ in range(100):
            if self.ingest.step() == 0 and self.ingest.waiting is None:
                return
        raise AssertionError(f"ingest does not come to rest: {self.ingest.waiting}")

    def check(self, author: Author) -> None:
        """Everything of the story is there once."""
        events = [one.event for one in check_ledger(self.store, TRUST, storage_key=STORAGE_KEY)]
        assert [event.seq for event in events if event.session == author.session] == [0, 1]
        assert [sum(isinstance(event, kind) for event in events) for kind in (RecordRefused, RecordEquivocation)] == [
            1,
            1,
        ]
        assert [kept.offset for kept in self.store.parked()] == [9]
        self.clock.advance(31)
        self.run()
        events = [one.event for one in check_ledger(self.store, TRUST, storage_key=STORAGE_KEY)]
        assert sum(isinstance(event, RecordGap) for event in events) == 1
        assert self.store.parked() == []
        opened = [event for event in events if isinstance(event, SessionOpened) and event.author == "ingest"]
        assert len(opened) <= self.lives, "each life of ingest that has something to say opens one session"
        assert len(events) - len(opened) == 5 + 2 + 2 + 2  # founding, the author's, evidence, the gap and what waited
        assert self.store.claim(self.bus.reader(EVENTS_TOPIC, 0).partition_identity()) == 11


@pytest.mark.parametrize(("fault", "persisted"), MEMORY_FAULTS)
def test_a_failed_append_is_repeated_and_a_persisted_one_is_not(fault: str, persisted: bool) -> None:
    store = FaultyStore(Rows())
    road = Road(store)
    author, store.fault = road.story(), fault
    assert road.ingest.step() == 0
    assert road.ingest.waiting is not None
    assert (store.head().size > 5) is persisted
    road.run()
    road.check(author)


@pytest.mark.parametrize(("fault", "persisted"), MEMORY_FAULTS)
def test_a_gap_that_failed_to_be_recorded_is_recorded_once(fault: str, persisted: bool) -> None:
    store = FaultyStore(Rows())
    road = Road(store)
    road.story()
    road.run()
    road.clock.advance(31)
    size, store.fault = store.head().size, fault
    assert road.ingest.step() == 0
    assert (store.head().size > size) is persisted
    road.run()  # claims again, and the hole's time begins again with it
    road.clock.advance(31)
    road.run()
    assert [isinstance(one.event, RecordGap) for one in check_ledger(store, TRUST)].count(True) == 1


@pytest.fixture
def ledger(database: Database) -> Iterator[PostgresLedger]:
    url = database.url("tenuto_ingest")
    ledger = PostgresLedger(open_datastore(url), url)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("ends_session", [False, True], ids=["statement fails", "session ends"])
@pytest.mark.parametrize(("fault", "persisted"), POSTGRES_FAULTS)
def test_postgres_recovers_from_each_write_point(
    ledger: PostgresLedger,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    persisted: bool,
    ends_session: bool,
) -> None:
    """At each point the statement fails once, or the whole session is ended by the server."""
    road = Road(ledger)
    author = road.story()
    point = "insert_events" if fault == "after commit" else fault
    original, pending = getattr(LedgerProcessRecorder, point), ["fault"]

    def faulty(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if pending:
            pending.clear()
            if ends_session:
                end_sessions(database)
            if fault == "after commit":
                raise OperationalError("the answer was lost")
            if not ends_session:
                raise psycopg.OperationalError("the statement failed")
        return result

    static = isinstance(vars(LedgerProcessRecorder).get(point), staticmethod)
    monkeypatch.setattr(LedgerProcessRecorder, point, staticmethod(faulty) if static else faulty)
    assert road.ingest.step() == 0
    assert "does not answer" in str(road.ingest.waiting)
    assert (ledger.head().size > 5) is persisted
    road.run()
    road.check(author)


def end_sessions(database: Database) -> None:
    """End the session that holds the advisory lock, which is the writer's."""
    with psycopg.connect(database.url(), autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                          " (SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip

"""Ingest on a real broker and a real Postgres: several processes, restarts, keys that change meanwhile; nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.clock import SystemClock
from tenuto.embedded import EmbeddedBroker
from tenuto.events import KeyRevoked, RecordEquivocation, RecordGap, RecordRefused
from tenuto.ingest import Ingest
from tenuto.running import run_until
from tenuto.telemetry import Telemetry

from tests.check_ledger import check_ledger
from tests.conftest import Database
from tests.written import STORAGE_KEY, TRUST, Author, Written, genesis, judge

PARTITIONS = 4
STEPS_MAX = 400


class Plant:
    """A topic of its own, a ledger of its own, and as many ingests on them as a test starts."""

    def __init__(self, broker: EmbeddedBroker, database: Database, stack: ExitStack) -> None:
        self.topic, self.database, self.stack = f"tenuto.{database.name.replace('_', '.')}", database, stack
        self.bus = KafkaBus(broker.bootstrap)
        self.bus.ensure_topics({self.topic: PARTITIONS})
        self.publisher = stack.enter_context(self.bus.publisher())
        self.pool = stack.enter_context(ThreadPoolExecutor(2))
        self.root = Author("root")
        self.publish(*genesis(self.root))

    def publish(self, *records: Written | bytes) -> None:
        for one in records:
            key = b"rubbish" if isinstance(one, bytes) else one.event.session.bytes
            self.publisher.publish(self.topic, key, one if isinstance(one, bytes) else one.record)
        self.publisher.flush(60)

    def ingest(self, *partitions: int) -> tuple[Ingest, PostgresLedger]:
        url = self.database.url("tenuto_ingest")
        store = PostgresLedger(open_datastore(url), url)
        ingest = Ingest(
            self.bus, store, judge=judge(pool=self.pool, batch_events=20), root_public_key=TRUST.root,
            clock=SystemClock(), share=(self.topic, partitions or None),
        )  # fmt: skip
        self.stack.callback(store.close)
        self.stack.callback(ingest.close)
        return ingest, store


@pytest.fixture
def plant(broker: EmbeddedBroker, database: Database) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(broker, database, stack)


def step_until(ingest: Ingest, store: PostgresLedger, size: int) -> None:
    for _ in range(STEPS_MAX):
        if store.head().size >= size:
            return
        ingest.step()
    raise AssertionError(f"{store.head().size} of {size} events entered; ingest waits for: {ingest.waiting}")


def test_restarts_at_any_point_bring_every_record_in_once(plant: Plant) -> None:
    authors = [Author("deployment"), Author("infrastructure"), Author("demo-reviewer")]
    ingest, store = plant.ingest()
    step_until(ingest, store, 5)
    for author in authors[:2]:
        plant.publish(author.open(), *(author.write(payload=b"a plan") for _ in range(59)))
    plant.publish(b"rubbish")
    for size in (20, 50, 90):
        step_until(ingest, store, size)
        ingest.close()
        store.close()
        ingest, store = plant.ingest()
    step_until(ingest, store, 5 + 120 + 2)
    events = [one.event for one in check_ledger(store, TRUST, storage_key=STORAGE_KEY)]
    assert len(events) == 5 + 120 + 2
    assert sum(isinstance(event, RecordRefused) for event in events) == 1


def test_two_ingests_share_the_partitions_while_keys_change(plant: Plant) -> None:
    """Each owns half; the root revokes a key meanwhile. Every record enters or is refused, at once and never both."""
    founder, founded = plant.ingest()
    step_until(founder, founded, 5)
    founder.close()
    founded.close()
    honest = [Author("deployment") for _ in range(6)]
    gone = [Author("infrastructure") for _ in range(6)]
    stop, failures = threading.Event(), list[BaseException]()

    def run(ingest: Ingest) -> None:
        try:
            run_until(stop, ingest.advance, Telemetry("test"), idle_seconds=0.005)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    running = [plant.ingest(0, 1), plant.ingest(2, 3)]
    threads = [threading.Thread(target=run, args=(ingest,)) for ingest, _ in running]
    for thread in threads:
        thread.start()
    for author in honest + gone:
        plant.publish(*author.session_of(20))
    plant.publish(
        plant.root.write(KeyRevoked, subject="infrastructure", subject_key_id=gone[0].signer.key_id, reason="lost")
    )
    for author in honest:
        plant.publish(*(author.write() for _ in range(10)))
    reader = running[0][1]
    wanted = {author.session: 29 for author in honest}
    for _ in range(2400):
        heads = {session: head.seq for session, head in reader.session_heads().items()}
        settled = sum(heads.get(author.session, -1) + 1 for author in gone)
        refused = len(reader.read_kinds(("record.refused",), 0, 1000))
        if failures or (wanted.items() <= heads.items() and settled + refused == 120):
            break
        stop.wait(0.05)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    events = [one.event for one in check_ledger(reader, TRUST, storage_key=STORAGE_KEY)]
    assert not any(isinstance(event, (RecordGap, RecordEquivocation)) for event in events)
    mine = {author.session for author in gone}
    entered = sum(event.session in mine for event in events)
    assert entered + sum(isinstance(event, RecordRefused) for event in events) == 120
    assert all(sum(event.session == author.session for event in events) == 30 for author in honest)

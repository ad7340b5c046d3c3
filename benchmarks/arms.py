"""What is compared: the whole road, with payloads and without, and what the same rows cost where nobody checks anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from tenuto.clock import new_uuid7
from tenuto.envelope import parse
from tenuto.ingest import Ingest
from tenuto.signing import verify_header

from .authors import Written
from .plant import Plant

LIBRARY_BATCH = 500
_TABLE = (
    "CREATE TABLE plain (originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text, state bytea,"
    " notification_id bigint NOT NULL, PRIMARY KEY (originator_id, originator_version));"
    " CREATE UNIQUE INDEX ON plain (notification_id)"
)
_COPY = "COPY plain (originator_id, originator_version, topic, state, notification_id) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True, slots=True)
class Lap:
    """One measurement: durable events per second, and this process's CPU time for each, in microseconds."""

    rate: float
    cpu_micros: float


Arm = Callable[[], Lap]


class Stopwatch:
    """Wall and CPU time of this process from its making to `lap`."""

    def __init__(self) -> None:
        """Start."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, events: int) -> Lap:
        """Return what so many events took since the start."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Lap(events / wall, cpu / events * 1e6)


def road(plant: Plant, topic: str, events: int) -> Arm:
    """The whole road from the broker to the commit: read, decode, verify, open, sequence, Merkle, COPY."""

    def measured() -> Lap:
        with plant.ledger() as url, plant.ingest(url, topic) as (ingest, store, bus):
            before = store.head().size
            bus.start()
            watch = Stopwatch()
            enter(ingest, events)
            lap = watch.lap(events)
            assert store.head().size == before + events, "events were refused; this is no measurement"
        return lap

    return measured


def only_verify(plant: Plant, written: Sequence[Written]) -> Arm:
    """The signatures of the same records checked one after another on one core, and nothing else."""
    envelopes = [parse(one.record) for one in written]
    keys = {signer.author: signer.public_key for signer in plant.signers.values()}
    jobs = [(one.header, one.signature, keys[told.event.author]) for one, told in zip(envelopes, written, strict=True)]

    def measured() -> Lap:
        watch = Stopwatch()
        for job in jobs:
            verify_header(*job)
        return watch.lap(len(jobs))

    return measured


def recorder_of_the_library(plant: Plant, written: Sequence[Written]) -> Arm:
    """The recorder of `eventsourcing` as its users have it: batches of 500, nothing signed, nothing verified."""
    rows = [StoredEvent(new_uuid7(), 1, one.event.kind, os.urandom(one.stored)) for one in written]
    batches = [rows[start : start + LIBRARY_BATCH] for start in range(0, len(rows), LIBRARY_BATCH)]

    def measured() -> Lap:
        with plant.database() as url, closing(_library_datastore(url)) as datastore:
            recorder = PostgresApplicationRecorder(datastore, events_table_name="stored_events")
            recorder.create_table()
            recorder.insert_events([StoredEvent(new_uuid7(), 1, "warm", b"up")])
            watch = Stopwatch()
            for batch in batches:
                recorder.insert_events(batch)
            return watch.lap(len(rows))

    return measured


def copy(plant: Plant, written: Sequence[Written]) -> Arm:
    """COPY of the same rows in one transaction: about the most that this database takes from one client."""
    rows = [
        (new_uuid7(), 1, one.event.kind, os.urandom(one.stored), number) for number, one in enumerate(written, start=1)
    ]

    def measured() -> Lap:
        with plant.database() as url, psycopg.connect(url) as connection:
            connection.execute(_TABLE)
            connection.commit()
            watch = Stopwatch()
            with connection.cursor() as cursor, cursor.copy(_COPY) as copying:
                copying.set_types(["uuid", "int8", "text", "bytea", "int8"])
                for row in rows:
                    copying.write_row(row)
            connection.commit()
            return watch.lap(len(rows))

    return measured


def enter(ingest: Ingest, events: int) -> None:
    """Step until so many events have entered."""
    while events > 0:
        events -= ingest.step()


def _library_datastore(url: str) -> PostgresDatastore:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(parts["dbname"]), host=str(parts["host"]), port=str(parts["port"]), user=str(parts["user"]),
        password="", pool_size=2,
    )  # fmt: skip
    assert isinstance(datastore.pool.kwargs, dict)
    datastore.pool.kwargs.update(parts)
    return datastore

"""The road with several ingest processes side by side, each with its share of the partitions: Python's lock is each one's own."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from multiprocessing.synchronize import Event as Flag
from typing import Any

from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.postgres import PostgresReader
from tenuto.running import collect_rarely
from tenuto.settings import Settings
from tenuto.trust import Trust
from tenuto.wiring import role_url

from .arms import Arm, Lap, enter
from .plant import Plant, open_door, open_store
from .startline import HeldBus

PROCESSES = 2
READY_SECONDS_MAX = 60.0
SHARE_SECONDS_MAX = 600.0


def road_side_by_side(plant: Plant, topic: str, events: int) -> Arm:
    """The whole road with PROCESSES ingest processes of one verifying thread each; their CPU time is added up.

    Each says itself when its share is in: whoever asked the database meanwhile would take from what is measured.
    """
    shares = [range(plant.settings.partitions)[number::PROCESSES] for number in range(PROCESSES)]
    processes = multiprocessing.get_context("spawn")

    def measured() -> Lap:
        start, told = processes.Event(), processes.Queue()
        with plant.ledger() as url:
            settings = plant.settings.model_copy(update={"database_url": url, "verify_threads": 1})
            sides = [
                processes.Process(target=_serve, args=(settings, plant.trust, (topic, share), start, told), daemon=True)
                for share in shares
            ]
            for side in sides:
                side.start()
            with closing(PostgresReader(role_url(settings, "tenuto_reader"))) as reader:
                before = reader.head().size
                for _ in sides:
                    told.get(timeout=READY_SECONDS_MAX)  # it is connected and owns its partitions
                began = time.perf_counter()
                start.set()
                ends = [told.get(timeout=SHARE_SECONDS_MAX) for _ in sides]
                for side in sides:
                    side.join()
                assert reader.head().size == before + events, "events were refused; this is no measurement"
            return Lap(events / (max(end for end, _ in ends) - began), sum(cpu for _, cpu in ends) / events * 1e6)

    return measured


def _serve(settings: Settings, trust: Trust, share: tuple[str, range], start: Flag, told: Any) -> None:
    """One ingest process: own the partitions, say so, wait for the start, take its share in, and tell when and what CPU time."""
    topic, numbers = share
    assert settings.kafka is not None
    bus = HeldBus(KafkaBus(settings.kafka))
    with (
        ThreadPoolExecutor(settings.verify_threads) if settings.verify_threads else nullcontext() as pool,
        open_store(settings) as store,
        closing(open_door(settings, trust, bus, store, pool, share)) as ingest,
    ):
        ingest.step()
        collect_rarely()
        events = sum(_events_in(bus, topic, number) for number in numbers)
        told.put(None)
        start.wait()
        began = time.process_time()
        bus.start()
        enter(ingest, events)
        told.put((time.perf_counter(), time.process_time() - began))


def _events_in(bus: HeldBus, topic: str, partition: int) -> int:
    with bus.reader(topic, partition) as reader:
        return reader.end_offset()

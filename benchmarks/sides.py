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

from .arms import Arm, Lap
from .plant import Plant, open_door, open_store
from .startline import HeldBus

PROCESSES = 2
LOOK_SECONDS = 0.002


def road_side_by_side(plant: Plant, topic: str, events: int) -> Arm:
    """The whole road with PROCESSES ingest processes of one verifying thread each; their CPU time is added up."""
    shares = [range(plant.settings.partitions)[number::PROCESSES] for number in range(PROCESSES)]
    processes = multiprocessing.get_context("spawn")

    def measured() -> Lap:
        start, stop, told = processes.Event(), processes.Event(), processes.SimpleQueue()
        with plant.ledger() as url:
            settings = plant.settings.model_copy(update={"database_url": url, "verify_threads": 1})
            sides = [
                processes.Process(target=_serve, args=(settings, plant.trust, (topic, share), (start, stop), told))
                for share in shares
            ]
            for side in sides:
                side.start()
            try:
                with closing(PostgresReader(role_url(settings, "tenuto_reader"))) as reader:
                    size = reader.head().size + events
                    for _ in sides:
                        told.get()  # it is connected and owns its partitions
                    began = time.perf_counter()
                    start.set()
                    while reader.head().size < size:
                        assert all(side.is_alive() for side in sides), "an ingest process has ended"
                        time.sleep(LOOK_SECONDS)
                    wall = time.perf_counter() - began
            finally:
                stop.set()
                start.set()
                for side in sides:
                    side.join()
            return Lap(events / wall, sum(told.get() for _ in sides) / events * 1e6)

    return measured


def _serve(
    settings: Settings, trust: Trust, share: tuple[str, range], flags: tuple[Flag, Flag], told: Any
) -> None:  # fmt: skip
    """One ingest process: own the partitions, say so, wait for the start, work to the stop, and tell the CPU time."""
    start, stop = flags
    assert settings.kafka is not None
    bus = HeldBus(KafkaBus(settings.kafka))
    with (
        ThreadPoolExecutor(settings.verify_threads) if settings.verify_threads else nullcontext() as pool,
        open_store(settings) as store,
        closing(open_door(settings, trust, bus, store, pool, share)) as ingest,
    ):
        ingest.step()
        collect_rarely()
        told.put(0.0)
        start.wait()
        began = time.process_time()
        bus.start()
        while not stop.is_set():
            ingest.step()
        told.put(time.process_time() - began)

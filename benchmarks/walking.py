"""How fast a reader verifies: all steps with signatures, with payloads opened as well, and the hashes alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.adapters.postgres import PostgresReader
from tenuto.following import PAGE_EVENTS
from tenuto.ledger import Recorded
from tenuto.log.merkle import Frontier, leaf_hashes
from tenuto.verification import LogWalk
from tenuto.wiring import role_url

from .arms import Arm, Lap, Stopwatch, enter
from .plant import Plant


def recorded(plant: Plant, topic: str, events: int) -> list[Recorded]:
    """Take `topic` down the road once and return the whole ledger."""
    with plant.ledger() as url:
        with plant.ingest(url, topic) as (ingest, _, bus):
            bus.start()
            enter(ingest, events)
        settings = plant.settings.model_copy(update={"database_url": url})
        with closing(PostgresReader(role_url(settings, "tenuto_reader"))) as reader:
            return reader.read(0, reader.head().size)


def walk(plant: Plant, entries: Sequence[Recorded], *, payloads: bool) -> Arm:
    """Steps 1 to 4 and 6 over entries in memory, and step 5 with `payloads`."""
    storage_key = KeyTreeFile(plant.settings.keys) if payloads else None

    def measured() -> Lap:
        walking = LogWalk(origin=plant.trust.origin, root_public_key=plant.trust.root, storage_key=storage_key)
        with ThreadPoolExecutor(plant.settings.verify_threads) as pool:
            watch = Stopwatch()
            for start in range(0, len(entries), PAGE_EVENTS):
                walking.take(entries[start : start + PAGE_EVENTS], pool)
            return watch.lap(len(entries))

    return measured


def hash_only(leaves: Sequence[bytes]) -> Arm:
    """The root recomputed from the entries as they are published: whether anything was changed, whoever signed it."""

    def measured() -> Lap:
        watch, frontier = Stopwatch(), Frontier()
        for start in range(0, len(leaves), PAGE_EVENTS):
            frontier = frontier.extend(leaf_hashes(leaves[start : start + PAGE_EVENTS]))
        frontier.root()
        return watch.lap(len(leaves))

    return measured


def plain_hashes(leaves: Sequence[bytes]) -> Arm:
    """SHA-256 of each of the same entries, and no tree."""

    def measured() -> Lap:
        watch = Stopwatch()
        for start in range(0, len(leaves), PAGE_EVENTS):
            [hashlib.sha256(entry).digest() for entry in leaves[start : start + PAGE_EVENTS]]
        return watch.lap(len(leaves))

    return measured

"""What memory does over millions of events: `python -m benchmarks.run --memory`. Each part in a process of its own.

Nobody waits here for a broker or a database: the records were made before (`prepared`), every part reads the same ones, and what
ingest and delivery write is forgotten. What a part keeps is then its own. A part that is flat keeps as much after the last event as
after the first tenth.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tenuto.clock import SystemClock, new_uuid7
from tenuto.delivery import Delivery
from tenuto.following import CheckpointFile, Follower
from tenuto.ingest import Ingest
from tenuto.intake.examining import Examiner
from tenuto.intake.judging import Judge
from tenuto.intake.testimony import Testimony
from tenuto.intake.vault import Vault
from tenuto.keytree import KeyTree
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import Frontier, leaf_hashes
from tenuto.log.tiles import CHECKPOINT_FILE, TileFolder
from tenuto.sealing import Sealer
from tenuto.verification import LogWalk
from tenuto_projections.running import all_projections

from .endless import EPOCH_SECRET, LOG, ORIGIN, SIGNERS, TRUST, EndlessLedger, EndlessTopic, ForgettingStore, Records
from .prepared import Prepared, prepare

EVENTS = 5_000_000
SLICE_EVENTS = 16_384
SAMPLES = 10
Steps = Iterator[int]
"""Does a piece of work each time it is asked, and says how many events that was."""


def ingest(stack: ExitStack, records: Records) -> Steps:
    """The one door in: records with payloads, in sheaves, decoded, verified, opened, judged and handed to the store."""
    store, pool = ForgettingStore(), stack.enter_context(ThreadPoolExecutor(2))
    judge = Judge(
        examiner=Examiner(ORIGIN, Vault({TRUST.epoch: EPOCH_SECRET}, KeyTree.whole(bytes(32))), pool),
        testimony=Testimony(SIGNERS["ingest"], ORIGIN, new_uuid7),
    )
    share = ("tenuto.events", None)
    door = Ingest(EndlessTopic(records), store, judge=judge, root_public_key=TRUST.root, clock=SystemClock(), share=share)
    while True:
        yield door.step()


def verify(stack: ExitStack, records: Records) -> Steps:
    """The one door out without payloads, as detectors, gates and delivery have it: steps 1 to 4 and 6."""
    ledger, walk = EndlessLedger(records), LogWalk(origin=ORIGIN, root_public_key=TRUST.root)
    pool = stack.enter_context(ThreadPoolExecutor(2))
    while True:
        yield len(walk.take(ledger.grow(500), pool))


def delivery(stack: ExitStack, records: Records) -> Steps:
    """A follower behind signed checkpoints, and for every event a receipt with its proof; tiles are written as a sealer does."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tenuto-memory-")))
    ledger, tiles, frontier = EndlessLedger(records), TileFolder(folder), Frontier()
    follower = Follower(ledger, CheckpointFile(folder), TRUST)
    door = Delivery(follower=follower, bus=EndlessTopic(records), reader=ledger, hashes=tiles, storage_key=KeyTree.whole(bytes(32)))
    while True:
        entries = [one.entry for one in ledger.grow(SLICE_EVENTS)]
        tiles.apply(tiles.extension(frontier.size, entries))
        frontier = frontier.extend(leaf_hashes(entries))
        (folder / CHECKPOINT_FILE).write_bytes(sign_checkpoint(Checkpoint(ORIGIN, frontier.size, frontier.root()), LOG))
        door.step()
        yield len(entries)


def sealer(stack: ExitStack, records: Records) -> Steps:
    """What signs the log: reads, folds, stages and applies tiles, signs a checkpoint for each slice."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tenuto-memory-")))
    ledger, clock = EndlessLedger(records), SystemClock()
    door = stack.enter_context(
        Sealer(reader=ledger, tiles=TileFolder(folder / "log"), state=folder / "state", signer=LOG, origin=ORIGIN, clock=clock)
    )
    while True:
        ledger.grow(SLICE_EVENTS)
        published = door.seal()
        assert published is not None
        yield published.events


def projections(stack: ExitStack, records: Records) -> Steps:
    """What all read models keep in the projector's memory, beside what they write into their tables."""
    ledger, walk, models = EndlessLedger(records), LogWalk(origin=ORIGIN, root_public_key=TRUST.root), all_projections()
    pool = stack.enter_context(ThreadPoolExecutor(2))
    while True:
        page = walk.take(ledger.grow(500), pool)
        for model in models:
            model.fold(page)
        yield len(page)


PARTS: dict[str, Callable[[ExitStack, Records], Steps]] = {
    "sealer": sealer, "verify": verify, "projections": projections, "ingest": ingest, "delivery": delivery,
}  # fmt: skip
"""Each part that is measured, the one that takes longest at the end."""


def measure(part: str, events: int, file: Path) -> list[tuple[int, float]]:
    """Carry so many events of a prepared log in this process; returns SAMPLES pairs of events carried and resident MiB."""
    done, samples = 0, list[tuple[int, float]]()
    with ExitStack() as stack:
        steps = PARTS[part](stack, stack.enter_context(Prepared(file)))
        while len(samples) < SAMPLES:
            while done < events * (len(samples) + 1) // SAMPLES:
                done += next(steps)
            samples.append((done, round(resident(), 1)))
            print(f"{part}: {done:,} events, {samples[-1][1]} MiB", file=sys.stderr)
    return samples


def resident() -> float:
    """Return how many MiB this process holds, after what nobody needs was given back."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_all(events: int) -> dict[str, list[tuple[int, float]]]:
    """Measure every part, one after another, each in a process of its own, over one log. Raises NoRoomToMeasure."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="tenuto-memory-") as folder:
        file = Path(folder) / "records"
        print(f"making {events:,} records", file=sys.stderr)
        prepare(file, events)
        for part in PARTS:
            command = [sys.executable, "-m", "benchmarks.memory", part, str(events), str(file)]
            found[part] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def table(found: dict[str, list[tuple[int, float]]]) -> str:
    """One line for each part: memory after the first tenth and at the end, and what a million events added."""
    lines = [f"{'memory':10} {'events':>12} {'MiB at a tenth':>15} {'MiB at the end':>15} {'MiB a million':>14}"]
    for part, samples in found.items():
        (start, before), (end, after) = samples[0], samples[-1]
        growth = (after - before) / max(end - start, 1) * 1e6
        lines.append(f"{part:10} {end:12,} {before:15.1f} {after:15.1f} {growth:14.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1] == "records":
        prepare(Path(sys.argv[3]), int(sys.argv[2]))
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))

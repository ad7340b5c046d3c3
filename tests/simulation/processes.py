"""The processes of a simulated world, each with the real parts in it: started, stepped, and gone from one write to the next.

A process that dies leaves what is on its disk, in the database and on the bus. What it held in memory is dropped without
being told; another is built from what is durable, as a supervisor does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tenuto.adapters import keyfiles
from tenuto.approvals.fold import Approvals
from tenuto.delivery import Delivery
from tenuto.errors import Busy
from tenuto.following import CheckpointFile, Follower
from tenuto.ingest import Ingest
from tenuto.intake.examining import Examiner
from tenuto.intake.judging import Judge, Limits
from tenuto.intake.testimony import Testimony
from tenuto.intake.vault import Vault
from tenuto.ledger import Batch, Head, Parked, Recorded, SessionHead
from tenuto.log.note import Cosigner, NoteVerifier
from tenuto.log.tiles import TileFolder
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint
from tenuto.sealing import Published, Sealer
from tenuto.settings import EVENTS_TOPIC
from tenuto.verified import Verified

from tests.faults.points import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World

REFUSALS_MAX = 100_000


class Inline(Executor):
    """An executor without threads: what is submitted is done at once."""

    def submit(self, do: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(do(*given, **named))
        except Exception as error:  # kept as a thread's future keeps it; a crash goes through
            future.set_exception(error)
        return future


@dataclass
class Store:
    """A ledger session whose writes are write points, and which is away when the world's database is."""

    world: World
    session: Any

    def close(self) -> None:
        self.session.close()

    def _here(self) -> Any:
        if self.world.database_away:
            raise Busy("The ledger database does not answer.")
        return self.session

    def head(self) -> Head:
        return self._here().head()

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        return self._here().read(start, limit, payloads=payloads)

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        return self._here().read_kinds(kinds, start, limit)

    def session_heads(self, sessions: Sequence[UUID]) -> dict[UUID, SessionHead]:
        return self._here().session_heads(sessions)

    def states_at(self, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
        return self._here().states_at(places)

    def parked(self) -> list[Parked]:
        return self._here().parked()

    def claim(self, tracking_name: str) -> int:
        return self._through("claim", lambda: self._here().claim(tracking_name))

    def append(self, batch: Batch) -> range:
        def do() -> range:
            positions = self._here().append(batch)
            self.world.oracle.batches.append(positions)
            return positions

        return self._through("append", do)

    def _through(self, name: str, do: Callable[[], Any]) -> Any:
        return self.world.points.through(name, do, lambda: Busy("The ledger database does not answer."))


class NearWitness:
    """A real witness in a process of its own, which can be away, or die over a request and come back."""

    def __init__(self, world: World, name: str, seed: bytes) -> None:
        self.world, self.away = world, False
        cosigner = Cosigner(name, seed)
        self.witness = Witness(
            cosigner=cosigner, logs=[world.log_signer.verifier], state=world.home / "state" / name.replace("/", "_"),
            clock=world.clock("witness"),
        )  # fmt: skip
        self.verifier: NoteVerifier = cosigner.verifier

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        if self.away:
            raise Busy("it is away.")
        try:
            return self.witness.add_checkpoint(request.to_bytes())
        except (Crash, OSError) as trouble:
            # Its death, not the sealer's, which only misses the answer.
            self.world.points.dead = False
            raise Busy("it broke down over the question.") from trouble


@dataclass
class Process:
    """One process of the world; `part` is what it holds in memory, None while it is not running."""

    world: World
    name: str
    part: Any = None
    crashes: int = 0

    def start(self) -> Any:
        if self.part is None:
            self.part = self.build()
        return self.part

    def build(self) -> Any:
        raise NotImplementedError

    def step(self) -> object:
        raise NotImplementedError

    def die(self) -> None:
        """End as a killed process ends."""
        part, self.part = self.part, None
        self.crashes += 1
        if part is not None:
            self.let_go(part)

    def let_go(self, part: Any) -> None:
        """What the system takes back from a dead process."""


@dataclass
class IngestProcess(Process):
    """The one door in. `numbers`: its partitions, None for all."""

    numbers: Sequence[int] | None = None
    store: Store | None = None

    def build(self) -> Ingest:
        world = self.world
        self.store = Store(world, world.new_session())
        vault = Vault({world.trust.epoch: keyfiles.load_epoch_secret(world.keys, world.trust.epoch)}, world.storage_key)
        judge = Judge(
            examiner=Examiner(world.trust.origin, vault),
            testimony=Testimony(keyfiles.load_signer(world.keys, "ingest"), world.trust.origin, world.dice.new_id),
            limits=Limits(world.temper.batch_events, world.temper.gap_seconds, REFUSALS_MAX),
        )
        share = (EVENTS_TOPIC, self.numbers)
        return Ingest(
            world.bus, self.store, judge=judge, root_public_key=world.trust.root, clock=world.clock(self.name), share=share
        )

    def step(self) -> object:
        ingest: Ingest = self.start()
        entered = ingest.step()
        return entered if ingest.waiting is None else f"{entered}, {ingest.waiting}"

    def let_go(self, part: Ingest) -> None:
        part.close()

    def die(self) -> None:
        super().die()
        if self.store is not None:
            self.world.abandon(self.store)
            self.store = None


class SealerProcess(Process):
    """The log's own hand."""

    def build(self) -> Sealer:
        world = self.world
        sealer = Sealer(
            reader=world.reader(), tiles=TileFolder(world.log), state=world.home / "state" / "sealer",
            signer=world.log_signer, origin=world.trust.origin, witnesses=world.witnesses, clock=world.clock(self.name),
        )  # fmt: skip
        sealer._cosigning._pool.shutdown()
        sealer._cosigning._pool = Inline()
        return sealer

    def step(self) -> object:
        published: Published | None = self.start().seal()
        if published is None:
            return 0
        for alarm in published.alarms:
            assert "more than were signed here" not in alarm, alarm
        return published.checkpoint.size, published.events, len(published.cosigned_by)

    def let_go(self, part: Sealer) -> None:
        part.close()


class DeliveryProcess(Process):
    """From the ledger to the inboxes."""

    def build(self) -> Delivery:
        world = self.world
        return Delivery(
            follower=world.follower(payloads=False), bus=world.bus, reader=world.reader(), hashes=TileFolder(world.log),
            storage_key=world.storage_key,
        )  # fmt: skip

    def step(self) -> object:
        return self.start().step()

    def let_go(self, part: Delivery) -> None:
        part.close()


@dataclass
class Folded:
    """A follower and the approvals that it folds."""

    follower: Follower
    approvals: Approvals = field(default_factory=Approvals)
    events: list[Verified] = field(default_factory=list)

    def take(self) -> int:
        count = 0
        for page in self.follower.pages():
            for verified in page:
                self.approvals.apply(verified)
            self.events += page
            count += len(page)
        return count

    def coverages(self) -> dict[str, Any]:
        """What everybody has seen of every request."""
        return {
            name: {who: self.approvals.coverage(name, who) for who in self.approvals.viewers(name)}
            for name in self.approvals.requests()
        }

    def standings(self) -> dict[str, Any]:
        """Where every request stands at the time of the last event."""
        if not self.events:
            return {}
        now = self.events[-1].recorded_at
        return {name: self.approvals.standing(name, now) for name in self.approvals.requests()}


class ReaderProcess(Process):
    """Somebody who follows the log, verifies all of it, and folds the approvals."""

    def build(self) -> Folded:
        return Folded(self.world.follower(payloads=True))

    def step(self) -> object:
        return self.start().take()


def follower(world: World, *, payloads: bool) -> Follower:
    """The one door out, before the first event."""
    key = world.storage_key if payloads else None
    return Follower(world.reader(), CheckpointFile(world.log), world.trust, storage_key=key)


def folder_of(home: Path, name: str) -> Path:
    """Where a process keeps what is its own."""
    return home / "spool" / keyfiles.spool_file(name)

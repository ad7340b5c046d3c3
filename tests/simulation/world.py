"""A simulated world: every process of a log in one thread, a stopped clock, a hostile bus, faults at any write, one seed.

`World.run` takes so many steps in disorder, then lets everything come to rest by the ordinary road alone, and compares what
is there with a model that knows what was said. All chance comes from the seed, so the same seed is the same run, to the
byte; `digest` tells.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tenuto.adapters import keyfiles
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.adapters.memory import MemoryLedger, Rows
from tenuto.approvals.coverage import Covered
from tenuto.bus import BusRecord, TopicMissing
from tenuto.errors import Busy, NotConfigured
from tenuto.events import Event
from tenuto.following import Follower
from tenuto.founding import found, witness_name
from tenuto.keyring import Keyring
from tenuto.ledger import NotOwner
from tenuto.mailbox import Receipt
from tenuto.registering import Enrolment
from tenuto.settings import EVENTS_TOPIC

from tests.faults.points import Crash, Fault, Points, faulty_disk
from tests.reviewing import CONSOLE
from tests.simulation import people, processes, trouble
from tests.simulation.bus import GOOD, HostileBus
from tests.simulation.chance import Dice, ProcessClock, SimulatedTime, governed
from tests.simulation.oracle import Oracle
from tests.simulation.temper import Temper
from tests.simulation.watch import Watch
from tests.written import ORIGIN

REST_ROUNDS_MAX = 400
REST_SECONDS, QUIET_SECONDS = 1.0, 6.0
BYTES_SEEN_MAX = 200
STEPS_A_ROUND = 200


@dataclass
class Database:
    """Where the events are: sessions for writers, readers for everybody; in memory unless a test gives a real one."""

    rows: Rows = field(default_factory=Rows)

    def session(self) -> Any:
        return MemoryLedger(self.rows)

    def close(self) -> None:
        """Nothing is held."""


class World:
    """One world from its founding on; a context manager."""

    def __init__(self, home: Path, seed: int, *, database: Any = None, temper: Temper | None = None) -> None:
        self.home, self.seed, self.dice = home, seed, Dice(seed)
        self.temper = temper or Temper.of(self.dice.of("temper"))
        self.time, self.points, self.oracle = SimulatedTime(), Points(), Oracle()
        self.database = database or Database()
        self.database_away = False
        self.counts: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.trace: list[str] = []
        self._digest = hashlib.sha256()
        self._clocks: dict[str, ProcessClock] = {}
        self._zombies: list[tuple[float, Any]] = []
        self._stack = ExitStack()
        self._draw = self.dice.of("world")

    def __enter__(self) -> Self:
        """Found the log and place everybody; nothing runs yet."""
        self._stack.enter_context(governed(self.dice, self.time))
        self._stack.enter_context(faulty_disk(self.points, self.home))
        self._stack.callback(self.database.close)
        self.trust = found(self.home, ORIGIN)
        self.keys, self.log = self.home / "keys", self.home / "tiles"
        self.storage_key = KeyTreeFile(self.keys, now=self.time.monotonic)
        self.log_signer = keyfiles.load_log_signer(self.keys, ORIGIN)
        self.bus = HostileBus(self.dice, self.points, self.time, self.temper.partitions)
        self.watch = Watch(self, self.database.session())
        self._shared_reader = self.database.session()
        self._operator = self.follower(payloads=False)
        self._populate()
        self._stack.callback(self._end_all)
        return self

    def __exit__(self, *_: object) -> None:
        self.points.revive()
        self._stack.close()

    def _populate(self) -> None:
        seeds = (keyfiles.load_key(self.keys, keyfiles.WITNESS_KEY), hashlib.sha256(b"second witness").digest())
        names = (witness_name(ORIGIN), "second.example/witness")
        self.witnesses = [processes.NearWitness(self, name, seed) for name, seed in zip(names, seeds, strict=True)]
        self.people: dict[str, people.AuthorProcess] = {}
        for name in ("alice", "bob", "carol")[: self.temper.agents]:
            self.people[name] = people.AuthorProcess(self, name)
        for name in ("mira", "rolf"):
            self.people[name] = people.ReviewerProcess(self, name)
        self.people[CONSOLE] = people.ConsoleProcess(self, CONSOLE)
        self.root = people.RootProcess(self, "root")
        keyfiles.create_key(self.keys, keyfiles.author_file("ingest"))
        self.ingests = [processes.IngestProcess(self, f"ingest-{number}") for number in range(self.temper.ingests)]
        if self.temper.ingests == 2 and self.temper.split:
            self.ingests[1].numbers = [self.temper.partitions - 1]
        self.sealer = processes.SealerProcess(self, "sealer")
        self.delivery = processes.DeliveryProcess(self, "delivery")
        self.readers = [processes.ReaderProcess(self, f"reader-{number}") for number in range(2)]
        self.hostile = [people.TwoFaced(self, "mallory"), people.Forger(self, "forger")] if self.temper.hostile else []

    @property
    def honest(self) -> list[people.AuthorProcess]:
        return [self.root, *self.people.values()]

    @property
    def everybody(self) -> list[processes.Process]:
        return [*self.honest, *self.ingests, self.sealer, self.delivery, *self.readers, *self.hostile]

    def clock(self, name: str) -> ProcessClock:
        """The clock of one machine; the same one in every life of its process."""
        return self._clocks.setdefault(name, ProcessClock(self.time))

    def new_session(self) -> Any:
        return self.database.session()

    def reader(self) -> processes.Store:
        return processes.Store(self, self._shared_reader)

    def follower(self, *, payloads: bool) -> Follower:
        return processes.follower(self, payloads=payloads)

    def abandon(self, store: processes.Store) -> None:
        """The database notices at some time that a process has died; until then the session owns its partitions."""
        after = self._draw.choice((0.0, 0.0, 3.0)) if self.temper.ingests > 1 else 0.0
        if after:
            self._zombies.append((self.time.seconds + after, store))
        else:
            store.close()

    def keyring(self) -> Keyring:
        """The ring as an operator knows it now, who follows the log too."""
        self._operator.catch_up()
        return self._operator.walk.keyring

    def key_names(self, author: str) -> list[str]:
        """The ids of the keys that an author has or had, as anybody can read them in the log."""
        return sorted(event.key_id for said in self.oracle.said.values() if (event := said.event).author == author)

    def unregistered(self, ring: Keyring) -> list[Enrolment]:
        valid = {key.author for key in ring.keys() if key.until is None}
        return [person for person in people.enrolments(self) if person.author not in valid]

    def approvals(self) -> dict[str, Any]:
        """Where every request stands, as the first reader knows."""
        part = self.readers[0].part
        return {} if part is None else part.standings()

    def coverage(self, approval: str, reviewer: str) -> Covered:
        """What a reviewer has seen of a request that the first reader knows of."""
        return self.readers[0].part.approvals.coverage(approval, reviewer)

    def carry(self, key: bytes, record: bytes) -> None:
        """Put a record on the bus without asking anybody."""
        number = sum(key) % self.temper.partitions
        try:
            self.bus.put(EVENTS_TOPIC, number, key, record)
        except TopicMissing as missing:
            raise Busy(str(missing)) from missing

    def seen_on_the_bus(self) -> list[BusRecord]:
        return [one for one in self.bus.records(EVENTS_TOPIC)[-BYTES_SEEN_MAX:] if one.value]

    def demand_true(self, event: Event, verdict: Receipt | int) -> None:
        self.watch.demand_true(event, verdict)

    def demand_settled(self, event: Event) -> None:
        self.watch.demand_settled(event)

    def say(self, line: str) -> None:
        self.trace.append(f"{len(self.trace)} {self.time.seconds:.3f} {line}")
        self._digest.update(line.encode())

    def digest(self) -> str:
        """What tells two runs apart: everything that happened, and every byte that was recorded and signed."""
        total = self._digest.copy()
        total.update(self.watch.frontier.to_bytes() + repr(self.watch.published).encode())
        return total.hexdigest()

    def run(self, steps: int) -> None:
        """So many steps in disorder; then everything comes to rest, and model and ledger are compared."""
        for _ in range(steps):
            trouble.disorder(self, self._draw)
            self.watch.look()
        self.come_to_rest()
        self.watch.judge()

    def attempt(self, process: processes.Process, fault: Fault | None, do: Callable[[], object] | None = None) -> object:
        """Let a process take one step, with a fault at one of its writes; whatever ends it, it is gone then."""
        self.points.arm(fault)
        outcome: object
        try:
            outcome = (do or process.step)()
            self.counts[f"{process.name.split('-')[0]} steps"] += 1
        except Crash:
            outcome, result = "crash", self._end(process, "crashes")
        except Busy as busy:
            outcome, result = f"busy: {type(busy).__name__}", None
        except NotOwner:
            outcome, result = "not owner", self._end(process, "partitions not owned")
        except NotConfigured as missing:
            outcome, result = f"not configured: {str(missing)[:40]}", self._end(process, "not configured")
        except (OSError, sqlite3.Error):
            if self.points.struck is None:
                raise
            outcome, result = "error", self._end(process, "errors")
        else:
            result = None
        del result
        self.writes.update(self.points.seen)
        struck = self.points.struck
        self.points.revive()
        self.counts["faults"] += struck is not None
        self.say(f"{process.name}: {outcome}{f' [{struck}]' if struck else ''}")
        return outcome

    def _end(self, process: processes.Process, how: str) -> None:
        self.points.revive_quietly()
        self.counts[how] += 1
        process.die()

    def bury(self, *, everyone: bool = False) -> None:
        """Let the database notice the dead."""
        for due, store in list(self._zombies):
            if everyone or due <= self.time.seconds:
                store.close()
                self._zombies.remove((due, store))

    def come_to_rest(self) -> None:
        """No more trouble: about half of the processes are started again, and the ordinary road brings in all that is owed."""
        self.bus.malice, self.bus.away, self.database_away = GOOD, False, False
        for witness in self.witnesses:
            witness.away = False
        # What a clock that was ahead has put off waits until that time has come.
        self.time.seconds += trouble.JUMP_SECONDS_MAX if self.temper.jumps else 0.0
        for clock in self._clocks.values():
            clock.wrong_by = 0.0
        self.watch.repeat_evidence()
        for process in self.everybody:
            if process in self.ingests or self._draw.random() < 0.5:
                process.die()
        self.ingests[0].numbers = None
        self.bury(everyone=True)
        self.say("rest")
        quiet = 0
        for _ in range(REST_ROUNDS_MAX):
            seconds = QUIET_SECONDS if quiet else REST_SECONDS
            quiet = quiet + 1 if self._round(seconds) else 0
            if quiet * QUIET_SECONDS > self.temper.gap_seconds + 2 * QUIET_SECONDS:
                return
        raise AssertionError(f"The world does not come to rest: {self._unrest()}")

    def _round(self, seconds: float) -> bool:
        """One round of everybody's ordinary work; whether nothing was left to do."""
        self.bus.release(everything=True)
        self.bus.ensure_topics({EVENTS_TOPIC: self.temper.partitions})
        self.time.seconds += seconds
        self.bury(everyone=True)
        for author in [self.root, *(one for one in self.people.values() if self.watch.is_registered(one.name))]:
            for act in (author.publish, author.receive, author.read):
                self.attempt(author, None, lambda act=act, author=author: act(author.start()))  # type: ignore[misc]
        if self.root.rotating or self.unregistered(self.keyring()):
            self.attempt(self.root, None, lambda: self.root.speak(self.root.start()))
        for _ in range(STEPS_A_ROUND):
            entered = self.attempt(self.ingests[0], None)
            if "is not valid in the ledger" in str(entered):
                self.ingests[0].die()  # its key was replaced; whoever did that starts it again
            elif self.ingests[0].part is None or self.ingests[0].part._idle:
                break
        for process in (self.sealer, self.delivery, *self.readers):
            self.attempt(process, None)
        self.watch.look()
        return not self._unrest()

    def _unrest(self) -> list[str]:
        found = [f"{author.name} waits for {len(author.unsettled)} receipts" for author in self.honest if author.unsettled]
        size = self.watch.size
        if not self.watch.published or self.watch.published[-1][0] != size:
            found.append("the log has signed less than is recorded")
        found += [f"{reader.name} is behind" for reader in self.readers if reader.part is None or len(reader.part.events) != size]
        found += [f"{author.name} has unread messages" for author in self.honest if author.part and author.part.spool.messages()[0]]
        if self.ingests[0].store is None or self.ingests[0].store.parked():
            found.append("records wait for their predecessors")
        if self.watch.published and self.watch.published[-1][0] == size:
            found += [f"{one.verifier.name} has not cosigned" for one in self.witnesses if self.watch.cosigned_by(one)[0] != size]
        if self.watch.moved:
            found.append("the ledger grew")
        return found

    def _end_all(self) -> None:
        for process in self.everybody:
            process.die()
        self.bury(everyone=True)

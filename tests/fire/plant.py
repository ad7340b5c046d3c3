"""A plant under fire: every process of the road as an operator starts it, on a real Apache Kafka and a durable Postgres.

Whoever dies is started again, as any supervisor does; what a part says by itself when it ends is kept for the test. The
authors go on recording all the while, unless they are told to be quiet so that the plant can be looked at as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

import psycopg
from tenuto.adapters.postgres import PostgresReader
from tenuto.addresses import DATABASE
from tenuto.embedded.child import free_port
from tenuto.errors import Busy
from tenuto.following import verified_checkpoint
from tenuto.founding import found
from tenuto.log.tiles import CHECKPOINT_FILE
from tenuto.log.witnessing import PolicyRefused, parse_policy, verify_policy
from tenuto.migrating import migrate
from tenuto.registering import Enrolment, register
from tenuto.settings import EVENTS_TOPIC, Settings
from tenuto.supervising import ensure_database
from tenuto.waiting import look_at_spools
from tenuto.wiring import open_bus, open_follower, open_reader, open_recorder

from tests.fire.author import QUIET, Noted
from tests.fire.parts import FireKafka, FirePostgres, Part
from tests.halting import halted

ORIGIN = "tenuto.test/fire"
SECONDS_MAX = 120.0
PAUSE_SECONDS = 0.05
PARTITIONS = 2
AUTHORS = {"pipeline": "code-review", "code-review": "pipeline"}
PEOPLE = (
    Enrolment("ingest", "ingest", "operations"),
    Enrolment("pipeline", "pipeline", "operations"),
    Enrolment("code-review", "agent", "operations"),
)
ROAD = ("witness", "ingest", "seal", "deliver", "project")
TURNED_AWAY = "Another process owns"
"""What a new ingest says while the database has not buried the session of the one that was killed."""


class Plant:
    """The whole of it, as a context manager. `ended` tells which parts ended by themselves, and what they said."""

    def __init__(self, home: Path, *, pause_seconds: float = 0.3) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.pause = home, pause_seconds
        self.kafka, self.postgres = FireKafka(home / "kafka"), FirePostgres(home / "postgres")
        self.parts: dict[str, Part] = {}
        self.held: set[str] = set()
        self.ended: list[tuple[str, int, str]] = []
        self.turn = threading.RLock()
        self._stack, self._stop = ExitStack(), threading.Event()
        self._began = monotonic()
        self._journals = {name: Noted(self.journal(name)) for name in AUTHORS}
        self._commands: dict[str, tuple[tuple[str, ...], str]] = {}

    def __enter__(self) -> Self:
        """Start everything, register the authors, and let them record."""
        with ExitStack() as stack:
            stack.callback(self._stop_all)
            with ThreadPoolExecutor(2) as starting:
                stores = [starting.submit(part.start) for part in (self.kafka, self.postgres)]
                for store in stores:
                    store.result()
            self.note("broker and database run")
            ensure_database(self.postgres)
            port = free_port()
            self.settings = Settings(
                home=self.home, database_url=self.postgres.url_of(DATABASE), kafka=self.kafka.bootstrap,
                partitions=PARTITIONS, receipt_seconds=SECONDS_MAX, witness_url=f"http://127.0.0.1:{port}",
                seal_milliseconds=100, gap_seconds=90,
            )  # fmt: skip
            migrate(self.postgres.url_of(DATABASE))
            self.trust = found(self.home, ORIGIN)
            self.make_topic()
            self._commands = {name: ((name,), "tenuto") for name in ROAD} | {
                "witness": (("witness", "--port", str(port)), "tenuto")
            }
            for name in ROAD:
                self.start(name)
            self._register()
            self.note("the authors are registered")
            self._commands |= {
                name: ((name, peer, str(self.journal(name)), str(self.pause)), "tests.fire.author")
                for name, peer in AUTHORS.items()
            }
            for name in AUTHORS:
                self.start(name)
            watch = threading.Thread(target=self._watch, name="watch")
            watch.start()
            stack.callback(watch.join)
            stack.callback(self._stop.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, the authors first."""
        self._stack.close()

    def note(self, what: str) -> None:
        """Say what happened, for whoever reads a failure."""
        print(f"{monotonic() - self._began:7.2f} s  {what}", flush=True)

    def journal(self, author: str) -> Path:
        """Where this author notes what it was told."""
        return self.home / f"{author}.journal"

    def noted(self, author: str) -> list[dict[str, Any]]:
        """What this author noted."""
        return self._journals[author].lines()

    def start(self, name: str) -> Part:
        """Start a part and let it be started again whenever it ends."""
        arguments, module = self._commands[name]
        with self.turn:
            self.parts[name] = Part(name, self.settings, *arguments, module=module)
            self.held.discard(name)
            return self.parts[name]

    def another(self, name: str) -> Part:
        """Start a second process of the same command beside the first; the test owns it."""
        arguments, module = self._commands[name]
        part = Part(f"{name}-again", self.settings, *arguments, module=module)
        self._stack.callback(part.stop)
        return part

    def hold(self, name: str) -> Part:
        """From now on nobody starts this part again but the test; it goes on until it is ended."""
        with self.turn:
            self.held.add(name)
            return self.parts[name]

    def stop(self, *names: str) -> None:
        """Stop parts cleanly, and keep them so."""
        for name in names:
            self.hold(name).stop()

    def asleep(self, *names: str) -> AbstractContextManager[None]:
        """These parts stand still in the block, with whatever they hold, and never learn what happened meanwhile."""
        return halted(*(self.parts[name].pid for name in names))

    def kill(self, name: str) -> None:
        """kill -9; whoever watches starts it again."""
        store = {"kafka": self.kafka, "postgres": self.postgres}.get(name)
        if store is None:
            with self.turn:
                part = self.hold(name)
            part.kill()
            self.start(name)
        else:
            store.kill()
            store.start()

    def make_topic(self) -> None:
        """Create the topic of events, or find it; while the one before is being deleted, wait."""
        until(lambda: self._topic_made(), "the topic of events")

    def _topic_made(self) -> bool:
        try:
            open_bus(self.settings).ensure_topics({EVENTS_TOPIC: PARTITIONS})
        except Busy:
            return False
        return True

    def reader(self) -> PostgresReader:
        """The ledger, for reading."""
        return open_reader(self.settings)

    def size(self) -> int:
        """How many events the ledger has; waits while the database is away."""
        return until(lambda: self._size(), "the ledger to answer") - 1

    def _size(self) -> int | None:
        reader = self.reader()
        try:
            return reader.head().size + 1
        except Busy:
            return None
        finally:
            reader.close()

    def signed(self) -> int:
        """How many events the published checkpoint covers."""
        note = (self.settings.tiles / CHECKPOINT_FILE).read_bytes()
        return verified_checkpoint(note, self.trust).size

    def cosigned(self) -> int:
        """How many events the published checkpoint covers, 0 while a witness whose cosignature the policy wants is missing."""
        note = (self.settings.tiles / CHECKPOINT_FILE).read_bytes()
        try:
            return verify_policy(note, parse_policy(self.trust.policy), self.trust.origin).size
        except PolicyRefused:
            return 0

    def receipts(self) -> int:
        """How many receipts the authors noted."""
        return sum("receipt" in line for author in AUTHORS for line in self.noted(author))

    def taken(self) -> int:
        """How many events the authors noted as on record."""
        return sum("took" in line for author in AUTHORS for line in self.noted(author))

    def waiting(self) -> int:
        """How many events wait in the spools for their receipt; one that cannot be read just now counts as one."""
        return sum(1 if one.error else one.events for one in look_at_spools(self.settings.spool, datetime.now(UTC)))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """The authors say nothing new in the block, and everything that they said has arrived everywhere."""
        (self.home / QUIET).touch()
        try:
            self.settle()
            self.note(f"at rest, {self.size()} events")
            yield
            self.note("checked")
        finally:
            (self.home / QUIET).unlink()

    def settle(self) -> None:
        """Wait until every spool is empty, all is signed and cosigned, and read models and messages are where the ledger is.

        A witness that was killed last is asked again a second later, or two: until then a stranger is not content.
        """
        until(lambda: self.waiting() == 0, "the receipts of everything that was spooled", self)
        until(lambda: self.cosigned() == self.size(), "a cosigned checkpoint over everything", self)
        until(lambda: self._projected() == {self.size()}, "the read models", self)
        until(lambda: self._messages_arrived(), "the messages", self)

    def _projected(self) -> set[int]:
        from tenuto.adapters.tracking import read_model_positions
        from tenuto.wiring import role_url

        try:
            return set(read_model_positions(role_url(self.settings, "tenuto_reader")).values())
        except Busy:
            return set()

    def _messages_arrived(self) -> bool:
        with self.admin() as sql:
            sent = sql.execute("SELECT count(*) FROM ledger.entry WHERE topic = 'message.sent'").fetchone()
        got = {line["message"] for author in AUTHORS for line in self.noted(author) if "message" in line}
        return sent is not None and len(got) == sent[0]

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        """The database, as its superuser."""
        with psycopg.connect(self.postgres.url_of(DATABASE), autocommit=True) as connection:
            yield connection

    def _register(self) -> None:
        follower = open_follower(self.settings, payloads=False)
        with open_recorder(self.settings, "root", software="fire/1") as root:
            register(root, follower.walk.keyring, self.settings.keys, PEOPLE, SECONDS_MAX)

    def _watch(self) -> None:
        """The supervisor: start again what has ended, and remember what it said when it ended by itself."""
        while not self._stop.wait(PAUSE_SECONDS):
            with self.turn:
                gone = [name for name, part in self.parts.items() if name not in self.held and not part.running()]
                for name in gone:
                    part = self.parts[name]
                    self.ended.append((name, part.ended(), part.said))
                    self.start(name)

    def _stop_all(self) -> None:
        with ThreadPoolExecutor(8) as stopping:
            list(stopping.map(lambda part: part.stop(), [self.parts[name] for name in AUTHORS if name in self.parts]))
            list(stopping.map(lambda part: part.stop(), [part for name, part in self.parts.items() if name in ROAD]))
        self.kafka.stop()
        self.postgres.stop()


def until(
    true: Callable[[], object], what: str, plant: Plant | None = None, *, seconds_max: float = SECONDS_MAX
) -> object:
    """Wait until `true()` is; the time limit only keeps a broken plant from hanging."""
    deadline = monotonic() + seconds_max
    while not (value := _asked(true)):
        if monotonic() > deadline:
            raise AssertionError(f"{what}: it did not come.{'' if plant is None else last_words(plant)}")
        sleep(PAUSE_SECONDS)
    return value


def _asked(true: Callable[[], object]) -> object:
    with suppress(psycopg.OperationalError):
        return true()
    return None


def last_words(plant: Plant) -> str:
    """Where the plant stands, and the end of what each part said, for whoever reads a failure."""
    tails = [f"--- {name}\n" + "\n".join(part.said.splitlines()[-6:]) for name, part in plant.parts.items()]
    where = f" {plant.waiting()} wait in spools, the ledger has {plant._size()}, signed are {plant.signed()}.\n"
    return where + "\n".join(tails)


def own_ends(plant: Plant, *allowed: str) -> Sequence[str]:
    """The parts that ended by themselves in a way that nobody expected."""
    known = (TURNED_AWAY, *allowed)
    return [f"{name} ended with {code}: {said[-1500:]}" for name, code, said in plant.ended if not any(one in said for one in known)]

"""The whole road in one process, on real parts: a broker that speaks Kafka, Postgres, files, a witness over HTTP.

Every part is opened by `tenuto.wiring`, as the commands open it; only the loop around the steps is the test's. So a test
can hold the road still, let one part die, take the broker away, and let it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Self, TypeVar

from tenuto import recorder as recording
from tenuto.adapters import keyfiles
from tenuto.adapters.kafka import KafkaBus
from tenuto.documents import Reason
from tenuto.embedded import EmbeddedBroker
from tenuto.errors import Busy
from tenuto.events import ApprovalOpened, ApprovalRequested, ApprovalSigned, ApprovalViewed, Event
from tenuto.following import Follower
from tenuto.founding import found
from tenuto.mailbox import Delivered
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment, missing, register
from tenuto.settings import EVENTS_TOPIC, Settings
from tenuto.verification import Verified
from tenuto.wiring import (
    open_bus,
    open_delivery,
    open_follower,
    open_ingest,
    open_reader,
    open_recorder,
    open_sealer,
    open_witness,
)

from tests.conftest import Database
from tests.reviewing import shown

ORIGIN = "tenuto.test/road"
SECONDS_MAX = 120.0
PAUSE_SECONDS = 0.005
CLOSING_SECONDS, AT_REST_SECONDS = 10.0, 1.0
OWN_PEOPLE = (Enrolment("ingest", "ingest", "operations"),)

Part = TypeVar("Part")


class Road:
    """One log from its founding on. `working` carries events in another thread; without it, `pump` moves them by hand."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home, self.stack, self.turn = home, ExitStack(), threading.RLock()
        self.failure: BaseException | None = None
        self.broker = EmbeddedBroker(home / "broker")
        self.trust = found(home, ORIGIN)
        self.settings = Settings(home=home, database_url=database.url(), partitions=2, receipt_seconds=SECONDS_MAX)
        for person in OWN_PEOPLE:
            keyfiles.create_key(self.settings.keys, keyfiles.author_file(person.author))

    def __enter__(self) -> Self:
        """Start every part; a part that cannot be started leaves none running."""
        with ExitStack() as stack:
            stack.callback(lambda: self.broker.stop())
            kafka = self.broker.start().bootstrap
            self.settings = self.settings.model_copy(update={"kafka": kafka})
            patiently(lambda: self.bus.ensure_topics({EVENTS_TOPIC: 2}))
            witness = stack.enter_context(open_witness(self.settings, 0))
            self.settings = self.settings.model_copy(update={"witness_url": witness.address})
            self.sealer = stack.enter_context(open_sealer(self.settings))
            self.delivery = stack.enter_context(open_delivery(self.settings))
            self._life_of_ingest = ExitStack()
            stack.callback(lambda: self._life_of_ingest.close())
            self.ingest = self._life_of_ingest.enter_context(open_ingest(self.settings))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the parts, the last opened first."""
        self.stack.close()

    @property
    def bus(self) -> KafkaBus:
        return open_bus(self.settings)

    def pump(self) -> None:
        """Let each part take one step: what arrived is judged, sealed, and delivered."""
        with self.turn:
            self.ingest.step()
            self.sealer.seal()
            self.delivery.step()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Pump in another thread for the length of the block; a part that fails fails the test."""
        stop = threading.Event()

        def work() -> None:
            try:
                while not stop.wait(PAUSE_SECONDS):
                    with suppress(Busy):
                        self.pump()
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                self.failure = error

        thread = threading.Thread(target=work, name="road")
        thread.start()
        try:
            with closing_within(CLOSING_SECONDS):
                yield
        finally:
            stop.set()
            thread.join()
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing moves in the block; authors may go on recording, and close without waiting for what cannot come."""
        with self.turn, closing_within(AT_REST_SECONDS):
            yield

    def let_ingest_die_and_come_back(self) -> None:
        """End ingest between two batches, with whatever it held in memory, and open another."""
        with self.turn:
            self._life_of_ingest.close()
            self.ingest = self._life_of_ingest.enter_context(open_ingest(self.settings))

    def lose_the_broker(self) -> None:
        """Stop the broker, which forgets everything that it ever acknowledged."""
        self.broker.stop()

    def bring_the_broker_back(self) -> None:
        """Start it again at the same address, empty; the events topic is made anew, as a supervisor does."""
        port = int((self.settings.kafka or "").rpartition(":")[2])
        self.broker = EmbeddedBroker(self.home / "broker", port).start()
        patiently(lambda: self.bus.ensure_topics({EVENTS_TOPIC: 2}))

    def register(self, *people: Enrolment) -> list[str]:
        """Register authors by events that the root signs; returns the names of those who are new."""
        folder = self.settings.keys
        for person in (*OWN_PEOPLE, *people):
            if not (folder / keyfiles.author_file(person.author)).exists():
                keyfiles.create_key(folder, keyfiles.author_file(person.author))
        with self.recorder("root") as root:
            return register(root, self.follower().walk.keyring, folder, [*OWN_PEOPLE, *people], SECONDS_MAX)

    def unregistered(self, *people: Enrolment) -> list[Enrolment]:
        """Those of `people` whom the signed log does not know."""
        follower = self.follower()
        follower.catch_up()
        return missing(follower.walk.keyring, self.settings.keys, people)

    def recorder(self, author: str) -> Recorder:
        """The author's open door."""
        return open_recorder(self.settings, author, software="test/1")

    def follower(self, *, payloads: bool = False) -> Follower:
        """The one door out, before the first event."""
        return open_follower(self.settings, payloads=payloads)

    def read(self, *, payloads: bool = False) -> list[Verified]:
        """Everything that the log has signed, verified from the first event on."""
        return self.follower(payloads=payloads).catch_up()

    def events(self, author: str, kind: type[Event] = Event) -> list[Event]:
        """What stands on record by one author."""
        return [one.event for one in self.read() if one.event.author == author and isinstance(one.event, kind)]

    def size(self) -> int:
        """How many events the ledger holds, signed or not."""
        reader = open_reader(self.settings)
        try:
            return reader.head().size
        finally:
            reader.close()


@contextmanager
def closing_within(seconds: float) -> Iterator[None]:
    """How long a recorder that closes waits for its last receipts; on a busy machine they may need more than its 5 s."""
    before, recording.CLOSE_SECONDS = recording.CLOSE_SECONDS, seconds
    try:
        yield
    finally:
        recording.CLOSE_SECONDS = before


def next_message(recorder: Recorder) -> Delivered:
    """The next message in an author's inbox, waiting through a broker that is away."""
    assert recorder.mailbox is not None
    deadline = monotonic() + SECONDS_MAX
    while monotonic() < deadline:
        with suppress(Busy):
            delivered = recorder.mailbox.next_message(1)
            if delivered is not None:
                return delivered
    raise AssertionError(f"no message came to {recorder.author}")


def look(road: Road, console: Recorder, asked: ApprovalRequested, reviewer: str) -> str:
    """What the console records while a reviewer looks at everything that is listed; return the coverage, once it is in."""
    about = {"run": asked.run, "cause": (asked.id,), "approval": asked.approval, "digest": asked.digest}
    views, coverage = shown(road.events(asked.author), asked, reviewer)
    recorded: list[Event] = [console.record(ApprovalOpened, reviewer=reviewer, **about)]
    recorded += [console.record(ApprovalViewed, **about | view) for view in views]
    console.wait(recorded[-1], SECONDS_MAX)
    return coverage


def answer(
    road: Road, console: Recorder, reviewer: Recorder, asked: ApprovalRequested, decision: str = "approve"
) -> Sequence[Event]:
    """What is recorded when a reviewer looked at everything, and signed."""
    about = {"run": asked.run, "cause": (asked.id,), "approval": asked.approval, "digest": asked.digest}
    coverage = look(road, console, asked, reviewer.author)
    return (
        reviewer.record(
            ApprovalSigned, document=Reason(text="Looked at it."), decision=decision, coverage=coverage, **about
        ),
    )


def patiently(call: Callable[[], Part]) -> Part:
    """Repeat what a part that is only slow to answer makes Busy."""
    deadline = monotonic() + SECONDS_MAX
    while True:
        try:
            return call()
        except Busy:
            if monotonic() > deadline:
                raise
            threading.Event().wait(PAUSE_SECONDS)


def until(found: Callable[[], Part | None]) -> Part:
    """Ask again and again until there is an answer; the time limit only keeps a broken test from hanging."""
    deadline = monotonic() + SECONDS_MAX
    while monotonic() < deadline:
        value = found()
        if value is not None:
            return value
        threading.Event().wait(PAUSE_SECONDS)
    raise AssertionError("it did not come")

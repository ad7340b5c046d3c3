"""One machine, all parts: the embedded Postgres and broker where none is configured, and the processes of the road.

Each process is started by its command, as an operator would start it, with an environment that names every address. All
of them end when their supervisor ends, however it ends (see `embedded.guard`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from .adapters.kafka_rights import INGEST
from .adapters.partitions import prepare
from .addresses import DATABASE, RUNNING_FILE, SUPERVISOR
from .embedded import EmbeddedBroker, EmbeddedPostgres, PartFailed
from .embedded.child import LOOPBACK, Child, DirectoryLock, Plan, free_port
from .errors import Busy, NotConfigured
from .founding import found, is_founded
from .settings import EVENTS_TOPIC, PREFIX, Settings
from .wiring import open_bus

ROAD = ("witness", "ingest", "seal", "deliver", "project")
"""The processes that every author depends on."""

ROOM_SECONDS = 60.0
REVIVE_SECONDS = 30.0
_HOME_LOCK_SECONDS = 2.0
_TAIL_LINES = 8

Say = Callable[[str], None]


@dataclass
class Platform:
    """The parts of one home, as a context manager; `settings` names every address once it is entered."""

    settings: Settings
    say: Say
    origin: str = "localhost/tenuto"
    _stack: ExitStack = field(default_factory=ExitStack)
    _parts: dict[str, Child] = field(default_factory=dict)
    _health: dict[str, str] = field(default_factory=dict)
    _look_at_room: float = 0.0
    _spare: dict[str, tuple[tuple[str, ...], float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start the stores, bring the schema up to date, found the log if there is none, create the topics.

        Raises NotConfigured when another process uses this home or a part cannot be had; nothing is left running then.
        """
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the authors, while the road still gives them their receipts, then the road, then the stores."""
        road = [name for name in self._parts if name in ROAD]
        for names in ([name for name in self._parts if name not in ROAD], road):
            with ThreadPoolExecutor(max(1, len(names))) as stopping:
                list(stopping.map(self.stop, names))
        self._stack.close()

    def start(self, name: str, *arguments: str, metrics: bool = False) -> None:
        """Start `tenuto ARGUMENTS` as the part `name`; what it says goes to `logs/NAME.log` of this home.

        With `metrics` it gets a port of its own for /metrics and /healthz, which `tenuto status` shows.
        """
        logs = self.settings.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = (sys.executable, "-m", "tenuto", *arguments)
        settings = self.settings
        if metrics:
            settings = settings.model_copy(update={"metrics_port": free_port()})
            self._health[name] = f"http://{LOOPBACK}:{settings.metrics_port}"
            self._announce(settings.home)
        self._parts[name] = Child(Plan(command, logs / f"{name}.log", environment=environment(settings)))

    def start_spare(self, name: str, *arguments: str) -> None:
        """Start a part that nothing on the road depends on: when it ends, it is said and started again, and all else goes on."""
        self._spare[name] = (arguments, 0.0)
        self.start(name, *arguments, metrics=True)

    def stop(self, name: str) -> None:
        """Stop a part and wait for its end; harmless when it does not run."""
        part = self._parts.pop(name, None)
        if part is not None:
            part.stop()

    def demand_running(self) -> None:
        """Raise PartFailed, with the end of its log, when a part has ended by itself that the others need."""
        for name, part in list(self._parts.items()):
            if not part.running():
                if name not in self._spare:
                    raise PartFailed(f"The process `{name}` has ended. {self.last_words(name)}")
                self._revive(name)

    def last_words(self, name: str) -> str:
        """Return the end of a part's log, for a person."""
        log = self.settings.home / "logs" / f"{name}.log"
        lines = log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
        return f"The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)

    def make_room(self) -> None:
        """Make the ledger's next partitions in time; looks every ROOM_SECONDS, however often it is called."""
        if time.monotonic() < self._look_at_room:
            return
        self._look_at_room = time.monotonic() + ROOM_SECONDS
        try:
            made = prepare(self.settings.database_url or "")
        except Busy as busy:  # retention is at work, or the database is away: the next look is soon
            self.say(f"No room was made for new events just now: {busy}")
        else:
            if made:
                self.say(f"Made room for {sum(one.last - one.first + 1 for one in made):,} more events.")

    def running(self) -> Sequence[str]:
        """The names of the parts that were started."""
        return tuple(self._parts)

    def _revive(self, name: str) -> None:
        arguments, not_before = self._spare[name]
        if time.monotonic() >= not_before:
            self.say(f"The process `{name}` has ended and is started again; all else goes on. {self.last_words(name)}")
            self._spare[name] = (arguments, time.monotonic() + REVIVE_SECONDS)
            self.stop(name)
            self.start(name, *arguments, metrics=True)

    def _open(self) -> None:
        from .migrating import migrate  # it takes a second to load, and only a supervisor needs it

        if self.settings.kafka is None and self.settings.kafka_security != "plaintext":
            raise NotConfigured(
                f"{PREFIX}KAFKA_SECURITY is set and no broker is: the embedded one knows no accounts. Set {PREFIX}KAFKA."
            )
        home = self.settings.home.absolute()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(home / SUPERVISOR, seconds_max=_HOME_LOCK_SECONDS)
        self._stack.callback(lock.release)
        addresses: dict[str, Any] = {"home": home}
        if self.settings.database_url is None:
            addresses["database_url"] = self._embedded_postgres(home)
        if self.settings.kafka is None:
            self.say("Starting the embedded broker (in memory; what it loses is offered again).")
            addresses["kafka"] = self._stack.enter_context(EmbeddedBroker(home / "broker")).bootstrap
        self.settings = self.settings.model_copy(update=addresses)
        assert self.settings.database_url is not None
        assert self.settings.kafka is not None
        migrate(self.settings.database_url)
        if not is_founded(home):
            trust = found(home, self.origin)
            self.say(f"Founded the log {trust.origin}: root, log, witness, storage and epoch keys are in {self.settings.keys}.")
        open_bus(self.settings, INGEST).ensure_topics({EVENTS_TOPIC: self.settings.partitions})
        self._stack.callback((home / RUNNING_FILE).unlink, missing_ok=True)
        self._announce(home)

    def _embedded_postgres(self, home: Path) -> str:
        self.say("Starting the embedded Postgres.")
        server = self._stack.enter_context(EmbeddedPostgres(home / "postgres"))
        ensure_database(server)
        return server.url_of(DATABASE)

    def _announce(self, home: Path) -> None:
        addresses = {
            "pid": os.getpid(), "database_url": self.settings.database_url, "kafka": self.settings.kafka,
            "console": f"http://{self.settings.console_address}:{self.settings.console_port}", "health": self._health,
        }  # fmt: skip
        staged = home / f"{RUNNING_FILE}.new"
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(addresses, stream)
        staged.replace(home / RUNNING_FILE)


def ensure_database(server: EmbeddedPostgres) -> None:
    """Create the ledger's database, with pgvector, on an embedded server; harmless when it is there."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    server.create_vector(DATABASE)


def environment(settings: Settings) -> Mapping[str, str]:
    """Return what a part of this home is told: the caller's environment, with every setting made explicit."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    # A part runs in a folder of its own, where a relative path would lead elsewhere.
    values = {name: value.absolute() if isinstance(value, Path) else value for name, value in settings.model_dump().items()}
    given = {PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None}
    return own | given | {"PYTHONUNBUFFERED": "1"}

"""What is measured on: the embedded Postgres (durable) and broker, a founded log, topics of prepared records, new ledgers.

Everybody reaches Postgres over TCP: over a Unix socket the library's recorder, which the road is compared with, waits
for ever once a batch has about a megabyte (psycopg's pipeline mode). Records are signed and published once and read by every round: each round has a database of its own, cloned from one in
which the authors are registered, so each begins at the first record.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from tenuto.adapters import keyfiles
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.addresses import DATABASE
from tenuto.bus import Bus
from tenuto.clock import SystemClock, new_uuid7
from tenuto.embedded import EmbeddedPostgres
from tenuto.embedded.child import LOOPBACK, free_port
from tenuto.ingest import Ingest
from tenuto.intake.examining import Examiner
from tenuto.intake.judging import Judge, Limits
from tenuto.intake.testimony import Testimony
from tenuto.intake.vault import Vault
from tenuto.migrating import migrate
from tenuto.settings import Settings, load_settings
from tenuto.signing import SeedSigner
from tenuto.supervising import Platform, ensure_database
from tenuto.trust import Trust, load_trust
from tenuto.wiring import ROLES, role_url

from .authors import AGENTS, PAYLOAD_BYTES, SESSIONS_OF_AGENT, Author, Written, founding, sessions
from .startline import HeldBus

ORIGIN = "localhost/benchmark"
TEMPLATE = "benchmark_template"
FOUNDING_TOPIC = "benchmark.founding"
PUBLISH_SECONDS_MAX = 120.0
PUBLISH_AT_ONCE = 2000
_NUMBERS = count()


@dataclass
class Plant:
    """Everything of one run; made by `open_plant`."""

    platform: Platform
    trust: Trust
    signers: dict[str, SeedSigner]
    founding: list[Written]
    bus: KafkaBus = field(init=False)

    def __post_init__(self) -> None:
        """Connects to nothing yet."""
        assert self.platform.settings.kafka is not None
        self.bus = KafkaBus(self.platform.settings.kafka)

    @property
    def settings(self) -> Settings:
        """Where everything is."""
        return self.platform.settings

    def authors(self) -> list[Author]:
        """Return new sessions: SESSIONS_OF_AGENT for each agent."""
        now = SystemClock().now()
        return [
            Author(self.signers[name], self.trust, new_uuid7, now) for name in AGENTS for _ in range(SESSIONS_OF_AGENT)
        ]

    def prepare(self, topic: str, events: int, *, payloads: bool, sheaf: int = 1) -> list[Written]:
        """Sign and publish so many events, with payloads of PAYLOAD_BYTES or without, `sheaf` at once, to a new topic."""
        self.bus.ensure_topics({topic: self.settings.partitions})
        payload = b"p" * PAYLOAD_BYTES if payloads else None
        written = list(sessions(self.authors(), events, payload, sheaf))
        self.publish(topic, written)
        return written

    def publish(self, topic: str, written: Sequence[Written]) -> None:
        """Publish and wait until the broker has everything."""
        with self.bus.publisher() as publisher:
            for start in range(0, len(written), PUBLISH_AT_ONCE):
                for one in written[start : start + PUBLISH_AT_ONCE]:
                    publisher.publish(topic, one.key, one.record)
                publisher.flush(PUBLISH_SECONDS_MAX)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Give a new database, empty or like `template`, as its owner's URL; it is dropped afterwards."""
        name = f"benchmark_{next(_NUMBERS)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
            server.execute("CHECKPOINT")
            yield self._url(name)
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def ledger(self) -> Iterator[str]:
        """Give a new ledger in which the authors are registered, as its owner's URL."""
        with self.database(TEMPLATE) as url:
            yield url

    @contextmanager
    def ingest(self, url: str, topic: str) -> Iterator[tuple[Ingest, PostgresLedger, HeldBus]]:
        """Give the one door in over `topic`, as `tenuto.wiring` opens it; nothing is read before the bus is started."""
        bus = HeldBus(self.bus)
        settings = self.settings.model_copy(update={"database_url": url})
        with (
            ThreadPoolExecutor(settings.verify_threads) as pool,
            open_store(settings) as store,
            closing(open_door(settings, self.trust, bus, store, pool, (topic, None))) as ingest,
        ):
            ingest.step()
            yield ingest, store, bus

    def make_template(self) -> None:
        """Make the ledger that each round begins with: the founding events in it, by the ordinary road."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {TEMPLATE}")
        migrate(self._url(TEMPLATE))
        self.bus.ensure_topics({FOUNDING_TOPIC: 1})
        self.publish(FOUNDING_TOPIC, self.founding)
        with self.ingest(self._url(TEMPLATE), FOUNDING_TOPIC) as (ingest, store, bus):
            bus.start()
            run_to(ingest, store, len(self.founding))

    def _url(self, database: str) -> str:
        assert self.settings.database_url is not None
        return urlunsplit(urlsplit(self.settings.database_url)._replace(path=f"/{database}"))


def open_door(
    settings: Settings, trust: Trust, bus: Bus, store: PostgresLedger, pool: Executor | None,
    share: tuple[str, Sequence[int] | None],
) -> Ingest:  # fmt: skip
    """Return the one door in as `tenuto.wiring` opens it; `share` is the topic and which of its partitions."""
    keys = settings.keys
    secrets = {trust.epoch: keyfiles.load_epoch_secret(keys, trust.epoch)}
    judge = Judge(
        examiner=Examiner(trust.origin, Vault(secrets, KeyTreeFile(keys)), pool),
        testimony=Testimony(keyfiles.load_signer(keys, "ingest"), trust.origin, new_uuid7),
        limits=Limits(batch_events=settings.batch_events),
    )
    return Ingest(bus, store, judge=judge, root_public_key=trust.root, clock=SystemClock(), share=share)


def run_to(ingest: Ingest, store: PostgresLedger, size: int) -> None:
    """Step until the ledger has so many events."""
    while store.head().size < size:
        ingest.step()


@contextmanager
def open_plant(home: Path) -> Iterator[Plant]:
    """Start the parts in `home`, found a log, and make the ledger in which its authors are on record."""
    with ExitStack() as stack:
        settings = load_settings({}, home=home, database_url=stack.enter_context(_postgres(home.with_name("postgres"))))
        platform = stack.enter_context(Platform(settings, lambda _: None, origin=ORIGIN))
        keys = platform.settings.keys
        for name in ("ingest", *AGENTS):
            keyfiles.create_key(keys, keyfiles.author_file(name))
        signers = {name: keyfiles.load_signer(keys, name) for name in ("ingest", *AGENTS)}
        trust = load_trust(home)
        root = Author(keyfiles.load_signer(keys, "root"), trust, new_uuid7, SystemClock().now())
        plant = Plant(platform, trust, signers, founding(root, signers))
        plant.make_template()
        yield plant


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Give the URL of a new server that every role may reach over TCP; the passwords are in a file of its own."""
    password = secrets.token_hex(16)
    with EmbeddedPostgres(folder, free_port()) as server:
        ensure_database(server)
        with psycopg.connect(server.url, autocommit=True) as connection:
            for role in ROLES:
                connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        parts = urlsplit(server.url)
        passwords = folder / "passwords"
        passwords.touch(0o600)
        passwords.write_text(f"*:*:*:{parts.username}:{parts.password}\n*:*:*:*:{password}\n")
        yield f"postgresql://{parts.username}@{LOOPBACK}:{parts.port}/{DATABASE}?passfile={quote(str(passwords), safe='')}"


@contextmanager
def open_store(settings: Settings) -> Iterator[PostgresLedger]:
    """Give the ledger as ingest writes it."""
    url = role_url(settings, "tenuto_ingest")
    with closing(PostgresLedger(open_datastore(url), url)) as store:
        yield store

"""A log with small partitions on real Postgres, real tiles and a real witness; events are appended as ingest appends them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from tenuto.adapters import keyfiles
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.adapters.partitions import Partitions
from tenuto.adapters.postgres import PostgresLedger, open_datastore
from tenuto.events import Event, HoldLifted, HoldPlaced, RetentionApplied, ToolStarted
from tenuto.founding import found
from tenuto.ledger import NewEntry, StoredPayload
from tenuto.payload import SealOpener, wrap_key
from tenuto.retention import Partition, Retention
from tenuto.settings import Settings
from tenuto.verification import Verified
from tenuto.wiring import open_follower, open_retention, open_sealer, open_witness

from tests.conftest import Database
from tests.doubles import START
from tests.written import CALL, EPOCH_SECRET, ORIGIN, Author, Written, batch_of, register, signer_of

LEAVES = 256
PEOPLE = {"ingest": "ingest", "deployment": "agent", "counsel": "custodian", "keeper": "keeper"}
NOW = START + timedelta(days=400)
_NUMBERS = count()
Did = Callable[[str], None]


class Crash(Exception):
    """The process ends here."""


@dataclass
class Site:
    """One home and its database. The authors go on where they are, also in a copy that was made later."""

    home: Path
    database: Database
    authors: dict[str, Author] = field(default_factory=dict)
    now: datetime = START
    runs: int = 0

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, database_url=self.database.url(), witness_url=self.witness_url)

    witness_url: str | None = None

    def begin(self) -> None:
        """Found the log, make the first two partitions small ones, register everybody."""
        found(self.home, ORIGIN)
        with psycopg.connect(self.database.url(), autocommit=True) as owner:
            for table in ("entry", "payload"):
                for number in range(16):
                    owner.execute(f"DROP TABLE ledger.{table}_{number:05d}")
        with Partitions(self.database.url()) as tables:
            tables._make(Partition("00000", 0, LEAVES - 1, 0))
            tables.prepare(leaves=LEAVES, ahead=5)
        root = Author("root", signer=keyfiles.load_signer(self.home / "keys", "root"))
        written = [root.open(), *(register(root, name, role) for name, role in PEOPLE.items())]
        self.authors = {"root": root} | {name: Author(name, signer=signer_of(name)) for name in PEOPLE}
        self.append([*written, *(self.authors[name].open() for name in PEOPLE)])

    def grow(self, size: int) -> None:
        """Let the agent work until the ledger has so many events; every third has a payload, ten belong to a run."""
        agent, rest = self.authors["deployment"], size - self.size()
        while rest > 0:
            some = [self._step(agent, number) for number in range(min(rest, 128))]
            self.append([one for one, _ in some], payloads={i: p for i, (_, p) in enumerate(some) if p})
            rest -= len(some)

    def _step(self, agent: Author, number: int) -> tuple[Written, StoredPayload | None]:
        self.runs += number % 10 == 0
        text = f"what the agent saw {self.runs}/{number}".encode() if number % 3 == 0 else None
        written = agent.write(ToolStarted, text, run=f"pr-{self.runs}", **CALL)
        return written, self._stored(written)

    def _stored(self, written: Written) -> StoredPayload | None:
        sealed, commit = written.envelope.sealed, written.event.payload_commit
        if sealed is None or commit is None:
            return None
        key = SealOpener(EPOCH_SECRET).open(sealed)
        storage = KeyTreeFile(self.home / "keys")
        return StoredPayload(wrap_key(key, storage, bytes.fromhex(commit)), sealed.ciphertext.nonce, sealed.ciphertext.body)

    def append(self, written: Sequence[Written], payloads: dict[int, StoredPayload] | None = None) -> range:
        """Append as ingest does, under its role; each batch a minute after the one before."""
        self.now += timedelta(minutes=1)
        entries: list[NewEntry] = [one.entry((payloads or {}).get(number)) for number, one in enumerate(written)]
        batch = batch_of(written, folded=10**9, recorded_at=self.now, entries=entries)
        url = self.database.url("tenuto_ingest")
        with closing(PostgresLedger(open_datastore(url), url)) as ledger:
            return ledger.append(batch)

    def say(self, author: str, kind: type[Event], **fields: Any) -> int:
        """One event of an author, sealed at once; returns its position."""
        position = self.append([self.authors[author].write(kind, **fields)]).start
        self.seal()
        return position

    def hold(self, name: str, **covers: Any) -> int:
        return self.say("counsel", HoldPlaced, hold=name, **covers)

    def lift(self, name: str) -> int:
        return self.say("counsel", HoldLifted, hold=name)

    def seal(self) -> None:
        with self.witnessing(), open_sealer(self.settings) as sealer:
            while sealer.seal() is not None:
                pass

    @contextmanager
    def witnessing(self) -> Iterator[None]:
        with open_witness(self.settings, 0) as witness:
            self.witness_url = witness.address
            yield
        self.witness_url = None

    @contextmanager
    def retention(self, did: Did = lambda _: None, record: Callable[[Partition, str], None] | None = None) -> Iterator[Retention]:
        with open_retention(self.settings, record or self.record, did=did) as retention:
            yield retention

    def record(self, one: Partition, digest: str) -> None:
        """The keeper's word, signed by the log when this returns."""
        self.say("keeper", RetentionApplied, first=one.first, last=one.last, minimum=one.last + 1, archive=digest)

    def apply(self, did: Did = lambda _: None, cutoff: datetime = NOW, **options: Any) -> list[tuple[int, int]]:
        with self.retention(did) as retention:
            return [(one.first, one.last) for one in retention.apply(cutoff, **options)]

    def read(self, *, payloads: bool = True) -> list[Verified]:
        return open_follower(self.settings, payloads=payloads).catch_up()

    def size(self) -> int:
        return int(self.sql("SELECT tree_size FROM ledger.log_head")[0][0])

    def tables(self) -> list[str]:
        return [row[0] for row in self.sql(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'ledger'"
            " AND relkind = 'r' AND relname ~ '^(entry|payload)_' ORDER BY 1"
        )]  # fmt: skip

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.url(), autocommit=True) as owner:
            cursor = owner.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def copy(self, folder: Path) -> Iterator[Site]:
        """The same site once more, to be spoilt."""
        home = folder / f"home-{next(_NUMBERS)}"
        shutil.copytree(self.home, home)
        name = f"copy_{next(_NUMBERS)}_{self.database.name}"
        server = self.database.server
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.database.name}")
        authors = {key: twin(author) for key, author in self.authors.items()}
        try:
            yield Site(home, Database(server, name), authors, self.now, self.runs)
        finally:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def twin(author: Author) -> Author:
    other = Author(author.name, signer=author.signer)
    other.session, other.seq, other.prev = author.session, author.seq, author.prev
    return other


def crashing(at: str) -> Did:
    """End the process at the first step of this name."""

    def did(step: str) -> None:
        if step == at:
            raise Crash

    return did


def flipped(data: bytes, at: int = 40) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

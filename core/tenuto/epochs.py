"""Epochs: to which key of the ledger authors seal what they send, and when that key is destroyed.

On the bus, and in whatever copies of it exist, a payload's key is sealed to an epoch key. A purge cannot edit a segment of
Kafka; destroying the epoch's secret makes every segment of that time unreadable at once. So epochs are short, and their
keys go as soon as nothing is under way any more that ingest still has to open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .adapters import keyfiles
from .adapters.keyfiles import shred
from .adapters.postgres import PostgresReader
from .bus import Bus
from .envelope import parse
from .errors import Busy, NotConfigured, Refused
from .events import KeyEpochDestroyed, KeyEpochOpened, SessionClosed, SessionEpochFollowed, SessionOpened
from .following import Follower
from .recorder import Recorder
from .trust import TRUST_FILE, load_trust

POLL_RECORDS, POLL_MS = 1000, 5000


class EpochInUse(Refused):
    """Something is sealed to this epoch that the ledger does not have yet, or somebody still seals to it."""

    reason = "in_use"


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """The root's hand on the epochs of one home. `follower` stands before the first event."""

    home: Path
    keys: Path
    spools: Path
    root: Recorder
    bus: Bus
    reader: PostgresReader
    topic: str
    follower: Follower
    seconds: float

    def rotate(self) -> int:
        """Open the next epoch and return its number: key, event, trust file, in this order. May be repeated after a crash."""
        trust = load_trust(self.home)
        number = trust.epoch + 1
        if number not in keyfiles.epochs(self.keys):
            keyfiles.create_key(self.keys, keyfiles.epoch_file(number))
        public = keyfiles.epoch_public_key(keyfiles.load_epoch_secret(self.keys, number)).hex()
        self.root.wait(self.root.record(KeyEpochOpened, epoch=number, public_key=public), self.seconds)
        opened = msgspec.structs.replace(trust, epoch=number, epoch_public_key=public)
        if (self.keys / TRUST_FILE).exists():
            opened.save(self.keys)
        opened.save(self.home)
        return number

    def destroy(self, epoch: int, *, sessions_ended: bool = False) -> bool:
        """Destroy an epoch's secret, and say so on record; return whether the key was still there.

        Raises EpochInUse, NotConfigured for the present epoch, Busy when bus or ledger are away. `sessions_ended`: a person
        knows that no session from before the rotation is at work any more, though the ledger has not seen it closed.
        """
        if epoch >= load_trust(self.home).epoch:
            raise NotConfigured(f"Epoch {epoch} is not over. Run `tenuto key epoch rotate` first.")
        destroyed = self._demand_unused(epoch, sessions_ended)
        there = shred(self.keys / keyfiles.epoch_file(epoch))
        if not destroyed:
            self.root.wait(self.root.record(KeyEpochDestroyed, epoch=epoch), self.seconds)
        return there

    def _demand_unused(self, epoch: int, sessions_ended: bool) -> bool:
        """Raise EpochInUse, naming what; return whether the destruction is on record already."""
        destroyed, authors = self._look_at_sessions(epoch)
        if authors and not sessions_ended:
            names = ", ".join(authors)
            raise EpochInUse(
                f"Sessions of {names} were open before epoch {epoch} ended and have not said that they seal to a later one. Who runs"
                " on this home says so within seconds; another machine needs the new trust.json first. End or restart those"
                " that do not, and add --sessions-ended for one that ended without a word."
            )
        for place, record in (*self._under_way(), *self._waiting()):
            if _epoch_of(record) == epoch:
                raise EpochInUse(f"{place} holds an event sealed to epoch {epoch} that the ledger does not have. Wait for it.")
        return destroyed

    def _look_at_sessions(self, epoch: int) -> tuple[bool, list[str]]:
        open_ones, before, destroyed = dict[object, str](), dict[object, str](), False
        for page in self.follower.pages():
            for one in page:
                event = one.event
                if isinstance(event, SessionOpened) and one.key.role != "ingest":
                    open_ones[event.session] = event.author
                elif isinstance(event, SessionEpochFollowed) and event.epoch > epoch:
                    before.pop(event.session, None)
                elif isinstance(event, SessionClosed):
                    open_ones.pop(event.session, None)
                    before.pop(event.session, None)
                elif isinstance(event, KeyEpochOpened) and event.epoch == epoch + 1:
                    before = dict(open_ones)
                elif isinstance(event, KeyEpochDestroyed) and event.epoch == epoch:
                    destroyed = True
        return destroyed, sorted(set(before.values()))

    def _under_way(self) -> Iterator[tuple[str, bytes]]:
        """Everything on the topic that ingest has not committed."""
        for partition in range(self.bus.partitions(self.topic)):
            with self.bus.reader(self.topic, partition) as reader:
                place, end = self.reader.tracked(reader.partition_identity()), reader.end_offset()
                reader.seek(max(place, reader.beginning_offset()))
                while place < end:
                    records = reader.poll(POLL_RECORDS, POLL_MS)
                    if not records:
                        raise Busy(f"Records of {self.topic}/{partition} that ingest has not taken in do not come. Try again.")
                    yield from ((f"{self.topic}/{partition}", record.value) for record in records)
                    place = records[-1].offset + 1
        for record in self.reader.parked_records():
            yield "The ledger's waiting room", record

    def _waiting(self) -> Iterator[tuple[str, bytes]]:
        """Everything in the spools of this home that has no receipt."""
        for path in sorted(self.spools.glob("*.db")):
            try:
                with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as spool:
                    for (record,) in spool.execute("SELECT record FROM outbox"):
                        yield f"The spool {path.name}", bytes(record)
            except sqlite3.Error as error:
                raise Busy(f"The spool {path} cannot be read: {error}") from error


def _epoch_of(record: bytes) -> int | None:
    try:
        envelope = parse(record)
    except Refused:
        return None
    return envelope.epoch if envelope.sealed is not None else None

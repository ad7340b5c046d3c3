"""`tenuto key storage renew`: a storage key without holes for what comes, and for what is readable still.

The log says which payloads there are, so it is walked to its end first; their leaves are kept, and the key is changed
(`adapters/keyrenewal.py`). What ingest had wrapped just before and had not written yet is not among them. It lies between the
place where ingest stood on the bus and the bus's end at that time: once ingest is past that end, nothing is on its way any
more, and what came late is found by its rows and kept as well. Only then is the key before destroyed, and that is put on
record. The same command goes on after a crash at any point.

Ingest need not be stopped, and pays nothing for it. It must be running, or have taken in all that is on the bus. A legal hold
does not stand against a renewal, which takes nothing away, and neither does a purge that was started: it destroyed all its
keys or none, and goes on after.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .adapters import keyrenewal
from .adapters.kafka_rights import INGEST
from .adapters.keptleaves import KeptLeaves, kept_file
from .adapters.keytreefile import LOOK_SECONDS, KeyTreeFile
from .adapters.postgres import PostgresReader
from .bus import Bus
from .errors import Busy, Refused
from .events import KeyStorageRenewed
from .following import Follower
from .keystock import KeyStock
from .keytree import PATH_BYTES
from .ledger import LedgerReader
from .recorder import Recorder
from .settings import EVENTS_TOPIC, Settings
from .verification import open_stored
from .verified import Verified
from .wiring import open_bus, open_follower, open_reader, open_recorder, role_url

LATE_MAX = 65_536
"""So many events the log may be behind the ledger when the key is changed: each of their payloads is a line in the key's file."""
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Renewed:
    """What the storage key is now. kept: leaves of former keys, late ones among them. gone: payloads lost before."""

    renewal: int
    kept: int
    late: int
    gone: int


@dataclass
class Survey:
    """What the walk over the log tells a renewal. since: the events from there on are looked at one by one, if at all."""

    since: int | None
    size: int = 0
    told: int = 0
    paths: array[int] = field(default_factory=lambda: array("Q"))
    recent: list[Verified] = field(default_factory=list)

    def take(self, page: Iterable[Verified]) -> None:
        """Take the next verified events."""
        for one in page:
            self.size = one.position + 1
            if isinstance(one.event, KeyStorageRenewed):
                self.told = max(self.told, one.event.renewal)
            if one.event.payload_commit is None:
                continue
            if self.since is None:
                self.paths.append(int(one.event.payload_commit[: PATH_BYTES * 2], 16))
            elif one.position >= self.since:
                self.recent.append(one)


@dataclass(frozen=True, kw_only=True)
class Renewing:
    """The root's hand on the storage key of one home. `follower` stands before the first event, without payloads.

    reader: the ledger with its payloads. tables: where ingest stands. seconds: how long ingest and sealer are waited for.
    """

    keys: Path
    root: Recorder
    bus: Bus
    topic: str
    reader: LedgerReader
    tables: PostgresReader
    follower: Follower
    seconds: float

    def renew(self) -> Renewed:
        """Renew the storage key, or finish what was begun; returns what there is now.

        Raises VerificationFailed, and Busy when ingest or sealer do not come after; nothing is lost by any.
        """
        stock = KeyTreeFile(self.keys).tree
        survey = Survey(stock.past.covered if stock.closing is not None else None)
        self._walk(survey)
        if stock.closing is None and survey.told >= stock.past.renewal:
            self._change(survey)
        late = self._end(survey)
        return self._tell(survey, late)

    def _walk(self, survey: Survey) -> None:
        for page in self.follower.pages():
            survey.take(page)

    def _change(self, survey: Survey) -> None:
        """Keep what the log knows, and change the key; see `keyrenewal.change`."""
        behind = self.reader.head().size - survey.size
        if behind > LATE_MAX:
            raise Busy(f"The log is {behind:,} events behind the ledger. Wait until the sealer has signed them; nothing was changed.")
        keyrenewal.change(self.keys, survey.paths, survey.size)
        survey.since = survey.size

    def _end(self, survey: Survey) -> int:
        """Find what was on its way when the key changed, and destroy the key before."""
        stock = KeyTreeFile(self.keys).tree
        if stock.closing is None:
            return keyrenewal.end(self.keys, ())
        time.sleep(2 * LOOK_SECONDS)  # from here on whatever is read from the bus is wrapped under the new key
        self._await_ingest()
        self._await_signed(survey, self.reader.head().size)
        return keyrenewal.end(self.keys, [commit for one in survey.recent if (commit := self._late(one, stock)) is not None])

    def _await_ingest(self) -> None:
        """Wait until ingest has written, or turned away, all that the bus holds at this moment."""
        deadline = time.monotonic() + self.seconds
        for partition in range(self.bus.partitions(self.topic)):
            with self.bus.reader(self.topic, partition) as reader:
                name, end = reader.partition_identity(), reader.end_offset()
            while self._place(name, end) < end:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"Ingest has not taken in what {self.topic}/{partition} held when the storage key was changed. Start"
                        " it, then run `tenuto key storage renew` again; until then nothing can be purged."
                    )
                time.sleep(PAUSE_SECONDS)

    def _place(self, name: str, end: int) -> int:
        """Return up to where ingest has come; a partition that was truncated is tracked under a name of its own."""
        place = self.tables.tracked(name)
        while place > end:
            name = f"{name}~{place}"
            place = self.tables.tracked(name)
        return place

    def _await_signed(self, survey: Survey, size: int) -> None:
        deadline = time.monotonic() + self.seconds
        self._walk(survey)
        while survey.size < size:
            if time.monotonic() > deadline:
                raise Busy(
                    f"The log has signed {survey.size:,} of {size:,} events. Start the sealer, then run `tenuto key storage renew`"
                    " again; until then nothing can be purged."
                )
            time.sleep(PAUSE_SECONDS)
            self._walk(survey)

    def _late(self, one: Verified, stock: KeyStock) -> bytes | None:
        """Return the commitment of a payload that only the key before opens, None for any other."""
        for entry in self.reader.read(one.position, 1):
            for key in (stock.without_closing(), stock):
                try:
                    found = open_stored(entry, one.event, key)
                except Refused:  # a purge took it, or the key before is needed
                    continue
                return None if found is None or key is not stock else bytes.fromhex(str(one.event.payload_commit))
        return None

    def _tell(self, survey: Survey, late: int) -> Renewed:
        """Put it on record unless it is there already."""
        past = KeyTreeFile(self.keys).tree.past
        kept = KeptLeaves(self.keys / kept_file(past.renewal))
        done = Renewed(past.renewal, len(kept) + sum(map(len, past.late.values())), late, len(past.gone))
        if survey.told < past.renewal:
            said = self.root.record(KeyStorageRenewed, renewal=done.renewal, kept=done.kept, gone=done.gone)
            self.root.wait(said, self.seconds)
        return done


@contextmanager
def open_renewing(settings: Settings) -> Iterator[Renewing]:
    """Give what renews the storage key, on real parts, with the root's key, which must be in the home's folder."""
    with (
        open_recorder(settings, "root", software="tenuto-renew") as root,
        closing(PostgresReader(role_url(settings, "tenuto_reader"))) as tables,
        closing(open_reader(settings)) as reader,
    ):
        yield Renewing(
            keys=settings.keys, root=root, bus=open_bus(settings, INGEST), topic=EVENTS_TOPIC, reader=reader, tables=tables,
            follower=open_follower(settings, payloads=False), seconds=settings.receipt_seconds,
        )  # fmt: skip

"""The one door in: from a record on the bus to an event in the ledger, in six steps.

 1. decode       the envelope and its header are whole, within limits, and meant for this log   (intake/arrival.py)
 2. verify       the author may say this with a valid key, and the signature holds              (intake/judging.py)
 3. payload      it opens, is what was signed for, and its key is wrapped for storage           (intake/vault.py)
 4. sequence     it continues its session, waits for its predecessors, or is evidence           (intake/judging.py)
 5. append       events, evidence, waiting records and the consumer offset, as one transaction
 6. acknowledge  only now is the batch behind us; the bus is told nothing, it has no say in this

What depends on a record's bytes alone is worked out ahead, for the next batch while this one is written
(intake/examining.py); everything that depends on where the ledger stands waits its turn.

Three outcomes: a refused record becomes a `record.refused` event, in the same transaction as the offset that passes it;
when something is busy the same records are read again; anything else stops the process, with nothing half done. Recovery
is the ordinary road: after any doubt the partition is claimed again, which tells by the stored offset where to go on.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import msgspec

from .bus import Bus, OffsetGone, TopicChanged, TopicMissing, TopicReader
from .clock import Clock, ClockWatch
from .errors import Busy, NotConfigured
from .events import RecordPurged
from .events.base import Name
from .intake.arrival import Arrival, again, returned
from .intake.examining import Coming
from .intake.folds import DoubleFold, KeyFold, PurgeFold
from .intake.judging import OWN_EVENTS_ROOM, Judge, Judgement, PurgeStanding, Standing
from .intake.search import Admission, RootSearch
from .intake.testimony import CannotTestify
from .ledger import BATCH_EVENTS_MAX, AlreadyAppended, HeadsMoved, LedgerStore, NotOwner, Parked

log = logging.getLogger(__name__)

IDLE_POLL_MS = 10
_PURGED = str(RecordPurged.__struct_config__.tag).encode()
HEADS_MOVED_MAX = 10
"""So many times in a row another writer may be faster before the batch is put off."""


@dataclass
class _Partition:
    """One partition: its reader, and what was known of it after the last append. `owned` only while nothing is in doubt."""

    number: int
    reader: TopicReader | None = None
    owned: bool = False
    tracking: str = ""
    watching_since: datetime | None = None
    parked: dict[tuple[UUID, int], Parked] = field(default_factory=dict)
    refused_in_a_row: int = 0
    next_offset: int = 0
    search: RootSearch | None = None
    """There while ingest's own registration is looked for behind what it must refuse at `next_offset`."""
    ahead: Coming | None = None
    """What was read after the batch in hand. It is dropped with the ownership: then the ledger says where to read on."""

    def close(self) -> None:
        self.owned = False
        if self.reader is not None:
            self.reader.close()
            self.reader = None


class Ingest:
    """Carries the records of a topic into the ledger. Belongs to one thread; the judge's pool does the arithmetic.

    `waiting` is the sentence of what the last step had to wait for, None when nothing. `clock_watch` tells when somebody
    set the clock, so that no hole is given up for it; None where nobody does.
    """

    def __init__(
        self,
        bus: Bus,
        store: LedgerStore,
        *,
        judge: Judge,
        root_public_key: bytes,
        clock: Clock,
        share: tuple[str, Sequence[int] | None],
    ) -> None:
        """`share`: the topic, and which of its partitions are this process's (None: all of them)."""
        self._bus, self._store, self._judge, self._clock = bus, store, judge, clock
        self._topic, self._numbers = share
        self._partitions: list[_Partition] | None = None
        self._keys = KeyFold(store, judge.origin, root_public_key)
        self._doubles = DoubleFold(store)
        self._purges = PurgeFold(store, judge.origin, root_public_key)
        self._records_max = min(judge.limits.batch_events, BATCH_EVENTS_MAX - OWN_EVENTS_ROOM)
        self._idle = True
        self.waiting: str | None = None
        self.clock_watch: ClockWatch | None = None
        try:
            msgspec.convert(self._topic, Name)
        except msgspec.ValidationError as error:
            raise NotConfigured(
                f"The topic {self._topic!r} cannot be named in an event; use lower case, digits and dots."
            ) from error

    def advance(self) -> int:
        """Take one step for the loop of a process; raises Busy when nothing entered and something had to be waited for."""
        entered = self.step()
        if self.waiting is not None and not entered:
            raise Busy(self.waiting)
        return entered

    def step(self) -> int:
        """Poll each partition once and append what came; returns how many events entered.

        One partition that is busy (see `waiting`) holds up no other, and is read again from where the ledger has it.
        """
        self.waiting, timeout_ms, entered = None, IDLE_POLL_MS if self._idle else 0, 0
        self._idle = True
        try:
            partitions = self._open()
        except Busy as busy:
            self.waiting = str(busy)
            return 0
        self._notice_clock(partitions)
        for partition in partitions:
            try:
                entered += self._serve(partition, timeout_ms)
            except TopicChanged as changed:
                log.warning("%s", changed)
                partition.close()
            except OffsetGone as gone:
                log.warning("%s", gone)
                self.waiting, partition.owned = str(gone), False  # claimed again, it goes on where there are records
            except (Busy, TopicMissing) as busy:
                # A broker that forgot a topic it had is away like any other: authors will send again what it lost.
                self.waiting, partition.owned = str(busy), False
        return entered

    def close(self) -> None:
        """Release the readers; harmless when repeated. The store is the caller's."""
        for partition in self._partitions or ():
            partition.close()

    def _open(self) -> list[_Partition]:
        if self._partitions is None:
            numbers = range(self._bus.partitions(self._topic)) if self._numbers is None else self._numbers
            self._partitions = [_Partition(number) for number in numbers]
        return self._partitions

    def _serve(self, partition: _Partition, timeout_ms: int) -> int:
        reader = self._claim(partition)
        coming, partition.ahead = partition.ahead or self._read(reader, timeout_ms), None
        if coming is not None:
            self._idle = False
            if coming.count == self._records_max:
                partition.ahead = self._read_ahead(reader)
        elif not partition.parked:
            return 0
        try:
            return self._take(partition, coming)
        except CannotTestify:
            entered = self._let_root_in(partition, reader)
            if not entered:
                raise
            return entered

    def _let_root_in(self, partition: _Partition, reader: TopicReader) -> int:
        """Let in the root's events up to ingest's registration, if they stand further on; returns how many entered."""
        partition.owned = False  # the reader moves; claimed again, it stands where the ledger has it
        partition.search = partition.search or RootSearch(partition.next_offset)
        found = partition.search.look(reader, self._judge.examiner, self._keys.keyring, self._records_max)
        admission = Admission(self._judge, replace(self._look(partition, found), parked={}))
        admission.run(found)
        if not admission.able:
            return 0
        positions = self._store.append(admission.batch(None))
        self._keys.advance(admission.keyring, positions.stop)
        log.warning("%s events of the root entered ahead of what partition %s holds before them", len(positions), partition.number)
        return len(positions)

    def _read(self, reader: TopicReader, timeout_ms: int) -> Coming | None:
        records = reader.poll(self._records_max, timeout_ms)
        return self._judge.examiner.begin(records, self._keys.keyring) if records else None

    def _read_ahead(self, reader: TopicReader) -> Coming | None:
        """Read the batch after the one in hand. What goes wrong is left to the next step, which meets it again."""
        try:
            return self._read(reader, 0)
        except (Busy, OffsetGone, TopicChanged, TopicMissing) as trouble:
            log.debug("nothing is read ahead: %s", trouble)
            return None

    def _claim(self, partition: _Partition) -> TopicReader:
        """Own the partition and stand where the ledger has it. Raises NotOwner when another process does."""
        if partition.reader is None:
            partition.reader = self._bus.reader(self._topic, partition.number)
        if not partition.owned:
            partition.ahead = None
            partition.tracking, offset = self._claim_place(partition.reader)
            self._keys.refresh()
            self._doubles.refresh()
            self._load_parked(partition)
            partition.reader.seek(offset)
            partition.next_offset = offset
            partition.owned, partition.watching_since = True, self._clock.now()
        return partition.reader

    def _notice_clock(self, partitions: Sequence[_Partition]) -> None:
        """A clock that was set must not make a hole look old: from now on its time counts anew."""
        moved = 0.0 if self.clock_watch is None else self.clock_watch.moved()
        if moved:
            log.error(
                "The clock of this machine was set %s by %.0f s. The ledger's time never runs back, and holes in sessions"
                " are waited for anew.", "ahead" if moved > 0 else "back", abs(moved),
            )  # fmt: skip
            for partition in partitions:
                partition.watching_since = self._clock.now()

    def _claim_place(self, reader: TopicReader) -> tuple[str, int]:
        """Claim the partition; return under which name the ledger tracks it, and where to read on.

        A broker may have lost the end of a partition that keeps its identity, and gives those offsets again. Then it is
        read from its first record under a name of its own: what is known is recognised, what is new is not passed over.
        """
        name = reader.partition_identity()
        offset, first, end = self._store.claim(name), reader.beginning_offset(), reader.end_offset()
        while offset > end:
            log.error("%s ends at offset %s, and %s was read before: it was truncated. It is read again.", name, end, offset)
            name = f"{name}~{offset}"
            offset = self._store.claim(name)
        if offset < first:
            log.error("%s keeps nothing before offset %s; what was not read up to there its authors send again.", name, first)
        return name, max(offset, first)

    def _load_parked(self, partition: _Partition) -> None:
        mine = (self._topic, partition.number)
        waiting = [kept for kept in self._store.parked() if (kept.topic, kept.partition) == mine]
        partition.parked = {(kept.session, kept.seq): kept for kept in waiting}

    def _take(self, partition: _Partition, coming: Coming | None) -> int:
        """Bring one batch in; returns how many events entered."""
        arrivals = coming.arrivals() if coming is not None else []
        tracking = (partition.tracking, coming.next_offset) if coming is not None else None
        for _ in range(HEADS_MOVED_MAX):
            judgement = self._judge.judge(arrivals, self._look(partition, arrivals))
            batch = judgement.batch(tracking)
            if not (batch.tracking or batch.entries or batch.park or batch.unpark):
                return 0
            try:
                positions = self._store.append(batch)
            except HeadsMoved as moved:
                log.info("another writer was faster: %s", moved)
                self._keys.refresh()
                self._load_parked(partition)
                arrivals = [again(arrival) for arrival in arrivals]
                continue
            except (AlreadyAppended, NotOwner) as doubt:
                log.info("%s", doubt)
                partition.owned = False
                return 0
            self._acknowledge(partition, judgement, positions)
            if coming is not None:
                partition.next_offset, partition.search = coming.next_offset, None
            return len(positions)
        raise Busy(
            f"Other writers were faster {HEADS_MOVED_MAX} times in a row; partition {partition.number} is put off."
        )

    def _look(self, partition: _Partition, arrivals: Sequence[Arrival]) -> Standing:
        """Ask the ledger, in two queries, all that judging these records can need to know."""
        numbers: defaultdict[UUID, set[int]] = defaultdict(set)
        for arrival in arrivals:
            if arrival.refusal is None:
                numbers[arrival.said.session].add(arrival.said.seq)
        for session, seq in partition.parked:
            numbers[session].add(seq)
        consulted = frozenset(numbers) | {self._judge.testimony.session}
        heads = self._store.session_heads(list(consulted))
        taken = [
            (session, seq)
            for session, head in heads.items()
            for seq in numbers.get(session, ())
            if seq <= head.seq
        ]
        now = self._clock.now()
        return Standing(
            now=now,
            watching_since=partition.watching_since or now,
            keyring=self._keys.keyring,
            keys_folded_to=self._keys.folded_to,
            consulted=consulted,
            heads=heads,
            states=self._store.states_at(taken) if taken else {},
            parked=partition.parked,
            doubles=self._doubles.known,
            purges=self._look_at_purges(partition, arrivals),
            refused_in_a_row=partition.refused_in_a_row,
        )

    def _look_at_purges(self, partition: _Partition, arrivals: Sequence[Arrival]) -> PurgeStanding | None:
        """Ask the ledger about approvals, holds and targets, if a purge is among these records or those that wait."""
        waiting = [kept for kept in partition.parked.values() if _PURGED in kept.record]
        said = [*(arrival.event for arrival in arrivals), *(returned(kept, self._judge.origin).event for kept in waiting)]
        purges = [event for event in said if isinstance(event, RecordPurged)]
        if not purges:
            return None
        return self._purges.standing(sorted({position for event in purges for position in event.positions}))

    def _acknowledge(self, partition: _Partition, judgement: Judgement, positions: range) -> None:
        """The batch is durable: remember what it left."""
        partition.parked = judgement.parked
        partition.refused_in_a_row = judgement.refused_in_a_row
        self._doubles.known |= judgement.doubles
        if positions:
            self._keys.advance(judgement.keyring, positions.stop)

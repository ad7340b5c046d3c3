"""Retention: old events leave the database, whole partitions at a time, and nothing is lost by it.

What may go is decided from the verified log. A partition goes only when all of this holds, oldest first, without holes:

 1. it is full, and its last event is older than the rule says
 2. the log has signed all of it, and the witnesses cosigned that as the policy demands
 3. no legal hold touches it
 4. every partition before it is gone or goes with it

What is still open, a run or an approval, does not keep a partition: everything goes on being read, from the archive.

How it goes, and what a crash after each step leaves; running it again always goes on from there:

 1. export      an archive, whole or not there at all                    nothing has changed
 2. verify      it is read back, against the tables and the signed root  nothing has changed
 3. record      a signed event names positions and archive               readers may be sent to the archive from HERE ON
 4. look again  a hold that came meanwhile still wins                    the tables are whole
 5. publish     the minimum index, beside the log
 6. drop        events, then payloads, leave the tables; both go         what was begun is finished first, next time
 7. prune       where it is asked for: bundles and lowest tiles

A table is only ever dropped when an event on record covers all of it and the archive it names is there and verified. While it
is dropped nothing enters the ledger: a hold stands before that, signed or not, and the tables are attached again; or after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from .archive import Archive, ArchiveRefused, Exported, Shelf, verify_archive, write_archive
from .envelope import split_state
from .errors import Refused, TenutoError
from .events import HoldPlaced, RetentionApplied
from .following import Follower
from .header import decode
from .holding import Held, Holds
from .keytree import StorageKey
from .ledger import LedgerReader
from .log.durable import write_durably
from .log.tiles import MINIMUM_FILE, TileFolder
from .log.witnessing import parse_policy, verify_policy
from .trust import Trust
from .verification import Verified

PAGE_EVENTS = 512
_HOLD_PLACED = str(HoldPlaced.__struct_config__.tag)
COSIGNATURE_SECONDS_MAX = 6.0
COSIGNATURE_PAUSE_SECONDS = 0.1


class RetentionRefused(TenutoError):
    """Something is not as it must be before a table may be dropped; nothing was dropped, the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Partition:
    """The events from `first` to `last` in the tables; `number` is the end of their names, `bytes` the size of the events'."""

    number: str
    first: int
    last: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What an interrupted drop left: tables that nobody reads any more. top: the highest position in them, -1 if empty."""

    number: str
    top: int


class Tables(Protocol):
    """The partitions, as their owner has them; see `tenuto.adapters.partitions`."""

    def attached(self) -> list[Partition]:
        """Return the partitions that are read and written, in order."""
        ...

    def left_over(self) -> list[LeftOver]:
        """Return what an interrupted drop left."""
        ...

    def detach(self, number: str) -> None:
        """Take a partition out of the tables; may be repeated."""
        ...

    def drop(self, number: str, demand_free: Callable[[], None]) -> None:
        """Drop a detached partition, unless `demand_free` raises; from then on until it is gone nothing enters the ledger."""
        ...

    def attach(self, one: Partition) -> None:
        """Bring a partition back that was detached; may be repeated."""
        ...


@dataclass
class Retained:
    """The fold over `retention.applied`: up to where the log itself says that events left the database, and to which archives."""

    minimum: int = 0
    archives: dict[tuple[int, int], str] = field(default_factory=dict)
    said: dict[tuple[int, int], int] = field(default_factory=dict)
    """Where each was put on record, the last time."""

    def apply(self, verified: Verified) -> None:
        """Take the next event. One that would leave a hole, or reaches beyond itself, does not count."""
        event = verified.event
        if not isinstance(event, RetentionApplied) or event.minimum != event.last + 1 or event.last >= verified.position:
            return
        place = (event.first, event.last)
        if event.first == self.minimum and event.first <= event.last:
            self.minimum = event.minimum
        elif place not in self.archives:
            return
        self.archives[place], self.said[place] = event.archive, verified.position

    def archive_of(self, first: int, last: int) -> str | None:
        """Return the SHA-256 of the manifest of the archive that counts for exactly these positions, or None."""
        return self.archives.get((first, last))


@dataclass
class Survey:
    """All that one verified walk over the log tells retention. edges: the positions whose times are wanted."""

    edges: Collection[int]
    holds: Holds = field(default_factory=Holds)
    retained: Retained = field(default_factory=Retained)
    times: dict[int, datetime] = field(default_factory=dict)

    def take(self, page: Iterable[Verified]) -> None:
        """Take the next verified events."""
        for verified in page:
            self.holds.apply(verified)
            self.retained.apply(verified)
            if verified.position in self.edges:
                self.times[verified.position] = verified.recorded_at


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule says about one partition. keeps: a sentence for each reason to keep it; it goes when there is none."""

    partition: Partition
    began: datetime | None
    ended: datetime | None
    holds: tuple[str, ...]
    keeps: tuple[str, ...]
    archived: bool

    @property
    def goes(self) -> bool:
        """Whether it may be dropped now."""
        return not self.keeps


def plan(partitions: Sequence[Partition], survey: Survey, *, cutoff: datetime, signed: int, shelf: Shelf) -> list[Verdict]:
    """Return a verdict on every partition that has signed events, oldest first. signed: events under the cosigned checkpoint."""
    verdicts: list[Verdict] = []
    expected = survey.retained.minimum if not partitions else min(partitions[0].first, survey.retained.minimum)
    for one in partitions:
        began, ended = survey.times.get(one.first), survey.times.get(one.last)
        if began is None:
            break
        keeps = _keeps(one, ended, survey, cutoff, signed)
        if one.first != expected:
            keeps.append(f"the partition of position {expected} is missing before it")
        if verdicts and not verdicts[-1].goes:
            keeps.append("an older partition stays")
        expected = one.last + 1
        archived = (one.first, one.last) in shelf.ranges()
        verdicts.append(Verdict(one, began, ended, survey.holds.over_range(one.first, one.last), tuple(keeps), archived))
    return verdicts


def _keeps(one: Partition, ended: datetime | None, survey: Survey, cutoff: datetime, signed: int) -> list[str]:
    keeps = [f"legal hold {name}" for name in survey.holds.over_range(one.first, one.last)]
    if one.last >= signed:
        keeps.append("it is not full, or not signed and cosigned to its end")
    elif ended is None or ended > cutoff:
        keeps.append("its last event is younger than the rule")
    return keeps


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The newest checkpoint with all the cosignatures that the policy demands: its note, and how many events it covers."""

    note: bytes
    size: int


class Retention:
    """Carries out a plan. One at a time: whoever makes it holds the tables' lock."""

    def __init__(
        self,
        *,
        follower: Follower,
        trust: Trust,
        tables: Tables,
        reader: LedgerReader,
        shelf: Shelf,
        tiles: TileFolder,
        record: Callable[[Partition, str], None],
        storage_key: StorageKey | None = None,
        did: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`record` signs and records the event, and returns when the log has signed it. `did` is told of each step taken.

        `reader` must read the tables as they are, without archives. With `storage_key` every payload of an archive is
        opened before its table goes.
        """
        self._follower, self._trust, self._tables, self._reader = follower, trust, tables, reader
        self._shelf, self._tiles, self._record, self._did = shelf, tiles, record, did
        self._storage_key = storage_key
        self._cosigned: Cosigned | None = None
        partitions = tables.attached()
        self.survey = Survey({edge for one in partitions for edge in (one.first, one.last)})

    def plan(self, cutoff: datetime) -> list[Verdict]:
        """Walk the log on to a checkpoint that is cosigned and return the verdicts.

        Raises VerificationFailed, and RetentionRefused when the newest checkpoint is not cosigned within a few seconds.
        """
        self._await_cosigned()
        signed = 0 if self._cosigned is None else self._cosigned.size
        return plan(self._tables.attached(), self.survey, cutoff=cutoff, signed=signed, shelf=self._shelf)

    def apply(self, cutoff: datetime, *, prune: bool = False) -> list[Partition]:
        """Carry out the plan and return the partitions that went; see the top of this file."""
        verdicts = self.plan(cutoff)
        self._finish()
        gone = []
        for verdict in verdicts:
            if not verdict.goes:
                break
            self._take_away(verdict.partition)
            gone.append(verdict.partition)
        if prune:
            self._prune()
        return gone

    def _take_away(self, one: Partition) -> None:
        try:
            archive = self._archived(one)
            self._verify(archive, one)
        except ArchiveRefused as refusal:
            remedy = "Or delete that archive: the tables are whole, and the next run makes a new one."
            raise RetentionRefused(f"The positions {one.first} to {one.last} are not dropped: {refusal} {remedy}") from refusal
        self._did("verified")
        if self.survey.retained.archive_of(one.first, one.last) != archive.digest:
            self._record(one, archive.digest)
            self._did("recorded")
            self._catch_up()
        self._demand_free(one.first, one.last)
        if self.survey.retained.archive_of(one.first, one.last) != archive.digest:
            raise RetentionRefused(f"The log does not say that the positions {one.first} to {one.last} were archived.")
        self._publish_minimum()
        self._drop(one)

    def _drop(self, one: Partition) -> None:
        """Step 6; a hold that came meanwhile brings the partition back."""
        self._tables.detach(one.number)
        self._catch_up()
        try:
            self._demand_free(one.first, one.last)
            self._tables.drop(one.number, lambda: self._demand_free_of_unsigned(one.first, one.last))
        except RetentionRefused as held:
            self._tables.attach(one)
            raise RetentionRefused(f"{held} Its tables are attached again.") from held

    def _archived(self, one: Partition) -> Archive:
        """Return the archive of a partition, written now if it is not there."""
        archive = self._shelf.find(one.first, one.last)
        if archive is None:
            signed = self._cosigned
            assert signed is not None
            export = Exported(self._trust.origin, one.first, one.last, signed.note, signed.size, self._reader, self._tiles)
            write_archive(export, self._shelf.folder, self._did)
            self._did("exported")
            archive = self._shelf.find(one.first, one.last)
            assert archive is not None
        return archive

    def _verify(self, archive: Archive, one: Partition) -> None:
        """Read the archive back: against the signed root, and event for event against the tables."""
        verify_archive(archive, self._trust, storage_key=self._storage_key)
        for start in range(one.first, one.last + 1, PAGE_EVENTS):
            stop = min(start + PAGE_EVENTS, one.last + 1)
            if archive.read(start, stop, payloads=True) != self._reader.read(start, stop - start):
                raise ArchiveRefused(f"{archive.folder} does not hold what the tables hold from position {start} on.")

    def _finish(self) -> None:
        """Drop what an earlier run had taken out of the tables already, if an event on record covers it."""
        minimum = self.survey.retained.minimum
        for left in self._tables.left_over():
            if left.top >= minimum:
                sentence = f"The tables numbered {left.number} are detached and hold events up to position {left.top}, and no"
                sentence += f" retention on record covers these (it ends before {minimum})."
                raise RetentionRefused(f"{sentence} They are not dropped; attach them again.")
            place = next((held for held in self.survey.retained.archives if held[0] <= left.top <= held[1]), None)
            if place is None:  # there is nothing in it
                self._tables.detach(left.number)
                self._tables.drop(left.number, lambda: None)
            else:
                self._demand_archive(*place)
                self._drop(Partition(left.number, *place, 0))
            self._did("finished")
        if minimum:
            self._publish_minimum()

    def _demand_archive(self, first: int, last: int) -> None:
        archive = self._shelf.find(first, last)
        if archive is None or archive.digest != self.survey.retained.archive_of(first, last):
            raise RetentionRefused(
                f"The archive of the positions {first} to {last} that the log names is not in {self._shelf.folder}; what is"
                " left of their tables is not dropped before it is back."
            )
        try:
            verify_archive(archive, self._trust, storage_key=self._storage_key)
        except Refused as refusal:
            raise RetentionRefused(f"What is left of the tables is not dropped: {refusal}") from refusal

    def _demand_free(self, first: int, last: int) -> None:
        try:
            self.survey.holds.verify_range_free(first, last)
        except Refused as held:
            raise RetentionRefused(str(held)) from held

    def _demand_free_of_unsigned(self, first: int, last: int) -> None:
        """Ask the rows behind what was walked, which nobody has signed yet. A forged one keeps a table a little longer."""
        start = self._follower.walk.size
        while found := self._reader.read_kinds((_HOLD_PLACED,), start, PAGE_EVENTS):
            for entry in found:
                event = decode(split_state(entry.state)[0])
                if isinstance(event, HoldPlaced) and self.survey.holds.would_cover(event, first, last):
                    raise RetentionRefused(str(Held(f"Something between the positions {first} and {last}", (event.hold,))))
            start = found[-1].position + 1

    def _publish_minimum(self) -> None:
        minimum = self.survey.retained.minimum
        if published_minimum(self._tiles.path) != minimum:
            write_durably({self._tiles.path / MINIMUM_FILE: f"{minimum}\n".encode()})
            self._did("published")

    def _prune(self) -> None:
        """Delete published bundles and lowest tiles wholly below the minimum index, of which a verified archive is here."""
        for (first, last), digest in self.survey.retained.archives.items():
            archive = self._shelf.find(first, last)
            if archive is not None and archive.digest == digest and last < min_attached(self._tables.attached()):
                self._demand_archive(first, last)
                if self._tiles.prune(first, last + 1):
                    self._did("pruned")

    def _await_cosigned(self) -> None:
        """Walk to the newest checkpoint; its cosignatures follow it after a moment."""
        deadline = time.monotonic() + COSIGNATURE_SECONDS_MAX
        while True:
            self._catch_up()
            note, checkpoint = self._follower.note, self._follower.checkpoint
            if note is None or checkpoint is None:
                return
            try:
                if self._trust.policy.strip():
                    verify_policy(note, parse_policy(self._trust.policy), self._trust.origin)
            except Refused as refusal:
                if time.monotonic() >= deadline:
                    sentence = "The newest checkpoint is not cosigned as the policy demands, so nothing may be dropped"
                    raise RetentionRefused(f"{sentence}: {refusal}") from refusal
                time.sleep(COSIGNATURE_PAUSE_SECONDS)
            else:
                self._cosigned = Cosigned(note, checkpoint.size)
                return

    def _catch_up(self) -> None:
        for page in self._follower.pages():
            self.survey.take(page)


def min_attached(partitions: Sequence[Partition]) -> int:
    """Return the first position that is still in the tables."""
    return min((one.first for one in partitions), default=0)


def published_minimum(folder: Path) -> int:
    """Return the minimum index beside the log, 0 where none was published; raises RetentionRefused for anything else."""
    try:
        said = (folder / MINIMUM_FILE).read_bytes()
    except FileNotFoundError:
        return 0
    if not said.endswith(b"\n") or not said[:-1].isdigit() or len(said) > 20:
        raise RetentionRefused(f"{folder / MINIMUM_FILE} does not hold one number and a line feed.")
    return int(said)

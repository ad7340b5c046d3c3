"""Whoever watches a simulated world: the ledger's invariants at every step, one signed history, and the verdict in the end."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tenuto import header as headers
from tenuto.bus import BusRecord
from tenuto.envelope import split_state
from tenuto.errors import Busy
from tenuto.events import Event
from tenuto.ledger import Recorded
from tenuto.log.archive import CheckpointArchive, withheld
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.proof import consistency_proof, verify_consistency
from tenuto.log.tiles import TileFolder, verify_tiles
from tenuto.log.witnessing import parse_policy
from tenuto.mailbox import Receipt
from tenuto.verified import Verified

from tests.check_ledger import check_ledger
from tests.simulation.oracle import Verdict

if TYPE_CHECKING:
    from tests.simulation.processes import NearWitness
    from tests.simulation.world import World

LOOK_BACK_EVERY = 50


class Watch:
    """Sees everything and changes nothing."""

    def __init__(self, world: World, reader: Any) -> None:
        self.world, self.reader = world, reader
        self.entries: list[Recorded] = []
        self.frontier = Frontier()
        self.published: list[tuple[int, str]] = []
        self.moved = False
        self.verified: list[Verified] = []
        self._events: dict[Any, int] = {}
        self._refused: dict[str, int] = {}
        self._sessions: dict[Any, int] = {}
        self._registered: set[str] = set()
        self._looks = 0
        self._note: bytes | None = None
        self._carried: set[str] = set()

    @property
    def size(self) -> int:
        return len(self.entries)

    def is_registered(self, author: str) -> bool:
        """Whether the author's first key is in the ledger; nobody starts before."""
        return author in self._registered

    def look(self) -> None:
        """Invariants 1 to 7 on what is new, now and then on everything; and what the log has signed."""
        self._looks += 1
        head = self.reader.head()
        self.moved = head.size != self.size
        if self.moved:
            assert head.size > self.size, "(3) stored events went away"
            self._take(self.reader.read(self.size, head.size - self.size))
        assert head.frontier == self.frontier.to_bytes(), "(4) the head is not that of the events stored"
        if self._looks % LOOK_BACK_EVERY == 0:
            assert self.reader.read(0, self.size + 1) == self.entries, "(3) a stored byte changed"
        self._look_at_the_log()

    def _take(self, new: list[Recorded]) -> None:
        for entry in new:
            position = self.size
            assert entry.position == position, f"(1) position {position} is missing"
            before: datetime | None = self.entries[-1].recorded_at if self.entries else None
            assert before is None or entry.recorded_at >= before, f"(7) time runs back at {position}"
            event: Event = headers.decode(split_state(entry.state)[0])
            assert event.id not in self._events, f"(5) {event.kind} {event.id} entered twice"
            assert event.seq > self._sessions.get(event.session, -1), f"(6) session {event.session} runs back at {position}"
            self._sessions[event.session], self._events[event.id] = event.seq, position
            if event.kind == "key.registered":
                self._registered.add(event.subject)  # type: ignore[attr-defined]
            if event.kind == "record.refused":
                self._refused[event.record_sha256] = position  # type: ignore[attr-defined]
            self.entries.append(entry)
            self.frontier = self.frontier.extend([leaf_hash(entry.entry)])
            self.world.say(f"  {position}: {event.author} {event.kind} {event.seq}")
        head = self.reader.head()
        assert Frontier.from_bytes(head.size, head.frontier).root() == self.frontier.root(), "(2) position and leaf differ"

    def _look_at_the_log(self) -> None:
        tiles = TileFolder(self.world.log)
        note = tiles.published()
        if note is None or note == self._note:
            return
        self._note = note
        checkpoint = parse_checkpoint(note, self.world.trust.log_key, self.world.trust.origin)
        assert checkpoint.size <= self.size, "the log signed events that are not there"
        leaves = (leaf_hash(entry.entry) for entry in self.entries[: checkpoint.size])
        assert Frontier().extend(leaves).root() == checkpoint.root, f"the checkpoint over {checkpoint.size} is of another history"
        if self.published and self.published[-1][0] != checkpoint.size:
            size, root = self.published[-1][0], bytes.fromhex(self.published[-1][1])
            proof = consistency_proof(size, checkpoint.size, tiles)
            verify_consistency(size, root, checkpoint.size, checkpoint.root, proof)
        if not self.published or self.published[-1][0] != checkpoint.size:
            self.published.append((checkpoint.size, checkpoint.root.hex()))

    def demand_true(self, event: Event, verdict: Receipt | int) -> None:
        """A receipt names the place where exactly this event stands; a refusal, where it is refused."""
        self.look()
        position = verdict.position if isinstance(verdict, Receipt) else verdict
        entry = self.entries[position]
        if isinstance(verdict, Receipt):
            assert entry.state == self.world.oracle.said[event.id].state, f"the receipt for {event.id} is false"
            assert entry.recorded_at == verdict.recorded_at, f"the receipt for {event.id} has a false time"
            self.world.counts["receipts"] += 1
        else:
            assert self._refused.get(self.world.oracle.said[event.id].sha256) is not None, "a refusal that is not on record"

    def demand_settled(self, event: Event) -> None:
        """The author's spool let go of it, so the ledger has it or says why not."""
        self.look()
        said = self.world.oracle.said[event.id]
        assert event.id in self._events or said.sha256 in self._refused, f"{event.kind} {event.id} left its spool and is nowhere"

    def repeat_evidence(self) -> None:
        """Bring every forged and every two-faced record that was ever seen to ingest once more, so that none was only lost."""
        world = self.world
        for record in world.oracle.forged.values():
            self._carry(b"forged", record)
        for record in sorted(self._two_faced(), key=lambda one: one.offset):
            self._carry(record.key, record.value)

    def _two_faced(self) -> list[BusRecord]:
        names = {sha256 for twins in self.world.oracle.doubles.values() for sha256 in twins.values()}
        found = {hashlib.sha256(one.value).hexdigest(): one for one in self.world.bus.records("tenuto.events")}
        return [one for name, one in found.items() if name in names]

    def _carry(self, key: bytes, record: bytes) -> None:
        try:
            self.world.carry(key, record)
        except Busy:
            return
        self._carried.add(hashlib.sha256(record).hexdigest())

    def cosigned_by(self, witness: NearWitness) -> tuple[int, bytes]:
        """Size and root of the last checkpoint that a witness remembers."""
        trust = self.world.trust
        note = witness.witness.latest_note(hashlib.sha256(trust.origin.encode()).hexdigest())
        if note is None:
            return 0, b""
        checkpoint = parse_checkpoint(note, trust.log_key, trust.origin)
        return checkpoint.size, checkpoint.root

    def judge(self) -> None:
        """The end: everything is walked and verified, every reader folds the same, and the model agrees."""
        world = self.world
        self.verified = check_ledger(self.reader, world.trust, storage_key=world.storage_key)
        tiles = TileFolder(world.log)
        verify_tiles(tiles, self.size, self.frontier.root())
        for witness in world.witnesses:
            cosigned = self.cosigned_by(witness)
            assert cosigned == (self.size, self.frontier.root()), f"{witness.verifier.name} cosigned {cosigned[0]}, not {self.size}"
        shown, made = CheckpointArchive(world.log), world.witnesses[0].witness.archive(world.trust.origin)
        assert withheld(shown, made, parse_policy(world.trust.policy), world.trust.origin, self.size) == [], "a cosignature is lost"
        one, other = (reader.part.standings() for reader in world.readers)
        assert one == other, "two readers fold the approvals differently"
        seen, seen_by_other = (reader.part.coverages() for reader in world.readers)
        assert seen == seen_by_other, "two readers fold what was seen differently"
        world.counts["approvals"] += len(one)
        world.counts.update(f"approvals {standing.state}" for standing in one.values())
        verdict = Verdict(world.oracle, self.verified, world.temper.strict)
        verdict.judge()
        verdict.demand_evidence(self._carried)
        if not world.temper.keys:
            verdict.demand_messages()
        world.counts.update(verdict.testimony)
        world.counts["events"] += self.size
        world.counts["messages handed over"] += sum(len(one) for one in world.oracle.handed.values())

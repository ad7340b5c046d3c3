"""The world that sealer tests share: a listed ledger, the two folders, and witnesses in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tenuto.errors import Busy
from tenuto.ledger import Head, Recorded
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.cosigning import CheckpointWitness
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import Cosigner, NoteSigner, NoteVerifier
from tenuto.log.tiles import TileFolder, verify_tiles
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint
from tenuto.sealing import Published, Sealer

from tests.unit.log.naive import StoppedClock

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ListedLedger:
    """A `LedgerReader` over a list, with a head that follows unless a test sets another."""

    def __init__(self, count: int = 0) -> None:
        self.entries: list[Recorded] = []
        self.false_head: Head | None = None
        self.write(count)

    def write(self, count: int, salt: str = "") -> None:
        for position in range(len(self.entries), len(self.entries) + count):
            state = f"{salt}state {position}".encode()
            self.entries.append(Recorded(position, START + timedelta(seconds=position), state))

    def change(self, position: int) -> None:
        old = self.entries[position]
        self.entries[position] = Recorded(old.position, old.recorded_at, old.state + b"!", old.payload)

    def true_head(self) -> Head:
        frontier = Frontier().extend(leaf_hash(entry.entry) for entry in self.entries)
        return Head(frontier.size, frontier.to_bytes())

    def head(self) -> Head:
        return self.false_head or self.true_head()

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        assert not payloads, "the sealer needs no payloads"
        return [entry for entry in self.entries if entry.position >= start][:limit]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        raise AssertionError("the sealer reads everything")


class Home:
    """The sealer's world: a ledger, a state folder, a log folder."""

    def __init__(self, path: Path) -> None:
        self.ledger, self.state, self.log = ListedLedger(), path / "state", path / "log"
        self.clock = StoppedClock()

    @contextmanager
    def sealer(
        self, witnesses: Sequence[CheckpointWitness] = (), signer: NoteSigner = LOG, origin: str = ORIGIN
    ) -> Iterator[Sealer]:
        with Sealer(
            reader=self.ledger, tiles=TileFolder(self.log), state=self.state, signer=signer, origin=origin,
            witnesses=witnesses, clock=self.clock,
        ) as sealer:  # fmt: skip
            yield sealer

    def seal(self, witnesses: Sequence[CheckpointWitness] = ()) -> Published | None:
        """One step of a sealer that has just been started."""
        with self.sealer(witnesses) as sealer:
            return sealer.seal()

    def published(self) -> int:
        note = TileFolder(self.log).published()
        return 0 if note is None else parse_checkpoint(note, LOG.vkey, ORIGIN).size

    def check(self) -> None:
        """The published checkpoint is that of the ledger's first events, and every tile agrees with it."""
        note = TileFolder(self.log).published()
        assert note is not None
        checkpoint = parse_checkpoint(note, LOG.vkey, ORIGIN)
        leaves = [leaf_hash(entry.entry) for entry in self.ledger.entries[: checkpoint.size]]
        assert checkpoint.root == Frontier().extend(leaves).root()
        verify_tiles(TileFolder(self.log), checkpoint.size, checkpoint.root)


def near(path: Path, name: str, clock: StoppedClock) -> Witness:
    cosigner = Cosigner(name, name.encode().ljust(32))
    return Witness(cosigner=cosigner, logs=[LOG.verifier], state=path / name, clock=clock)


class Bridge:
    """A witness in this process, as the sealer sees it."""

    def __init__(self, witness: Witness) -> None:
        self.verifier: NoteVerifier = witness.verifier
        self.away = False
        self._witness = witness

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        if self.away:
            raise Busy("it is away.")
        return self._witness.add_checkpoint(request.to_bytes())

"""Everything of ours that writes files, each as a piece of work that can be begun again: on a home, to an end that is compared.

`do` carries the work to its end by the ordinary road, and is called again after a fault: by the same process (`do`), or by
one that has just been started (`restart`, then `do`). `end` demands that everything is right and returns what must be equal
to the end of a run without faults.
"""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from pathlib import Path
from uuid import UUID

from tenuto.errors import NotConfigured
from tenuto.events import MessageSent, ToolStarted
from tenuto.log.archive import CheckpointArchive
from tenuto.log.note import open_note
from tenuto.log.tiles import TileFolder
from tenuto.rebuilding import rebuild
from tenuto.salvage import Loss, losses_told, open_spool
from tenuto.sealing import Sealer, cosigned_file
from tenuto.spool import Outgoing, Spool
from tenuto.trust import Trust
from tenuto_projections.siem.exporting import Exporter
from tenuto_projections.siem.sinks import FileSink
from tenuto_projections.verifying import load_seen, save_seen
from tenuto_projections.walked import Seen

from tests.faults.keyworks import ORIGIN, Founding, Puncturing, Registering, Renewing, Rotating, Shredding
from tests.faults.points import Crash
from tests.faults.work import Work
from tests.simulation.people import Stepped
from tests.unit import sealers_home
from tests.unit.bundle.world import two_runs
from tests.unit.door import mini_ledger
from tests.unit.door.test_salvage import tear, written
from tests.unit.siem.chronicle import grown
from tests.unit.siem.exports import SIZE, cursor_of, export_file, exporter, positions
from tests.written import CALL

REBUILT = Trust(
    origin=sealers_home.ORIGIN, root_public_key="00" * 32, log_key=sealers_home.LOG.vkey, policy="", epoch=1,
    epoch_public_key="00" * 32,
)  # fmt: skip


class Sealing(Work):
    """The sealer's step, with a witness that keeps its own memory: stage, swap, apply, publish, cosign."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.place = sealers_home.Home(home)
        self.witness = sealers_home.Bridge(sealers_home.near(home, "witness.test", self.place.clock))
        self.place.ledger.write(254)
        self.place.seal([self.witness])
        self.place.ledger.write(4)
        self.sealer: Sealer | None = None

    def restart(self) -> None:
        if self.sealer is not None:
            self.sealer.close()
            self.sealer = None

    def do(self) -> None:
        if self.sealer is None:
            self.sealer = Sealer(
                reader=self.place.ledger, tiles=TileFolder(self.place.log), state=self.place.state, signer=sealers_home.LOG,
                origin=sealers_home.ORIGIN, witnesses=[self.witness], clock=self.place.clock,
            )  # fmt: skip
        for _ in range(4):
            self.place.clock.pass_seconds(120)  # a witness that failed has rested
            self.sealer.seal()

    def end(self) -> object:
        self.restart()
        self.place.check()
        note = TileFolder(self.place.log).published()
        assert note is not None
        cosigned = open_note(note, [sealers_home.LOG.verifier, self.witness.verifier])
        assert len(cosigned.signatures) == 2, "the witness has not cosigned what is published"
        state = [file.name for file in self.place.state.iterdir() if not file.name.startswith(".")]
        memory = self.witness._witness.archive(sealers_home.ORIGIN)
        for archive in (CheckpointArchive(self.place.state), CheckpointArchive(self.place.log)):
            kept = dict(archive.notes(1, 258))
            assert kept[258] == note
            # A draw is made of these lines: none that the witness ever made may be missing.
            for size, remembered in memory.notes(1, 258):
                assert remembered.splitlines()[-1] in kept[size].splitlines(), f"the cosignature over {size} is withheld"
        assert cosigned_file(self.place.state).read_bytes() == note, "people are told of an older cosignature"
        return self.place.published(), sorted(state), sorted(str(file) for file in _visible(self.place.log))


class Rebuilding(Work):
    """`tenuto tiles rebuild`: a log folder of which one part is gone and another damaged is made again from the ledger."""

    DAMAGED = "tile/0/001.p/44"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.place = sealers_home.Home(home)
        self.place.state = home / "memory" / "sealer"
        witness = sealers_home.Bridge(sealers_home.near(home, "witness.test", self.place.clock))
        self.place.ledger.write(300)
        self.place.seal([witness])
        self.whole = self._files()
        shutil.rmtree(self.place.log / "tile" / "entries")
        (self.place.log / "checkpoint").unlink()
        (self.place.log / self.DAMAGED).write_bytes(b"damaged")

    def do(self) -> None:
        rebuild(self.place.ledger, TileFolder(self.place.log), self.home / "memory", trust=REBUILT)

    def end(self) -> object:
        assert self._files() == self.whole
        aside = [file.read_bytes() for file in self.home.glob(f"log.aside-*/{self.DAMAGED}")]
        assert aside == [b"damaged"], "what was there is put aside, never deleted"
        self.place.check()
        left = [one.name for one in self.home.iterdir() if one.name.startswith("log.rebuilding")]
        assert left in ([], ["log.rebuilding"]), "what an attempt left is found by the next one"
        return sorted(self._files())

    def _files(self) -> dict[str, bytes]:
        return {str(one): (self.place.log / one).read_bytes() for one in _visible(self.place.log)}


class Recording(Work):
    """An author's life: an event is spooled and sent, its receipt taken in, a message received and done."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.road = mini_ledger.Road()
        self.message = self.road.sign("bob", MessageSent, to="alice", topic="test.note")
        self.road.carry()
        self.recorder: Stepped | None = None
        self.received: list[str] = []
        self.done = False

    def restart(self) -> None:
        if self.recorder is not None:
            assert self.recorder.mailbox is not None
            self.recorder.mailbox.close()
            self.recorder.spool.close()
            self.recorder = None

    def do(self) -> None:
        if self.recorder is None:
            self._open()
        assert self.recorder is not None
        assert self.recorder.mailbox is not None
        if not self.done:
            self.recorder.record(ToolStarted, **CALL)
            self.done = True
        self.recorder._drain.start_over()
        while self.recorder.publish():
            pass
        self.road.carry()
        for _ in range(3):
            self.recorder.receive()
        while (delivered := self.recorder.mailbox.next_message(0)) is not None:
            self.received.append(str(delivered.event.id))
            self.recorder.mailbox.done(delivered)

    def _open(self) -> None:
        spool = Spool(self.home / "spool" / "alice.db")
        try:
            made = self.road.recorder("alice", spool)
            recorder = Stepped(
                signer=mini_ledger.signer("alice"), trust=mini_ledger.TRUST, publisher=self.road.bus.publisher(),
                spool=spool, clock=self.road.clock, new_id=made._new_id, receipt_seconds=0.0,
            )  # fmt: skip
            recorder.mailbox = made.mailbox
            recorder.open("test/1")
        except BaseException:
            spool.close()
            raise
        self.recorder = recorder

    def end(self) -> None:
        assert self.recorder is not None
        assert self.recorder.spool.waiting() == (0, 0), "not everything has its receipt"
        assert self.recorder.spool.messages() == (0, 0)
        self.restart()
        events = self.road.events("alice")
        sessions = {event.session: [one.seq for one in events if one.session == event.session] for event in events}
        assert all(seqs == list(range(len(seqs))) for seqs in sessions.values()), f"a session has a hole: {sessions}"
        assert len({event.id for event in events}) == len(events)
        assert any(isinstance(event, ToolStarted) for event in events)
        assert set(self.received) == {str(self.message.id)}, "handed out until it is done, and nothing else is"


class PuttingBack(Work):
    """A spool whose file was deleted under its owner is put back with everything that was in it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.path, self.died = home / "alice.db", False
        self.spool: Spool | None = Spool(self.path)
        self.spool.append(self._event(0))
        self.path.unlink()

    def restart(self) -> None:
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def do(self) -> None:
        if self.spool is None:
            self.spool = Spool(self.path)
        for _ in range(2):  # whoever was told that it cannot be put back tries again while it still has it open
            try:
                if self.spool.record_of(UUID(int=1)) is None:
                    self.spool.append(self._event(1))
            except Crash:
                self.died = True
                raise
            except NotConfigured as told:
                trouble = told
            else:
                return
        raise trouble

    def end(self) -> object:
        self.restart()
        with closing(Spool(self.path)) as spool:
            found = [one.record for one in spool.pending(0, 10)]
        kept, taken = self._event(0).record, self._event(1).record
        # What was deleted lives on with the process that has it open, and dies with it if it dies before it is put back.
        assert found == [kept, taken] or (self.died and found == [taken])
        left = [file.name for file in self.home.iterdir() if file.name.endswith(".again")]
        assert left in ([], ["alice.db.again"]), "what an attempt left is found by the next one"
        return [file.name for file in self.home.iterdir() if file.suffix == ".db"]

    @staticmethod
    def _event(seq: int) -> Outgoing:
        return Outgoing(UUID(int=9), seq, UUID(int=seq), bytes([seq]) * 32, 1, b"record %d" % seq, f"{seq:064x}")


class Salvaging(Work):
    """A spool that was found damaged is put aside, and what was lost with it is told."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.path, self.told = home / "alice.db", list[Loss]()
        written(self.path)
        tear(self.path, "outbox", "refused")

    def do(self) -> None:
        spool, losses = open_spool(self.path)
        spool.close()
        self.told += losses
        losses_told(self.path)

    def end(self) -> object:
        assert set(self.told) == {self.told[0]}, "one loss, told at least once"
        assert not list(self.home.glob("*.damaged-*")), "the damaged file is told, and says so in its name"
        Spool(self.path).close()
        return self.told[0], sorted(file.name for file in self.home.glob("*.told-*") if not file.name.endswith(("-shm", "-wal")))


class Seeing(Work):
    """`tenuto verify` keeps the last checkpoint that it saw."""

    SEEN = Seen(ORIGIN, 7, "a" * 64)

    def do(self) -> None:
        save_seen(self.home / "state", self.SEEN)

    def end(self) -> object:
        assert load_seen(self.home / "state") == self.SEEN
        return [file.name for file in (self.home / "state").iterdir()]


class Exporting(Work):
    """The export to a SIEM: a file that grows, and the cursor beside it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.ledger = grown(SIZE)
        self.running: Exporter | None = None

    def restart(self) -> None:
        if self.running is not None:
            self.running.close()
            self.running = None

    def do(self) -> None:
        if self.running is None:
            sink = FileSink(self.home / "out", lambda _: None)
            try:
                self.running = exporter(self.ledger, sink, self.home / "cursor")
            except BaseException:
                sink.close()
                raise
        self.running.step()

    def end(self) -> object:
        self.restart()
        export_file(self.ledger, self.home)  # another start finds nothing to mend
        content = (self.home / "out").read_bytes()
        assert positions(content) == list(range(SIZE))
        return content, cursor_of(self.home)


class Bundling(Work):
    """`tenuto bundle`: a folder that is there whole and sound, or not at all."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.world = two_runs(home)

    def do(self) -> None:
        with suppress(NotConfigured):  # "is there already": an earlier attempt came to its end
            self.world.bundle(payloads=True)

    def end(self) -> object:
        report = self.world.verify(self.home / "bundle")
        left = [file.name for file in self.home.iterdir() if file.name.endswith(".new")]
        assert left in ([], [".bundle.new"]), "what an attempt left is found by the next one"
        return report.manifest


def _visible(folder: Path) -> list[Path]:
    return [file.relative_to(folder) for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]


WORKS: dict[str, type[Work]] = {
    one.__name__.lower(): one
    for one in (
        Founding, Puncturing, Renewing, Shredding, Registering, Rotating, Sealing, Rebuilding, Recording, PuttingBack, Salvaging,
        Seeing, Exporting, Bundling,
    )  # fmt: skip
}

"""The sealer: it signs what extends, refuses what contradicts, and recovers from a crash at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenuto import sealing
from tenuto.errors import Busy
from tenuto.ledger import Head, Recorded
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.cosigning import CheckpointWitness
from tenuto.log.durable import write_durably
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import Cosigner, NoteSigner, NoteVerifier
from tenuto.log.tiles import TileFolder, verify_tiles
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint, parse_policy, verify_policy
from tenuto.sealing import Sealed, Sealer, SealRefused

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

    def seal(self, witnesses: Sequence[CheckpointWitness] = ()) -> Sealed | None:
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


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def near(path: Path, name: str, clock: StoppedClock) -> Witness:
    return Witness(cosigner=Cosigner(name, name.encode().ljust(32)), logs=[LOG.verifier], state=path / name, clock=clock)


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


def test_a_growing_ledger_is_sealed_step_by_step(home: Home) -> None:
    with home.sealer() as sealer:
        for count in (1, 2, 252, 1, 1, 300):
            home.ledger.write(count)
            sealed = sealer.seal()
            assert sealed is not None
            assert sealed.checkpoint.size == len(home.ledger.entries) == home.published()
            home.check()
            assert sealer.seal() is None


def test_an_empty_ledger_is_not_signed(home: Home) -> None:
    assert home.seal() is None
    assert not home.log.exists()


def test_a_sealer_that_was_started_again_goes_on_from_its_own_state(home: Home) -> None:
    for count in (3, 255, 7):
        home.ledger.write(count)
        assert home.seal() is not None
        assert home.seal() is None
        home.check()


def test_a_long_backlog_is_sealed_in_portions(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SEAL_EVENTS_MAX", 300)
    monkeypatch.setattr(sealing, "PAGE_EVENTS", 100)
    home.ledger.write(750)
    with home.sealer() as sealer:
        sizes = [sealed.checkpoint.size for sealed in iter(sealer.seal, None)]
    assert sizes == [300, 600, 750]
    home.check()


def test_events_that_came_after_the_head_was_read_wait_for_the_next_step(home: Home) -> None:
    home.ledger.write(5)
    home.ledger.false_head = home.ledger.true_head()
    home.ledger.write(3)
    sealed = home.seal()
    assert sealed is not None
    assert sealed.checkpoint.size == 5


def refused(home: Home, sentence: str) -> None:
    """The next step refuses, also after a restart, and what is published stays as it was."""
    before = TileFolder(home.log).published()
    with home.sealer() as sealer:
        for _ in range(2):
            with pytest.raises(SealRefused, match=sentence):
                sealer.seal()
    with pytest.raises(SealRefused, match=sentence):
        home.seal()
    assert TileFolder(home.log).published() == before


def test_a_ledger_that_lost_signed_rows_is_refused_with_the_way_back(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    del home.ledger.entries[6:]
    refused(home, r"has 6 events, but 8 were signed: rows were lost.*Kafka.*new log origin")


def test_after_the_same_events_came_back_sealing_goes_on(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    lost = home.ledger.entries[6:]
    del home.ledger.entries[6:]
    with pytest.raises(SealRefused):
        home.seal()
    home.ledger.entries += lost
    home.ledger.write(2)
    assert home.seal() is not None
    home.check()


def test_after_other_events_came_back_sealing_refuses(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    del home.ledger.entries[6:]
    home.ledger.write(4, salt="other ")
    refused(home, "does not follow from what was signed over 8")


def test_an_entry_changed_before_it_was_signed_is_refused_naming_the_range(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    home.ledger.write(5)
    home.ledger.false_head = home.ledger.true_head()
    home.ledger.change(10)
    refused(home, "between positions 8 and 12")


def test_a_signed_entry_changed_together_with_the_head_is_refused(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    home.ledger.change(3)
    refused(home, "below position 8")
    home.ledger.write(5)
    refused(home, "between positions 8 and 12")


def test_a_forked_head_of_the_signed_size_is_refused(home: Home) -> None:
    home.ledger.write(8)
    home.seal()
    home.ledger.false_head = Head(8, bytes(32))
    refused(home, "or the head itself, were changed")


@pytest.mark.parametrize("position", [0, 4, 7])
def test_a_gap_in_the_ledger_is_refused(home: Home, position: int) -> None:
    home.ledger.write(8)
    home.ledger.false_head = home.ledger.true_head()
    del home.ledger.entries[position]
    refused(home, "is missing")


def test_two_entries_that_changed_places_are_refused(home: Home) -> None:
    home.ledger.write(8)
    home.ledger.false_head = home.ledger.true_head()
    first, second = home.ledger.entries[3:5]
    home.ledger.entries[3:5] = [
        Recorded(3, second.recorded_at, second.state),
        Recorded(4, first.recorded_at, first.state),
    ]
    refused(home, "between positions 0 and 7")


def test_two_sealers_cannot_run_at_once(home: Home) -> None:
    home.ledger.write(3)
    with home.sealer() as first:
        first.seal()
        with home.sealer() as second, pytest.raises(Busy, match="Another sealer"):
            second.seal()
    assert home.seal() is None


def test_a_state_that_was_rolled_back_is_noticed_by_what_was_published(home: Home) -> None:
    home.ledger.write(3)
    home.seal()
    old = (home.state / "signed.json").read_bytes()
    home.ledger.write(3)
    home.seal()
    (home.state / "signed.json").write_bytes(old)
    refused(home, "knows of 3: it was rolled back or lost")
    (home.state / "signed.json").unlink()
    refused(home, "knows of 0: it was rolled back or lost")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"size":3,"frontier":"","note":"","staged":""}', b'{"size":-1}', b"[]"])
def test_a_state_that_cannot_be_read_is_refused(home: Home, content: bytes) -> None:
    home.ledger.write(3)
    home.seal()
    (home.state / "signed.json").write_bytes(content)
    refused(home, "is not its own")


def test_a_state_whose_frontier_was_changed_is_refused(home: Home) -> None:
    home.ledger.write(3)
    home.seal()
    file = home.state / "signed.json"
    place = file.read_bytes().index(b'"frontier":"') + 12
    content = file.read_bytes()
    file.write_bytes(content[:place] + (b"0" if content[place : place + 1] != b"0" else b"1") + content[place + 1 :])
    refused(home, "frontier and checkpoint differ")


@pytest.mark.parametrize(
    ("signer", "origin"), [(NoteSigner(ORIGIN, bytes([1]) * 32), ORIGIN), (LOG, "log.example/b")], ids=["key", "origin"]
)
def test_a_sealer_started_with_another_key_or_origin_refuses(home: Home, signer: NoteSigner, origin: str) -> None:
    home.ledger.write(3)
    home.seal()
    home.ledger.write(3)
    with home.sealer(signer=signer, origin=origin) as sealer, pytest.raises(SealRefused, match="check key and origin"):
        sealer.seal()


def test_a_log_folder_that_was_changed_at_its_edge_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    tile = home.log / "tile/0/000.p/5"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    refused(home, "not those that were signed|log folder was changed")


def test_a_log_folder_that_was_lost_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    (home.log / "tile/0/000.p/5").unlink()
    refused(home, "Restore the folder")


class Crash(RuntimeError):
    """The process ends here."""


Writer = Callable[[dict[Path, bytes]], None]


class FaultyTiles(TileFolder):
    """Fails at one point, before or after it did the thing."""

    def __init__(self, path: Path, point: str, *, persisted: bool) -> None:
        super().__init__(path)
        self._point, self._persisted = point, persisted

    def apply(self, files: object) -> None:
        with crashing(self._point == "apply", persisted=self._persisted) as do:
            if do:
                super().apply(files)  # type: ignore[arg-type]

    def publish(self, note: bytes) -> None:
        with crashing(self._point == "publish", persisted=self._persisted) as do:
            if do:
                super().publish(note)


@contextmanager
def crashing(here: bool, *, persisted: bool) -> Iterator[bool]:
    yield persisted or not here
    if here:
        raise Crash


def faulty_writer(file: str, *, persisted: bool) -> Writer:
    def write(files: dict[Path, bytes]) -> None:
        with crashing(any(path.name == file for path in files), persisted=persisted) as do:
            if do:
                write_durably(files)

    return write


# A point of the step, the file of the sealer's state it writes, and whether the checkpoint exists after the crash.
POINTS = [
    ("stage", "staged", False, False), ("stage", "staged", True, False),
    ("swap", "signed.json", False, False), ("swap", "signed.json", True, True),
    ("apply", "", False, True), ("apply", "", True, True),
    ("publish", "", False, True), ("publish", "", True, True),
]  # fmt: skip


@pytest.mark.parametrize("sizes", [(0, 5), (5, 9), (255, 256), (250, 513)], ids=str)
@pytest.mark.parametrize(("point", "file", "persisted", "moved"), POINTS)
def test_a_crash_at_any_point_recovers_by_the_ordinary_step(
    home: Home, monkeypatch: pytest.MonkeyPatch, point: str, file: str, persisted: bool, moved: bool, sizes: tuple[int, int]
) -> None:
    old, new = sizes
    home.ledger.write(old)
    home.seal()
    home.ledger.write(new - old)
    tiles = FaultyTiles(home.log, point, persisted=persisted)
    sealer = Sealer(reader=home.ledger, tiles=tiles, state=home.state, signer=LOG, origin=ORIGIN, clock=home.clock)
    with monkeypatch.context() as patched, sealer:
        if file:
            patched.setattr(sealing, "write_durably", faulty_writer(file, persisted=persisted))
        with pytest.raises(Crash):
            sealer.seal()
    assert home.published() in ({new, old} if moved else {old})

    more = 2 if moved else 0  # new events between crash and restart: what was signed must still come out as signed
    home.ledger.write(more)
    sealed = home.seal()
    assert sealed is not None
    assert sealed.checkpoint.size == home.published() == new + more
    home.check()
    assert not (home.state / "staged").exists()


def test_a_checkpoint_that_was_signed_before_a_crash_is_the_one_published_after_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ledger.write(5)
    with monkeypatch.context() as patched, home.sealer() as sealer:
        patched.setattr(sealing, "write_durably", faulty_writer("signed.json", persisted=True))
        with pytest.raises(Crash):
            sealer.seal()
    home.ledger.change(2)
    with pytest.raises(SealRefused, match="below position 5"):
        home.seal()
    assert home.published() == 5, "the promise was kept before the ledger was judged"


def test_a_sealer_that_survived_a_failed_write_goes_on_in_the_same_process(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ledger.write(5)
    with home.sealer() as sealer:
        for file in ("staged", "signed.json"):
            for persisted in (False, True):
                with monkeypatch.context() as patched, pytest.raises(Crash):
                    patched.setattr(sealing, "write_durably", faulty_writer(file, persisted=persisted))
                    sealer.seal()
                    pytest.fail("the write should have failed")
                home.ledger.write(1)
        while sealer.seal() is not None:
            pass
    assert home.published() == len(home.ledger.entries)
    home.check()


def test_a_state_changed_by_someone_else_between_reading_and_signing_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    other = (home.state / "signed.json").read_bytes()
    home.ledger.write(5)
    home.seal()
    newest = (home.state / "signed.json").read_bytes()
    home.ledger.write(5)

    with home.sealer() as sealer:
        head = home.ledger.true_head()

        def head_while_another_writes() -> Head:
            (home.state / "signed.json").write_bytes(other)
            return head

        home.ledger.head = head_while_another_writes  # type: ignore[method-assign]
        with pytest.raises(SealRefused, match="Another process changed the state"):
            sealer.seal()
    (home.state / "signed.json").write_bytes(newest)


def test_the_published_note_carries_the_cosignatures(home: Home, tmp_path: Path) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    keys = f"log {LOG.vkey}\nwitness a {first.verifier.vkey}\nwitness b {second.verifier.vkey}\n"
    policy = parse_policy(keys + "group both all a b\nquorum both\n")
    for _ in range(3):
        home.ledger.write(100)
        sealed = home.seal([first, second])
        assert sealed is not None
        assert sealed.cosigned_by == ("w1.example", "w2.example")
        assert sealed.alarms == ()
        note = TileFolder(home.log).published()
        assert note is not None
        assert verify_policy(note, policy, ORIGIN) == sealed.checkpoint


def test_a_witness_that_is_away_does_not_stop_sealing_and_cosigns_when_it_is_back(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    first.away = True
    home.ledger.write(5)
    with home.sealer([first, second]) as sealer:
        sealed = sealer.seal()
        assert sealed is not None
        assert sealed.cosigned_by == ("w2.example",)
        assert sealed.alarms == ("No cosignature by w1.example over 5 entries: it is away.",)
        assert sealed.alarms[0] in caplog.text
        home.ledger.write(5)
        second_step = sealer.seal()
        assert second_step is not None
        assert second_step.cosigned_by == ("w2.example",)
        first.away = False
        assert sealer.seal() is None
        home.clock.pass_seconds(5)
        sealed = sealer.seal()
        assert sealed is not None
        assert sealed.checkpoint.size == 10
        assert sealed.cosigned_by == ("w1.example", "w2.example")
        assert sealer.seal() is None


def test_after_a_restart_the_cosignatures_already_had_are_kept(home: Home, tmp_path: Path) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    second.away = True
    home.ledger.write(5)
    home.seal([first, second])
    first.away, second.away = True, False
    sealed = home.seal([first, second])
    assert sealed is not None
    assert sealed.cosigned_by == ("w1.example", "w2.example")


def test_a_checkpoint_file_that_is_not_this_logs_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    TileFolder(home.log).publish(b"something else\n")
    refused(home, "is not this log's")

"""What the sealer publishes carries its witnesses' cosignatures; one that is away costs an alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from tenuto import sealing
from tenuto.errors import Busy
from tenuto.log import tiles as tiles_module
from tenuto.log.archive import CheckpointArchive, first_covering, withheld
from tenuto.log.durable import write_durably
from tenuto.log.note import Cosigner, parse_note
from tenuto.log.proof import consistency_proof
from tenuto.log.tiles import TileFolder
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint, Policy, parse_policy, verify_policy

from tests.unit.sealers_home import LOG, ORIGIN, Bridge, Home, near


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


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


def policy_of(witness: Witness | Bridge) -> Policy:
    return parse_policy(f"log {LOG.vkey}\nwitness a {witness.verifier.vkey}\nquorum a\n")


def archive_of(home: Home) -> CheckpointArchive:
    """The published archive, which must be the sealer's own, byte for byte."""
    files = {file.relative_to(home.log) for file in (home.log / "checkpoints").rglob("*") if file.is_file()}
    assert files
    for name in files:
        assert (home.log / name).read_bytes() == (home.state / name).read_bytes()
    return CheckpointArchive(home.log)


def test_every_cosigned_checkpoint_is_kept_and_found_by_what_it_covers(home: Home, tmp_path: Path) -> None:
    witness = Bridge(near(tmp_path, "w1.example", home.clock))
    policy = policy_of(witness)
    sizes = (1, 2, 256, 257, 700)
    with home.sealer([witness]) as sealer:
        for size in sizes:
            home.ledger.write(size - len(home.ledger.entries))
            home.clock.pass_seconds(1)
            sealer.seal()
    assert [size for size, _ in archive_of(home).notes(1, 1000)] == list(sizes)
    for position in (0, 1, 2, 255, 256, 257, 699):
        found = first_covering(home.log, position, policy, ORIGIN)
        assert found.checkpoint.size == min(size for size in sizes if size > position)


def test_a_cosigned_note_is_on_the_disk_before_anybody_sees_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness, publish = Bridge(near(tmp_path, "w1.example", home.clock)), TileFolder.publish
    kept = list[bytes | None]()

    def looked_at(tiles: TileFolder, note: bytes) -> None:
        if b"w1.example" in note:
            kept.append(CheckpointArchive(home.log).note_over(5))
            assert kept[-1] == note == CheckpointArchive(home.state).note_over(5)
        publish(tiles, note)

    monkeypatch.setattr(TileFolder, "publish", looked_at)
    home.ledger.write(5)
    home.seal([witness])
    assert len(kept) == 1


def test_a_second_witness_adds_its_line_to_the_kept_note(home: Home, tmp_path: Path) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    second.away = True
    home.ledger.write(5)
    home.seal([first, second])
    before = archive_of(home).note_over(5)
    second.away = False
    home.seal([first, second])
    after = archive_of(home).note_over(5)
    assert before is not None
    assert after is not None
    assert after.startswith(before)
    assert len(parse_note(after)[1]) == 3


class Forgetful(Bridge):
    """Cosigns, and the answer is lost on its way back; once back, its clock has gone on."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(witness)
        self.loses_answers = False

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        line = super().add_checkpoint(request)
        if self.loses_answers:
            raise Busy("the line went dead.")
        return line


@pytest.mark.parametrize("restarted", [False, True])
def test_a_cosignature_that_was_lost_on_its_way_is_fetched_before_the_next(
    home: Home, tmp_path: Path, restarted: bool
) -> None:
    witness = near(tmp_path, "w1.example", home.clock)
    bridge = Forgetful(witness)
    with ExitStack() as running:
        sealer = running.enter_context(home.sealer([bridge]))
        for size, loses in ((3, False), (5, True), (9, False)):
            bridge.loses_answers = loses
            home.ledger.write(size - len(home.ledger.entries))
            home.clock.pass_seconds(100)
            sealer.seal()
            if restarted:
                running.close()
                sealer = running.enter_context(home.sealer([bridge]))
    archive = archive_of(home)
    assert [size for size, _ in archive.notes(1, 9)] == [3, 5, 9]
    assert withheld(archive, witness.archive(ORIGIN), policy_of(witness), ORIGIN, 9) == []


def test_asked_again_for_the_same_checkpoint_the_witness_gives_the_line_that_it_gave(home: Home, tmp_path: Path) -> None:
    witness = near(tmp_path, "w1.example", home.clock)
    home.ledger.write(5)
    home.seal([Bridge(witness)])
    note = TileFolder(home.log).published() or b""
    home.clock.pass_seconds(3600)
    line = witness.add_checkpoint(AddCheckpoint(5, (), note).to_bytes())
    assert note.endswith(line)


def test_a_sealer_that_asked_once_more_with_more_entries_is_convicted_by_the_witness(home: Home, tmp_path: Path) -> None:
    witness = near(tmp_path, "w1.example", home.clock)
    home.ledger.write(5)
    home.seal()
    disliked = TileFolder(home.log).published() or b""
    witness.add_checkpoint(AddCheckpoint(0, (), disliked).to_bytes())
    home.ledger.write(1)
    home.seal()
    tiles = TileFolder(home.log)
    liked = tiles.published() or b""
    liked += witness.add_checkpoint(AddCheckpoint(5, consistency_proof(5, 6, tiles), liked).to_bytes())
    archive = CheckpointArchive(home.log)
    write_durably({home.log / name: data for name, data in archive.with_note(liked).items()})
    assert withheld(archive, witness.archive(ORIGIN), policy_of(witness), ORIGIN, 6) == [5]


# Where the process ends, in the form before it was done and after: the archive, or the published note.
@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("place", ["000", "checkpoint", "cosigned"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_crash_between_cosignature_and_publication_loses_no_note(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, persisted: bool, restarted: bool
) -> None:
    stamps = Restamping(near(tmp_path, "w1.example", home.clock))
    with ExitStack() as running:
        sealer = running.enter_context(home.sealer([stamps]))
        home.ledger.write(5)
        with monkeypatch.context() as patched:
            for module in (sealing, tiles_module):
                patched.setattr(module, "write_durably", ending_at(place, persisted=persisted))
            with pytest.raises(Ended):
                sealer.seal()
        if restarted:
            running.close()
            sealer = running.enter_context(home.sealer([stamps]))
        while sealer.seal() is not None:
            pass
    kept = archive_of(home).note_over(5)
    assert kept is not None
    assert kept == TileFolder(home.log).published()
    if place != "000" or persisted:
        assert len(stamps.lines) == 1, "what was kept is not asked for again"
    assert kept.endswith(stamps.lines[-1])


class Ended(RuntimeError):
    """The process ends here."""


class Restamping(Bridge):
    """A witness that is not ours: asked again for the same checkpoint it makes another line."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(witness)
        self.lines: list[bytes] = []

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        super().add_checkpoint(request)
        text = request.note.partition(b"\n\n")[0] + b"\n"
        self.lines.append(Cosigner("w1.example", b"w1.example".ljust(32)).cosign(text, 1000 + len(self.lines)))
        return self.lines[-1]


def ending_at(place: str, *, persisted: bool) -> Callable[[Mapping[Path, bytes]], None]:
    def write(files: Mapping[Path, bytes]) -> None:
        here = any(path.name == place and b"w1.example" in data for path, data in files.items())
        if persisted or not here:
            write_durably(files)
        if here:
            raise Ended

    return write

"""A crash at any point of a step, failed or failed but persisted, is made good by the next ordinary step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tenuto import sealing
from tenuto.log.durable import write_durably
from tenuto.log.tiles import TileFolder
from tenuto.sealing import Sealer, SealRefused

from tests.unit.sealers_home import LOG, ORIGIN, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


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
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    file: str,
    persisted: bool,
    moved: bool,
    sizes: tuple[int, int],
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


def test_what_was_staged_and_never_signed_binds_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.ledger.write(5)
    home.seal()
    home.ledger.write(3)
    with monkeypatch.context() as patched, home.sealer() as sealer:
        patched.setattr(sealing, "write_durably", faulty_writer("staged", persisted=True))
        with pytest.raises(Crash):
            sealer.seal()
    assert (home.state / "staged").exists()
    del home.ledger.entries[5:]
    home.ledger.write(3, salt="other ")
    assert home.seal() is not None
    assert home.published() == 8
    home.check()


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

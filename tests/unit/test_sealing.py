"""The sealer signs what extends what it signed, and refuses whatever contradicts it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tenuto import sealing
from tenuto.errors import Busy
from tenuto.ledger import Head, Recorded
from tenuto.log.note import NoteSigner
from tenuto.log.tiles import TileFolder
from tenuto.sealing import SealRefused

from tests.unit.sealers_home import LOG, ORIGIN, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


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


def portions(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SEAL_EVENTS_MAX", 300)
    monkeypatch.setattr(sealing, "PAGE_EVENTS", 100)


def test_every_event_of_a_backlog_is_read_twice_however_long_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    portions(home, monkeypatch)
    home.ledger.write(3000)
    read, read_page = list[int](), home.ledger.read

    def counted(start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        page = read_page(start, limit, payloads=payloads)
        read.extend(entry.position for entry in page)
        return page

    monkeypatch.setattr(home.ledger, "read", counted)
    with home.sealer() as sealer:
        steps = sum(1 for _ in iter(sealer.seal, None))
    assert (steps, home.published()) == (10, 3000)
    assert max(Counter(read).values()) == 2
    home.check()


def test_a_backlog_that_grows_while_it_is_sealed_comes_out_whole(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    portions(home, monkeypatch)
    home.ledger.write(750)
    sizes = []
    with home.sealer() as sealer:
        while (sealed := sealer.seal()) is not None:
            sizes.append(sealed.checkpoint.size)
            home.ledger.write(200 if len(sizes) < 4 else 0)
    assert sizes == [300, 600, 750, 1050, 1350]
    home.check()


def test_an_event_changed_between_the_comparison_with_the_head_and_its_signing_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    portions(home, monkeypatch)
    home.ledger.write(750)
    with home.sealer() as sealer:
        assert sealer.seal() is not None
        home.ledger.change(450)
        for _ in range(2):
            with pytest.raises(SealRefused, match="between positions 300 and 599 were changed since"):
                sealer.seal()
    assert home.published() == 300


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
    refused(home, "does not follow from what was signed over 8.*old backup.*Stop ingest and restore everything that was")


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


@pytest.mark.parametrize("content", [b"", b"{}", b'{"size":3,"frontier":"","note":""}', b'{"size":-1}', b"[]"])
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


@pytest.mark.parametrize("name", ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"])
def test_a_log_folder_that_was_changed_under_a_running_sealer_is_refused(home: Home, name: str) -> None:
    home.ledger.write(300)
    with home.sealer() as sealer:
        sealer.seal()
        content = (home.log / name).read_bytes()
        (home.log / name).write_bytes(content[:-1] + b"!")
        home.ledger.write(1)
        with pytest.raises(SealRefused, match=r"not those that were signed|does not hash to its tile"):
            sealer.seal()
    assert home.published() == 300


def test_a_log_folder_that_was_lost_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    (home.log / "tile/0/000.p/5").unlink()
    refused(home, "Restore the folder")


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


def test_a_checkpoint_file_that_is_not_this_logs_is_refused(home: Home) -> None:
    home.ledger.write(5)
    home.seal()
    TileFolder(home.log).publish(b"something else\n")
    refused(home, "is not this log's")

"""A disk is full: who needs it waits with a sentence that names the folder, nothing is half written, and room is all it takes."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from tenuto.documents import Reason
from tenuto.embedded import EmbeddedPostgres
from tenuto.events import DecisionMade
from tenuto.migrating import migrate
from tenuto.registering import Enrolment, register
from tenuto.wiring import open_follower, open_recorder

from tests.fire.checking import check_events
from tests.fire.door import Door
from tests.fire.plant import SECONDS_MAX, Plant, until
from tests.fire.small_disk import full, small_disk
from tests.written import Author

GUEST = Enrolment("guest", "agent", "operations")
POSTGRES_MEGABYTES = 160
READERS = ("deliver", "project")
VERDICT = {"subject": "commit", "subject_digest": "0" * 64, "verdict": "comment", "model": "m"}


def test_with_the_log_folders_disk_full_the_sealer_waits_and_signs_once_there_is_room(plant: Plant, tmp_path: Path) -> None:
    with small_disk(tmp_path / "probe", 1):
        pass  # where nobody may mount one, the test ends here, with the plant untouched
    tiles = plant.settings.tiles
    plant.stop("seal")
    with ExitStack() as readers, ExitStack() as stack:
        with plant.asleep(*READERS):
            kept = tiles.rename(tiles.with_name("log-kept"))
            stack.callback(_swap, kept, tiles)
            stack.enter_context(small_disk(tiles, 8))
            for one in kept.iterdir():
                _copy(one, tiles)
        with full(tiles):
            plant.start("seal")
            until(lambda: f"There is no room in {tiles}" in plant.parts["seal"].said, "the sealer's sentence", plant)
            assert not list(tiles.rglob(".*.new")), "what was begun was taken away"
            signed = plant.signed()
            assert plant.parts["seal"].running()
        until(lambda: plant.signed() > signed, "a checkpoint once there is room", plant)
        with plant.quiet():
            check_events(plant)
            plant.stop("seal")
            readers.enter_context(plant.asleep(*READERS))
            _copy(tiles, tiles.with_name("log-after"))
    plant.start("seal")


def test_with_the_spools_disk_full_the_author_waits_and_its_chain_stays_whole(plant: Plant, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "keys").symlink_to(plant.settings.keys)
    (home / "trust.json").symlink_to(plant.home / "trust.json")
    follower = open_follower(plant.settings, payloads=False)
    follower.catch_up()
    with open_recorder(plant.settings, "root", software="fire/1") as root:
        register(root, follower.walk.keyring, plant.settings.keys, [GUEST], SECONDS_MAX)
    settings = plant.settings.model_copy(update={"home": home})
    with small_disk(settings.spool, 2), open_recorder(settings, GUEST.author, software="fire/1") as guest:
        first = guest.record(DecisionMade, document=Reason(text="before"), **VERDICT)
        with full(settings.spool):
            said = _said_while_full(guest.record)
            assert f"The disk of {settings.spool} is full" in said
            guest.room_seconds = None
            waiting = threading.Thread(target=lambda: guest.record(DecisionMade, **VERDICT, findings=7))
            waiting.start()
        waiting.join(SECONDS_MAX)
        assert not waiting.is_alive(), "room is all it takes"
        last = guest.record(DecisionMade, **VERDICT, findings=8)
        assert guest.wait(last, SECONDS_MAX).position > guest.wait(first, SECONDS_MAX).position
    with plant.quiet():
        events = [one.event for one in check_events(plant) if one.event.author == GUEST.author]
    assert [getattr(event, "findings", None) for event in events if event.kind == "decision.made"][-2:] == [7, 8]


def _said_while_full(record: object) -> str:
    """Record until the disk does not take it any more, and return what the author is told then."""
    from tenuto.spool import SpoolFull

    recorder = record.__self__  # type: ignore[attr-defined]
    recorder.room_seconds = 0.0
    with pytest.raises(SpoolFull) as told:
        for _ in range(10_000):
            recorder.record(DecisionMade, document=Reason(text="x" * 500), **VERDICT)
    return str(told.value)


def test_with_the_databases_disk_full_ingest_waits_and_goes_on_once_there_is_room(plant: Plant, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", POSTGRES_MEGABYTES), EmbeddedPostgres(tmp_path / "disk" / "pg") as server, ExitStack() as stack:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE ledger_on_a_small_disk")
        url = server.url_of("ledger_on_a_small_disk")
        migrate(url)
        door = Door(plant.kafka.bootstrap, url, "tenuto.disk", stack, batch_events=50)
        author = Author("deployment")
        door.publish(author.open())
        door.step_until(lambda: door.size() == 6)
        with full(tmp_path / "disk"):
            written = [author.write(payload=bytes(100_000)) for _ in range(40)]
            door.publish(*written)
            door.step_until(lambda: "The disk of the ledger database is full" in (door.ingest.waiting or ""))
            assert "Make room in its data folder" in (door.ingest.waiting or "")
            assert door.size() == 6, "all of a batch, or nothing"
        door.step_until(lambda: door.size() == 46)
        assert door.session(author) == list(range(41))


def _swap(kept: Path, tiles: Path) -> None:
    """The log folder is a plain one again: what was copied from the small disk, or what was there before it."""
    tiles.rmdir()
    after = tiles.with_name("log-after")
    (after if after.exists() else kept).rename(tiles)


def _copy(source: Path, target: Path) -> None:
    import subprocess

    subprocess.run(["cp", "-a", str(source), str(target)], check=True)

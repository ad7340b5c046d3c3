"""An older database comes back: a restored backup, or a standby that lacked the last commits. By content they are one case.

What was signed and is not in it can only come back as it was: read again from Kafka it would get another time, so another
leaf, so another tree. What was not signed yet had no receipt, so nobody relied on it, and it comes back by the ordinary road.
"""

from __future__ import annotations

from pathlib import Path

from tests.fire.checking import check_events, check_plant, copied
from tests.fire.parts import Part
from tests.fire.plant import Plant, until

USAGE = 2
READERS = ("deliver", "project")
LACKING_EVENTS = 30
REMEDY = "Stop ingest and restore everything that was signed"


def backed_up(plant: Plant, name: str) -> Path:
    """A copy of the data folder, made while the server stands still, which then goes on."""
    plant.postgres.stop()
    copy = copied(plant.postgres.data, plant.home / name)
    plant.postgres.start()
    return copy


def put_back(plant: Plant, copy: Path) -> None:
    """The data folder is that copy again."""
    plant.postgres.stop()
    copied(copy, plant.postgres.data)
    plant.postgres.start()


def refused(sealer: Part) -> str:
    """Wait until the sealer has ended, and return its sentence."""
    assert sealer.ended() == USAGE, sealer.said
    assert "Traceback" not in sealer.said
    return sealer.said


def test_over_an_older_backup_nothing_is_signed_and_a_newer_copy_heals_it(plant: Plant) -> None:
    old = backed_up(plant, "backup-old")
    until(lambda size=plant.signed(): plant.signed() > size + LACKING_EVENTS, "events that the old backup lacks", plant)
    with plant.quiet():
        plant.stop("ingest", "seal")
        new = backed_up(plant, "backup-new")
        signed, size = plant.signed(), plant.size()
    with plant.asleep(*READERS):
        put_back(plant, old)
        assert plant.size() < signed == size
        said = refused(plant.another("seal"))
        assert f"but {signed} were signed: rows were lost" in said
        assert REMEDY in said
        # Ingest reads on from the offset that the backup knew, and brings the same events in again, with another time.
        plant.start("ingest")
        until(lambda: plant.size() > size, "the ledger to grow over what was signed", plant)
        said = refused(plant.another("seal"))
        assert "does not follow from what was signed" in said
        assert REMEDY in said
        assert plant.signed() == signed, "nothing was signed over it"
        plant.stop("ingest")
        put_back(plant, new)
        assert plant.size() == size
    plant.start("ingest")
    plant.start("seal")
    with plant.quiet():
        check_plant(plant)


def test_a_standby_that_lacked_only_what_nobody_signed_is_caught_up_by_the_ordinary_road(plant: Plant) -> None:
    plant.stop("seal")
    standby = backed_up(plant, "standby")
    reached = plant.size()
    until(lambda: plant.size() > reached + LACKING_EVENTS, "commits that the standby lacks", plant)
    plant.stop("ingest")
    assert plant.signed() <= reached
    put_back(plant, standby)
    assert plant.size() == reached
    plant.start("ingest")
    plant.start("seal")
    with plant.quiet():
        check_events(plant)

"""Two ingest processes on one partition: one owns it, and a sleeper that lost its session commits nothing any more."""

from __future__ import annotations

import signal

from tests.fire.checking import check_events
from tests.fire.plant import TURNED_AWAY, Plant, until

USAGE = 2
OWNERS = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = %s::oid"
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenuto_ingest' AND datname = current_database()"
)


def test_a_second_ingest_on_the_same_partitions_is_turned_away(plant: Plant) -> None:
    second = plant.another("ingest")
    assert second.ended() == USAGE, second.said
    assert TURNED_AWAY in second.said
    assert "Traceback" not in second.said


def test_an_ingest_that_slept_while_another_took_over_commits_nothing_and_stops(plant: Plant) -> None:
    sleeper = plant.hold("ingest")
    until(lambda: plant.receipts() > 0, "a first receipt", plant)
    sleeper.send(signal.SIGSTOP)
    with plant.admin() as sql:
        sql.execute(CUT)
    successor = plant.start("ingest")
    before = plant.receipts()
    until(lambda: plant.receipts() > before + 50, "receipts through the successor", plant)
    size = plant.size()
    sleeper.send(signal.SIGCONT)
    assert sleeper.ended() == USAGE, sleeper.said
    assert TURNED_AWAY in sleeper.said
    assert successor.running()
    until(lambda: plant.size() > size, "more events through the successor", plant)
    with plant.quiet():
        check_events(plant)

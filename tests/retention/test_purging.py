"""A payload that retention took out of the tables is purged where it lies: in its archive."""

from __future__ import annotations

from pathlib import Path

from tenuto.archive.verifying import verify_archive
from tenuto.documents import Reason
from tenuto.events import ToolUnknown
from tenuto.registering import Enrolment
from tenuto.wiring import open_purging, open_shelf, open_trust

from tests.conftest import Database
from tests.retention.site import LEAVES
from tests.retention.test_road import PEOPLE, small_partitions, tenuto
from tests.road import Road, answer

REVIEWERS = (Enrolment("bob", "reviewer", "bob"), Enrolment("eve", "reviewer", "eve"), Enrolment("console", "console", "operations"))
SECRET, OTHER = "sesame-0pen-4711", "neighbour-0815"


def test_what_is_in_an_archive_already_is_purged_there_and_its_neighbour_stays(database: Database, tmp_path: Path) -> None:
    small_partitions(database)
    with Road(tmp_path / "home", database) as road, road.working():
        road.register(*PEOPLE, *REVIEWERS)
        with road.recorder("infra") as infra:
            sent, neighbour = (infra.send("review", "change", Reason(text=text)) for text in (SECRET, OTHER))
            for number in range(LEAVES):
                last = infra.record(ToolUnknown, call=f"c-{number}", tool="t")
            infra.wait(last)
        apply = ("retention", "apply", "--older-than", "0m", "--as", "keeper")
        assert tenuto(road, *apply).count("not in the tables any more") == 1
        assert SECRET in tenuto(road, "show", str(sent.id))
        place, other = (one.position for one in road.read() if one.event.id in (sent.id, neighbour.id))
        archive = open_shelf(road.settings).at(place)
        assert archive is not None
        digest, kept = archive.digest, archive.read(place, place + 1, payloads=True)[0].payload
        assert kept is not None

        with open_purging(road.settings, "keeper") as purging:
            asked = purging.request([str(place)], "secret", "A password was pasted.", "kay")
        for name in ("bob", "eve"):
            with road.recorder("console") as console, road.recorder(name) as reviewer:
                for event in answer(road, console, reviewer, asked.request):
                    reviewer.wait(event)
        with open_purging(road.settings, "keeper") as purging:
            done = purging.apply(asked.request.approval)
            assert (done.keys, done.rows, done.before) == (1, 0, False), "its row had left the tables, its key had not"

        assert not any(kept.wrapped_key in file.read_bytes() for file in archive.folder.rglob("*") if file.is_file())
        after = open_shelf(road.settings).at(place)
        assert after is not None
        assert after.digest == digest
        verify_archive(after, open_trust(road.settings))
        assert f'"minimum":{LEAVES}' in tenuto(road, "verify")
        assert SECRET not in tenuto(road, "show", str(sent.id))
        assert OTHER in tenuto(road, "show", str(neighbour.id))
        found = {one.position: one.payload for one in road.read(payloads=True)}
        assert found[place] is None
        assert OTHER.encode() in (found[other] or b"")

"""`tenuto verify` reads archives like tables, and names what left the tables, or an archive, without a word on record."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tenuto.archive import ArchiveMissing
from tenuto.events import RetentionApplied
from tenuto.log.tiles import TileFolder
from tenuto.trust import load_trust
from tenuto.verification import VerificationFailed
from tenuto.wiring import open_follower, open_reader, open_shelf, open_tile_follower
from tenuto_projections.archived import verify_archived
from tenuto_projections.verifying import walk_log
from tenuto_projections.walked import Walked

from tests.retention.conftest import FULL
from tests.retention.site import LEAVES, Crash, Site, crashing, flipped

END = FULL * LEAVES


def verify(site: Site) -> bool:
    """As `tenuto verify` over the live ledger."""
    settings, trust = site.settings, load_trust(site.home)
    follower, walked = open_follower(settings, payloads=True), Walked(trust, opens_payloads=True)
    with closing(open_reader(settings)) as live:
        return walk_log(follower, walked, settings.state / "verify", TileFolder(settings.tiles), live)


def fails(site: Site, position: int | None, said: str) -> None:
    with pytest.raises(VerificationFailed, match=said) as caught:
        verify(site)
    assert (caught.value.step, caught.value.position) == (6, position)


def test_it_verifies_before_and_after_and_says_where_it_read(
    grown: Site, applied: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(grown)
    said = json.loads(capsys.readouterr().out)
    assert (said["minimum"], said["archives"]) == (0, [])
    assert verify(applied)
    said = json.loads(capsys.readouterr().out)
    assert said["minimum"] == END
    assert [Path(folder).parent for folder in said["archives"]] == [applied.settings.archives] * FULL
    assert "payloads match" in said["steps"][4]["sentence"]


def test_it_verifies_in_the_middle_of_the_work_too(site: Site) -> None:
    """Here the payloads of the partition are still attached, and its events are not."""
    with pytest.raises(Crash):
        site.apply(crashing("entry_00000 is detached"))
    assert verify(site)


@pytest.mark.parametrize("exported", [False, True])
def test_a_partition_that_a_superuser_dropped_is_named(site: Site, exported: bool) -> None:
    """Also when he was clever enough to leave an archive of it."""
    if exported:
        with pytest.raises(Crash):
            site.apply(crashing("exported"))
    site.sql("DROP TABLE ledger.entry_00000, ledger.payload_00000")
    fails(site, 0, f"position 0 to {LEAVES - 1} were dropped from the database, and no retention is on record")


def test_a_partition_dropped_from_the_middle_is_named(site: Site) -> None:
    site.sql("DROP TABLE ledger.entry_00001, ledger.payload_00001")
    fails(site, LEAVES, f"position {LEAVES} to {2 * LEAVES - 1} were dropped")


def test_one_partition_more_than_was_put_on_record_is_named(site: Site) -> None:
    site.apply(cutoff=site.sql("SELECT recorded_at FROM ledger.entry WHERE notification_id = %s", LEAVES)[0][0])
    site.sql("DROP TABLE ledger.entry_00001, ledger.payload_00001")
    fails(site, LEAVES, f"position {LEAVES} to {2 * LEAVES - 1} were dropped")


def dropped_by_keeper_and_owner(site: Site) -> None:
    """What the keeper's own command refuses: its word on record, and the tables dropped by hand."""
    archive = open_shelf(site.settings).find(0, LEAVES - 1)
    assert archive is not None
    site.say("keeper", RetentionApplied, first=0, last=LEAVES - 1, minimum=LEAVES, archive=archive.digest)
    site.sql("DROP TABLE ledger.entry_00000, ledger.payload_00000")


@pytest.mark.parametrize("covers", [{"first": 3, "last": 7}, {"run": "pr-2"}, {}])
def test_a_held_partition_that_keeper_and_owner_dropped_together_is_named(site: Site, covers: dict[str, Any]) -> None:
    with pytest.raises(Crash):
        site.apply(crashing("exported"))
    site.hold("case-1", **covers)
    dropped_by_keeper_and_owner(site)
    fails(site, 0, f"0 to {LEAVES - 1} were dropped from the database under the legal hold case-1")
    site.lift("case-1")
    assert verify(site), "a hold that is lifted forbids nothing any more"


def test_a_hold_that_came_after_the_drop_or_covers_something_else_is_no_failure(site: Site) -> None:
    with pytest.raises(Crash):
        site.apply(crashing("exported"))
    site.hold("elsewhere", first=LEAVES, last=LEAVES + 5)
    dropped_by_keeper_and_owner(site)
    site.hold("case-2", first=0, last=10)
    assert verify(site)


def test_payloads_that_were_dropped_alone_are_named(site: Site) -> None:
    site.sql("DROP TABLE ledger.payload_00000")
    with pytest.raises(VerificationFailed, match="no purge is on record") as caught:
        verify(site)
    assert caught.value.step == 5


def test_an_archive_that_is_away_is_asked_for_and_is_no_failure_of_the_log(site: Site) -> None:
    site.apply()
    site.settings.archives.rename(site.home / "elsewhere")
    with pytest.raises(ArchiveMissing, match=f"position 0 to {END - 1}"):
        verify(site)
    shutil.rmtree(site.settings.tiles / "tile" / "entries")
    fails(site, 0, "The published files do not have them either")


def test_another_archive_than_the_one_on_record_is_named(site: Site) -> None:
    """It is whole and under the signed root, but not the one that was put on record."""
    with pytest.raises(Crash):
        site.apply(crashing("verified"))
    folder = site.settings.archives / f"{0:012d}-{LEAVES - 1:012d}"
    folder.rename(site.home / "older")
    site.grow(site.size() + 1)
    site.seal()
    site.apply()
    shutil.rmtree(folder)
    (site.home / "older").rename(folder)
    fails(site, 0, "is not the archive that the retention on record names")


@pytest.mark.parametrize("name", ["tile/entries/000", "keys/000000000", "index"])
def test_a_changed_file_of_an_archive_is_named(applied: Site, name: str) -> None:
    file = applied.settings.archives / f"{0:012d}-{LEAVES - 1:012d}" / name
    data = file.read_bytes()
    file.write_bytes(flipped(data))
    with pytest.raises(VerificationFailed, match=f"{LEAVES - 1:012d}/({name}|payloads)"):
        verify(applied)
    file.write_bytes(data)


def test_a_minimum_index_that_nobody_put_on_record_is_named(applied: Site) -> None:
    file = applied.settings.tiles / "minimum-index"
    file.write_text(f"{END + LEAVES}\n")
    fails(applied, None, f"the minimum index {END + LEAVES} is published")
    file.write_text("many\n")
    fails(applied, None, "does not hold one number")
    file.write_text(f"{END}\n")


def test_the_published_files_verify_with_the_archives_when_they_were_pruned(site: Site) -> None:
    site.apply(prune=True)
    assert verify(site)
    settings, trust = site.settings, load_trust(site.home)
    tiles = TileFolder(settings.tiles)

    def offline() -> bool:
        follower = open_tile_follower(settings.tiles, trust, settings)
        walked = Walked(trust, opens_payloads=False)
        return walk_log(follower, walked, settings.state / "verify", tiles, shelf=open_shelf(settings))

    assert offline()
    settings.archives.rename(site.home / "elsewhere")
    with pytest.raises(VerificationFailed, match="not in the log folder"):
        offline()


def test_one_archive_is_verified_by_itself(applied: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    site = applied
    folder = site.settings.archives / f"{LEAVES:012d}-{2 * LEAVES - 1:012d}"
    verify_archived(folder, None, site.settings)
    assert json.loads(capsys.readouterr().out)["payloads_opened"] is True
    stranger = site.settings.model_copy(update={"home": tmp_path / "nothing"})
    verify_archived(folder, site.home / "trust.json", stranger)
    assert json.loads(capsys.readouterr().out)["payloads_opened"] is False


FILES = ("manifest.json", "checkpoint", "beside", "kinds", "index", "tile/entries/000", "payloads/000000000", "keys/000000000")


def test_a_changed_or_missing_file_of_an_archive_is_named_by_itself(applied: Site) -> None:
    site = applied
    folder = site.settings.archives / f"{0:012d}-{LEAVES - 1:012d}"
    for name in FILES:
        file = folder / name
        data = file.read_bytes()
        for spoilt in (flipped(data), flipped(data, len(data) - 30), data[:-1], data + b"\0", None):
            file.unlink()
            if spoilt is not None:
                file.write_bytes(spoilt)
            with pytest.raises(VerificationFailed):
                verify_archived(folder, None, site.settings)
            file.write_bytes(data)
    verify_archived(folder, None, site.settings)

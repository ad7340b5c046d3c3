"""A stranger's folder as a file system: nothing outside of it is reached, nothing in it is waited for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from tenuto.bundle import BundleFolder, BundleRefused, layout
from tenuto.bundle.folder import UNKNOWN_MAX
from tenuto_projections.bundled import report_record

from tests.unit.bundle.world import World


def test_files_that_are_no_part_of_a_bundle_are_named_and_not_opened(world: World, tmp_path: Path) -> None:
    folder = world.bundle()
    (folder / "README.md").write_text("Trust me.")
    (folder / "more").mkdir()
    (folder / "more" / "deep").write_text("")
    (folder / "events" / "1.entry.bak").write_text("")
    (folder / "payloads").mkdir()
    (folder / "payloads" / "..1").write_text("")
    os.symlink(tmp_path, folder / "events" / "link")
    os.mkfifo(folder / "pipe")
    found = world.verify(folder).unknown
    assert found == ("README.md", "events/1.entry.bak", "events/link", "more", "payloads/..1", "pipe")


def test_at_most_a_hundred_unknown_files_are_named(world: World) -> None:
    folder = world.bundle()
    for number in range(UNKNOWN_MAX):
        (folder / f"stray-{number}").write_text("")
    assert len(world.verify(folder).unknown) == UNKNOWN_MAX
    (folder / "one-more").write_text("")
    assert len(world.verify(folder).unknown) == UNKNOWN_MAX


def test_a_name_that_is_no_text_is_named_all_the_same(world: World) -> None:
    folder = world.bundle()
    (Path(os.fsdecode(os.fsencode(folder) + b"/odd-\xff"))).write_text("")
    report = world.verify(folder)
    assert report.unknown == ("odd-\\xff",)
    assert msgspec.json.encode(report_record(report))


@pytest.mark.parametrize("name", ["bundle.json", "checkpoint", "policy", "events/0.entry", "events/0.tlog-proof"])
def test_a_link_in_the_place_of_a_file_is_not_followed(world: World, tmp_path: Path, name: str) -> None:
    folder = world.bundle()
    outside = tmp_path / "outside"
    shutil.move(folder / name, outside)
    os.symlink(outside, folder / name)
    with pytest.raises(BundleRefused, match=f"{name} of the bundle cannot be read as a plain file"):
        world.verify(folder)


def test_a_link_in_the_place_of_a_folder_is_not_followed(world: World, tmp_path: Path) -> None:
    folder = world.bundle()
    shutil.move(folder / "events", tmp_path / "events")
    os.symlink(tmp_path / "events", folder / "events")
    with pytest.raises(BundleRefused, match="events of the bundle is a link"):
        world.verify(folder)


def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused_at_once(world: World) -> None:
    folder = world.bundle()
    (folder / "policy").unlink()
    os.mkfifo(folder / "policy")
    with pytest.raises(BundleRefused, match="not a plain file"):
        world.verify(folder)
    (folder / "policy").unlink()
    (folder / "policy").mkdir()
    with pytest.raises(BundleRefused, match="not a plain file"):
        world.verify(folder)


def test_a_file_in_the_place_of_a_folder_is_refused(world: World) -> None:
    folder = world.bundle()
    shutil.rmtree(folder / "events")
    (folder / "events").write_text("")
    with pytest.raises(BundleRefused, match="cannot be read"):
        world.verify(folder)


@pytest.mark.parametrize("position", ['"../../etc/passwd"', '"0/../1"', "-1", "1.5", str(2**53), "null"])
def test_a_position_that_is_no_number_never_becomes_a_path(world: World, position: str) -> None:
    folder = world.bundle()
    text = (folder / "bundle.json").read_text().replace('"position": 0,', f'"position": {position},')
    (folder / "bundle.json").write_text(text)
    with pytest.raises(BundleRefused, match=r"bundle\.json"):
        world.verify(folder)


def test_a_manifest_in_another_spelling_order_or_format_is_refused(world: World) -> None:
    folder = world.bundle()
    text = (folder / "bundle.json").read_text()
    first = text.index('"position": 0')
    for changed in (
        text.replace(": ", ":"), text.replace('"format": 1', '"format": 2'), text.replace("}", ', "more": 1}', 1),
        text[:first] + '"position": 99999' + text[first + len('"position": 0') :], text.replace('"asked"', '"key"'), "[" * 5000,
    ):  # fmt: skip
        (folder / "bundle.json").write_text(changed)
        with pytest.raises(BundleRefused):
            world.verify(folder)


def test_what_is_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="There is no bundle"):
        BundleFolder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleRefused, match="missing"):
        BundleFolder(tmp_path / "empty").read(layout.MANIFEST_FILE, 10)

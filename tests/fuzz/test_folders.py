"""Whatever happens to the files of a bundle or of a log folder: a refusal, or the very events that were signed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tenuto.adapters.tilefiles import TileLedger
from tenuto.following import CheckpointFile
from tenuto.log.note import NOTE_BYTES_MAX
from tenuto.log.tiles import FILE_BYTES_MAX, TileFolder, TilesRefused
from tenuto.verification import VerificationFailed

from tests.fuzz.folders import Case, bundle_case, log_case
from tests.fuzz.mutating import BYTES, JSON, TEXT, spliced, spoiled

SPOILED = 250
EACH_FILE = {"bundle": 10, "log": 60}


@pytest.fixture(params=["bundle", "log"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(kind: str, tmp_path: Path) -> Case:
    return {"bundle": bundle_case, "log": log_case}[kind](tmp_path)


def test_the_folder_as_it_is_is_accepted(case: Case) -> None:
    assert case.demand("nothing")
    assert len(case.truth) > 10


def test_a_spoiled_file_is_refused_or_changes_nothing(case: Case) -> None:
    chance, files = random.Random(5), case.files()
    refused = 0
    for _ in range(SPOILED):
        file, other = chance.choice(files), chance.choice(files)
        data = file.read_bytes()
        file.write_bytes(spoiled(chance, data, (*BYTES, *TEXT, *JSON, spliced(other.read_bytes()))))
        refused += not case.demand(file.name)
        file.write_bytes(data)
    assert refused > SPOILED // 2
    assert case.demand("nothing")


def test_a_byte_that_became_another_is_refused_in_every_file(case: Case, kind: str) -> None:
    chance = random.Random(6)
    for file in case.files():
        data = file.read_bytes()
        for _ in range(EACH_FILE[kind] if data else 0):
            place = chance.randrange(len(data))
            file.write_bytes(data[:place] + bytes([data[place] ^ chance.randint(1, 255)]) + data[place + 1 :])
            accepted = case.demand(f"{file.name} byte {place}")
            assert not (accepted and case.decides(file, place)), f"{file.name} byte {place}"
        file.write_bytes(data)


def test_files_in_each_others_place_are_refused(case: Case) -> None:
    chance, files = random.Random(7), case.files()
    for _ in range(40):
        one, other = chance.sample(files, 2)
        kept = one.read_bytes(), other.read_bytes()
        one.write_bytes(kept[1])
        other.write_bytes(kept[0])
        assert not case.demand(f"{one.name} for {other.name}") or kept[0] == kept[1]
        one.write_bytes(kept[0])
        other.write_bytes(kept[1])


def test_a_time_beyond_all_calendars_in_the_published_files_is_refused(tmp_path: Path) -> None:
    case = log_case(tmp_path)
    bundle = next(file for file in case.files() if "entries" in file.parts)
    data = bundle.read_bytes()
    bundle.write_bytes(data[:3] + b"\xff" * 8 + data[11:])
    with pytest.raises(VerificationFailed):
        TileLedger(case.folder, len(case.truth)).read(0, 10)
    assert case.demand("the time") is False


def test_a_published_file_is_read_up_to_its_limit_only(tmp_path: Path) -> None:
    (tmp_path / "tile/0").mkdir(parents=True)
    with (tmp_path / "tile/0/000").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(TilesRefused, match="has more than"):
        TileFolder(tmp_path).hash_at(0, 0)
    with (tmp_path / "tile/0/000").open("wb") as file:
        file.truncate(FILE_BYTES_MAX)
    with pytest.raises(TilesRefused, match="where 8,192 belong"):
        TileFolder(tmp_path).hash_at(0, 0)
    with (tmp_path / "checkpoint").open("wb") as file:
        file.truncate(10 * NOTE_BYTES_MAX)
    note = CheckpointFile(tmp_path).latest()
    assert note is not None
    assert len(note) == NOTE_BYTES_MAX + 1

"""The golden exports are what the present code writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tenuto.events import KINDS

from tests.golden.siem_build import FOLDER, contents, differences, main


def test_the_golden_exports_are_as_they_would_be_written_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_there_is_one_file_per_subject_with_all_of_its_kinds() -> None:
    found = {kind for path in FOLDER.glob("*.json") for kind in json.loads(path.read_text())}
    assert found == set(KINDS)


def test_the_check_finds_a_missing_a_foreign_and_a_changed_file(tmp_path: Path) -> None:
    for name, text in contents().items():
        (tmp_path / name).write_text(text)
    assert differences(tmp_path) == []
    (tmp_path / "key.json").unlink()
    (tmp_path / "tool.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    assert [sentence.split()[0] for sentence in differences(tmp_path)] == ["key.json", "other.json", "tool.json"]

"""A change is read whole or refused with a sentence that names the input."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto_agents import change as changes
from tenuto_agents.change import change_digest, changed_lines, initiator, read_change
from tenuto_agents.git import RepositoryRefused

from tests.unit.agents.repositories import Scratch


def test_a_change_starts_where_the_histories_parted(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a": "1\n"})
    head = scratch.commit({"b": "2\n"})
    scratch.git("checkout", "-q", "main")
    scratch.commit({"later": "3\n"})
    change = read_change(scratch.path, "main", "change")
    assert (change.base, change.head, [file.path for file in change.files]) == (scratch.base, head, ["b"])


def test_reading_by_id_gives_the_same_change_after_the_branch_moved(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a.py": "x = 1\n"})
    before = read_change(scratch.path, "main", "change")
    scratch.commit({"a.py": "evil()\n"})
    assert read_change(scratch.path, before.base, before.head) == before


@pytest.mark.parametrize(
    ("base", "head", "sentence"),
    [("main", "nowhere", "has no commit 'nowhere'"), ("main", "main", "no change"), ("change", "main", "Is the order right")],
)
def test_a_revision_without_a_change_is_named(tmp_path: Path, base: str, head: str, sentence: str) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a": "1"})
    with pytest.raises(RepositoryRefused, match=sentence):
        read_change(scratch.path, base, head)


def test_commits_without_any_difference_are_no_change(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({}, "nothing")
    with pytest.raises(RepositoryRefused, match="their files do not"):
        read_change(scratch.path, "main", "change")


def test_histories_that_never_met_have_no_change(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.git("checkout", "-q", "--orphan", "other")
    scratch.commit({"a": "1"})
    with pytest.raises(RepositoryRefused, match="no commit in common"):
        read_change(scratch.path, "main", "other")


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefused, match="is not a git repository"):
        read_change(tmp_path, "main", "change")
    with pytest.raises(RepositoryRefused, match="There is no folder"):
        read_change(tmp_path / "missing", "main", "change")


def test_a_folder_inside_a_repository_is_not_taken_for_it(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"inner/a": "1"})
    with pytest.raises(RepositoryRefused, match="top folder"):
        read_change(scratch.path / "inner", "main", "change")


def test_the_diff_is_refused_one_byte_over_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a.txt": "line\n" * 100})
    size = len(read_change(scratch.path, "main", "change").diff.encode())
    monkeypatch.setattr(changes, "DIFF_BYTES_MAX", size)
    read_change(scratch.path, "main", "change")
    monkeypatch.setattr(changes, "DIFF_BYTES_MAX", size - 1)
    with pytest.raises(RepositoryRefused, match="Split it"):
        read_change(scratch.path, "main", "change")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({f"f{number}": "1" for number in range(3)})
    monkeypatch.setattr(changes, "FILES_MAX", 3)
    read_change(scratch.path, "main", "change")
    monkeypatch.setattr(changes, "FILES_MAX", 2)
    with pytest.raises(RepositoryRefused, match="more than 2 files"):
        read_change(scratch.path, "main", "change")


def test_a_binary_file_is_shown_by_its_digest(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a.bin": b"\0\1\2"})
    assert "Binary file, 3 bytes at head, SHA-256 ae4b3280e56e2faf" in read_change(scratch.path, "main", "change").diff


def test_a_deleted_file_is_part_of_the_change(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n", "b": ""})
    (scratch.path / "a.py").unlink()
    scratch.commit({})
    change = read_change(scratch.path, "main", "change")
    assert (change.files[0].status, change.files[0].after) == ("D", None)
    assert "+++ /dev/null\n" in change.diff
    assert "-x = 1" in change.diff


def test_changed_lines_are_numbered_as_at_head() -> None:
    assert changed_lines("@@ -1,3 +1,4 @@\n a\n-b\n+c\n+d\n e\n@@ -9 +10,2 @@ x\n y\n+z\n\\ No newline\n") == {2, 3, 11}


def test_a_change_is_named_by_both_its_ends() -> None:
    assert len({change_digest("a", "b"), change_digest("b", "a"), change_digest("a", "c")}) == 3


def test_the_initiator_is_the_newest_commits_author(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a": "1"})
    assert initiator(read_change(scratch.path, "main", "change")) == "ada@example.org"

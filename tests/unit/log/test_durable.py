"""Files that are there whole or not at all, also when there is no room for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tenuto.log.durable import write_durably

BYTES_MAX = 1000
# A limit on the size of files meets a process as a full disk does, and needs no rights; it cannot be lifted again, so the
# limited one is a process of its own.
LIMITED = """
import resource, sys
from pathlib import Path
from tenuto.log.durable import NoRoom, write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
folder = Path(sys.argv[1])
try:
    write_durably({folder / "small": b"new", folder / "deep" / "large": bytes(int(sys.argv[3]))})
except NoRoom as sentence:
    print(sentence)
"""


def limited(folder: Path, size: int) -> str:
    command = [sys.executable, "-c", LIMITED, str(folder), str(BYTES_MAX), str(size)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return ended.stdout.strip()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", [{}, {"small": b"old"}])
def test_without_room_nothing_is_changed_nothing_is_left_and_the_folder_is_named(
    tmp_path: Path, before: dict[str, bytes]
) -> None:
    for name, data in before.items():
        write_durably({tmp_path / name: data})
    assert f"There is no room in {tmp_path / 'deep'}" in limited(tmp_path, BYTES_MAX + 1)
    assert files(tmp_path) == before


def test_with_just_enough_room_all_is_written(tmp_path: Path) -> None:
    assert limited(tmp_path, BYTES_MAX) == ""
    assert files(tmp_path) == {"small": b"new", "deep/large": bytes(BYTES_MAX)}


def test_what_is_not_about_room_is_not_called_so_and_leaves_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_durably({tmp_path / "first": b"1", tmp_path / "taken": b"2"})
    assert not list(tmp_path.glob(".*.new"))

"""A file as the destination: what a crash, a rotation, a full disk and a stranger leave of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tenuto.errors import Busy, NotConfigured
from tenuto_projections.siem.cursor import CursorFile, CursorRefused
from tenuto_projections.siem.formats import OCSF
from tenuto_projections.siem.sinks import FileSink, lines_backwards

from tests.unit.projections.written import WrittenLedger

from .chronicle import grow, grown
from .exports import (
    SIZE,
    Killed,
    KilledStore,
    MemorySink,
    at,
    cursor_of,
    export_file,
    exporter,
    positions,
    set_cursor,
)


@pytest.mark.parametrize("lines_there", [0, 1, 7, SIZE - 1, SIZE])
@pytest.mark.parametrize("piece", [0, 1, 40, 400])
@pytest.mark.parametrize("cursor_at", [0, 1, 7])
def test_a_crash_at_any_byte_loses_no_line_and_doubles_none(
    tmp_path: Path, ledger: WrittenLedger, whole: bytes, lines_there: int, piece: int, cursor_at: int
) -> None:
    lines = whole.splitlines(keepends=True)
    if lines_there < cursor_at:
        return  # the cursor never runs ahead of the file; that state has its own test
    torn = lines[lines_there][:piece] if lines_there < SIZE else b""
    (tmp_path / "out").write_bytes(b"".join(lines[:lines_there]) + torn)
    set_cursor(tmp_path / "cursor", at(ledger, cursor_at))
    assert export_file(ledger, tmp_path) == SIZE - cursor_at
    assert (tmp_path / "out").read_bytes() == whole
    assert cursor_of(tmp_path) == at(ledger, SIZE)


def test_a_crash_between_write_and_cursor_is_healed_at_the_next_start(
    tmp_path: Path, ledger: WrittenLedger, whole: bytes
) -> None:
    with pytest.raises(Killed):
        export_file(ledger, tmp_path, store=KilledStore)
    assert (tmp_path / "out").read_bytes() == whole
    assert cursor_of(tmp_path).size == 0
    assert export_file(ledger, tmp_path) == SIZE
    assert (tmp_path / "out").read_bytes() == whole


def test_the_cut_is_said(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole[:-5])
    said: list[str] = []
    export_file(ledger, tmp_path, said.append)
    assert len(said) == 1
    assert "were cut off" in said[0]


def test_blocks_that_never_reached_the_disk_are_cut(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out").write_bytes(b"".join(lines[:4]) + b"\0" * 4096 + b"".join(lines[9:12]))
    set_cursor(tmp_path / "cursor", at(ledger, 3))
    export_file(ledger, tmp_path)
    assert (tmp_path / "out").read_bytes() == whole


SCRIPT = """
import sys, time
from pathlib import Path
from tests.unit.siem.chronicle import grown
from tests.unit.siem.exports import exporter
from tests.unit.projections.written import MemoryFollower
from tenuto_projections.siem.sinks import FileSink
folder = Path(sys.argv[1])
ledger = grown(int(sys.argv[2]))
one = exporter(ledger, FileSink(folder / "out", print), folder / "cursor", follower=MemoryFollower(ledger, 3))
print("ready", flush=True)
one.step()
print("done", flush=True)
"""


def test_an_export_that_is_killed_again_and_again_ends_as_if_it_never_was(tmp_path: Path) -> None:
    size, kills = 240, 0
    for pause in (0.002, 0.015, 0.05):
        process = start(tmp_path, size)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert kills
    last = start(tmp_path, size)
    assert last.communicate()[0].endswith("done\n")
    assert positions((tmp_path / "out").read_bytes()) == list(range(size))


def start(folder: Path, size: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(size)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603


def test_a_line_of_another_event_in_the_file_is_refused(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    leaf = json.loads(lines[8])["leaf"].encode()
    (tmp_path / "out").write_bytes(b"".join(lines[:9]).replace(leaf, b"0" * 64))
    for cursor_at in (7, 9):
        set_cursor(tmp_path / "cursor", at(ledger, cursor_at))
        with pytest.raises(CursorRefused, match="another event at position 8"):
            export_file(ledger, tmp_path)


def test_a_file_that_ends_before_the_cursor_is_refused(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    set_cursor(tmp_path / "cursor", at(ledger, 7))
    with pytest.raises(CursorRefused, match="does not hold position 6"):
        export_file(ledger, tmp_path)


def test_a_file_ahead_of_the_log_is_refused(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole)
    with pytest.raises(CursorRefused, match="holds position 22, the log has signed 20 events"):
        export_file(grown(20), tmp_path)


def test_a_file_without_its_beginning_and_cursor_is_wrong_usage(
    tmp_path: Path, ledger: WrittenLedger, whole: bytes
) -> None:
    (tmp_path / "out").write_bytes(b"".join(whole.splitlines(keepends=True)[5:]))
    with pytest.raises(NotConfigured, match="begins at position 5"):
        export_file(ledger, tmp_path)


@pytest.mark.parametrize("content", [b"dear diary", b"dear diary\n", b"\n", b"\0\0\0", b'{"schema":"other"}\n'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, ledger: WrittenLedger, content: bytes) -> None:
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(NotConfigured, match="holds something else"):
        export_file(ledger, tmp_path)
    assert (tmp_path / "out").read_bytes() == content


def test_something_else_behind_our_lines_is_left_alone(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole + b"a remark\n")
    with pytest.raises(NotConfigured, match="holds something else"):
        export_file(ledger, tmp_path)


def test_the_file_of_another_format_is_something_else(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole)
    with pytest.raises(NotConfigured, match="holds something else"):
        export_file(ledger, tmp_path, name=OCSF)


def test_two_exports_cannot_have_one_cursor_or_one_file(tmp_path: Path, ledger: WrittenLedger) -> None:
    first = exporter(ledger, FileSink(tmp_path / "out", print), tmp_path / "cursor")
    with pytest.raises(Busy, match="Another process has the cursor"):
        exporter(ledger, MemorySink(), tmp_path / "cursor")
    with pytest.raises(Busy, match="Another process has the file"):
        FileSink(tmp_path / "out", print)
    first.close()


def test_a_file_that_was_rotated_away_goes_on_in_a_new_one(tmp_path: Path) -> None:
    ledger = grown(5)
    one = exporter(ledger, FileSink(tmp_path / "out", print), tmp_path / "cursor")
    one.step()
    (tmp_path / "out").rename(tmp_path / "out.1")
    grow(ledger, 4)
    one.step()
    one.close()
    assert positions((tmp_path / "out.1").read_bytes()) == list(range(5))
    assert positions((tmp_path / "out").read_bytes()) == list(range(5, 9))
    grow(ledger, 1)
    assert export_file(ledger, tmp_path) == 1


@pytest.mark.parametrize("left", ["", "a whole line", "a piece"])
def test_a_crash_right_after_a_rotation_loses_nothing(
    tmp_path: Path, ledger: WrittenLedger, whole: bytes, left: str
) -> None:
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out").write_bytes({"": b"", "a whole line": lines[5], "a piece": lines[5][:30]}[left])
    set_cursor(tmp_path / "cursor", at(ledger, 5))
    said: list[str] = []
    export_file(ledger, tmp_path, said.append)
    assert (tmp_path / "out").read_bytes() == b"".join(lines[5:])
    assert len(said) == (left != "a whole line")


def test_a_full_disk_is_busy_and_leaves_no_piece(
    tmp_path: Path, ledger: WrittenLedger, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = exporter(ledger, FileSink(tmp_path / "out", print), tmp_path / "cursor")
    with monkeypatch.context() as patch:
        patch.setattr(one._sink, "_file", Full(one._sink._file))  # type: ignore[attr-defined]
        with pytest.raises(Busy, match="No space left"):
            one.step()
    assert (tmp_path / "out").read_bytes() == b""
    assert one.step() == SIZE
    assert (tmp_path / "out").read_bytes() == whole
    one.close()


class Full:
    """A file that takes 100 bytes and then has no more room."""

    def __init__(self, file: os.PathLike[str]) -> None:
        self._file, self._room = file, 100

    def write(self, data: memoryview) -> int:
        if not self._room:
            raise OSError(28, "No space left on device")
        taken, self._room = data[: self._room], 0
        return self._file.write(taken)  # type: ignore[attr-defined, no-any-return]

    def fileno(self) -> int:
        return self._file.fileno()  # type: ignore[attr-defined, no-any-return]


def test_a_cursor_where_none_can_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotConfigured, match="cannot be kept there"):
        CursorFile(tmp_path / "file" / "cursor")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="cannot be written"):
        FileSink(tmp_path / "nowhere" / "out", print)


def test_a_new_file_is_for_its_owner_only(tmp_path: Path, ledger: WrittenLedger) -> None:
    export_file(ledger, tmp_path)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a", b"a\n", b"a\nb", b"\n\na\n", b"abc\n" * 40 + b"x", b"y" * 99 + b"\nz\n"]
)
@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
def test_lines_come_backwards_with_their_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int
) -> None:
    monkeypatch.setattr("tenuto_projections.siem.sinks.BLOCK_BYTES", block)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        found = list(lines_backwards(file))
    whole = content[: content.rfind(b"\n") + 1]
    assert [line for _, line in reversed(found)] == whole.split(b"\n")[:-1]
    assert all(content[offset : offset + len(line) + 1] == line + b"\n" for offset, line in found)

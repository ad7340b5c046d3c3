"""The export as a whole: order, finality, cursor, and what a crash leaves of a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tenuto.errors import Busy, NotConfigured
from tenuto.verification import VerificationFailed
from tenuto_projections.siem.cursor import Cursor, CursorRefused
from tenuto_projections.siem.formats import OCSF
from tenuto_projections.siem.sinks import FileSink, lines_backwards

from tests.unit.projections.written import MemoryFollower, WrittenLedger

from .chronicle import grow, grown
from .exports import Killed, KilledStore, LateForgery, MemorySink, export_file, exporter, fresh, set_cursor

SIZE = 23


def positions(content: bytes) -> list[int]:
    assert content.endswith(b"\n")
    return [json.loads(line)["position"] for line in content.splitlines()]


def cursor_of(folder: Path) -> Cursor:
    return msgspec.json.decode((folder / "cursor").read_bytes(), type=Cursor)


@pytest.fixture(scope="module")
def ledger() -> WrittenLedger:
    return grown(SIZE)


@pytest.fixture(scope="module")
def whole(ledger: WrittenLedger, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an export that nothing disturbs writes."""
    folder = tmp_path_factory.mktemp("whole")
    assert export_file(ledger, folder) == SIZE
    return (folder / "out").read_bytes()


def test_every_event_is_written_once_in_the_order_of_the_log(whole: bytes) -> None:
    assert positions(whole) == list(range(SIZE))


def test_an_export_that_is_started_again_writes_only_what_is_new(tmp_path: Path) -> None:
    ledger = grown(5)
    assert export_file(ledger, tmp_path) == 5
    assert export_file(ledger, tmp_path) == 0
    grow(ledger, 7)
    assert export_file(ledger, tmp_path) == 7
    assert positions((tmp_path / "out").read_bytes()) == list(range(12))
    assert cursor_of(tmp_path).size == 12


def test_what_the_log_signs_meanwhile_follows_in_the_next_step(tmp_path: Path) -> None:
    ledger, sink = grown(5), MemorySink()
    one = exporter(ledger, sink, tmp_path / "cursor")
    assert one.step() == 5
    grow(ledger, 3)
    assert (one.step(), one.step()) == (3, 0)
    assert positions(b"".join(sink.frames)) == list(range(8))
    one.close()


def test_nothing_is_written_before_the_root_was_compared(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink = MemorySink()
    one = exporter(ledger, sink, tmp_path / "cursor", follower=LateForgery(ledger, 4))
    with pytest.raises(VerificationFailed, match="root"):
        one.step()
    assert sink.frames == []
    assert cursor_of(tmp_path).size == 0
    one.close()


def test_a_sink_that_goes_away_gets_the_rest_later_and_nothing_twice(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink = MemorySink(room=2)
    one = exporter(ledger, sink, tmp_path / "cursor", follower=MemoryFollower(ledger, 5))
    for _ in range(2):
        with pytest.raises(Busy):
            one.step()
    assert cursor_of(tmp_path).size == 10
    sink.room = 99
    assert one.step() == SIZE - 10
    assert positions(b"".join(sink.frames)) == list(range(SIZE))
    one.close()


def test_new_events_are_held_behind_what_a_busy_sink_has_not_taken(tmp_path: Path) -> None:
    ledger, sink = grown(6), MemorySink(room=0)
    one = exporter(ledger, sink, tmp_path / "cursor", follower=MemoryFollower(ledger, 4))
    for _ in range(3):
        with pytest.raises(Busy):
            one.step()
        grow(ledger, 2)
    sink.room = 99
    assert one.step() == 12
    assert positions(b"".join(sink.frames)) == list(range(12))
    one.close()


def test_a_stop_between_two_parts_loses_nothing(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink, seen = MemorySink(), iter([False] * 7 + [True] * 99)
    one = exporter(ledger, sink, tmp_path / "cursor", follower=MemoryFollower(ledger, 5))
    assert 0 < one.step(lambda: next(seen)) < SIZE
    assert positions(b"".join(sink.frames)) == list(range(cursor_of(tmp_path).size))
    assert one.step() + len(sink.lines()) >= SIZE
    assert positions(b"".join(sink.frames)) == list(range(SIZE))
    one.close()


# The crash matrix of a file.


@pytest.mark.parametrize("lines_there", [0, 1, 7, SIZE - 1, SIZE])
@pytest.mark.parametrize("piece", [0, 1, 2, 40, 400])
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


def at(ledger: WrittenLedger, size: int) -> Cursor:
    walk = ledger.walk(payloads=False)
    walk.take(ledger.entries[:size])
    return msgspec.structs.replace(fresh(), size=size, root=walk.frontier.root().hex())


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
    for pause in (0.002, 0.01, 0.03, 0.06):
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


# Cursors and files that do not belong.


def test_a_cursor_of_another_log_is_refused(tmp_path: Path, ledger: WrittenLedger) -> None:
    set_cursor(tmp_path / "cursor", msgspec.structs.replace(fresh(), origin="tenuto.test/other"))
    with pytest.raises(CursorRefused, match=r"belongs to the log tenuto\.test/other"):
        export_file(ledger, tmp_path)


def test_a_cursor_ahead_of_the_log_is_refused(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink = MemorySink()
    set_cursor(tmp_path / "cursor", at(ledger, SIZE))
    one = exporter(grown(SIZE - 1), sink, tmp_path / "cursor")
    with pytest.raises(CursorRefused, match="23 events were exported before, the log has signed 22"):
        one.step()
    assert sink.frames == []
    one.close()


def test_a_log_with_another_history_is_refused_under_the_old_cursor(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink, other = MemorySink(), grown(2)
    grow(other, 1, payloads=True)
    grow(other, SIZE)
    set_cursor(tmp_path / "cursor", at(ledger, 7))
    one = exporter(other, sink, tmp_path / "cursor")
    with pytest.raises(CursorRefused, match="the first 7 events are not those"):
        one.step()
    assert sink.frames == []
    one.close()


def test_a_cursor_of_another_destination_or_format_is_wrong_usage(tmp_path: Path, ledger: WrittenLedger) -> None:
    for cursor in (fresh("elsewhere"), fresh(name=OCSF)):
        set_cursor(tmp_path / "cursor", cursor)
        with pytest.raises(NotConfigured, match="belongs to the export of"):
            export_file(ledger, tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"size":1}', b'{"version":2,"origin":"o","destination":"d",'
                                     b'"format":"f"}'])  # fmt: skip
def test_a_cursor_that_cannot_be_read_is_said(tmp_path: Path, ledger: WrittenLedger, content: bytes) -> None:
    (tmp_path / "cursor").write_bytes(content)
    with pytest.raises(NotConfigured, match="The cursor"):
        export_file(ledger, tmp_path)


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


# Rotation and a full disk.


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


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="cannot be written"):
        FileSink(tmp_path / "nowhere" / "out", print)


def test_a_new_file_is_for_its_owner_only(tmp_path: Path, ledger: WrittenLedger) -> None:
    export_file(ledger, tmp_path)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


# Payloads.


def test_a_line_that_is_too_long_for_its_sink_goes_without_its_payload(tmp_path: Path) -> None:
    ledger = grown(12, payloads=True)
    lines = exported(ledger, tmp_path / "whole", None)
    longest = max(range(len(lines)), key=lambda number: len(lines[number]))
    for less, state in ((0, "available"), (1, "left out")):
        line = exported(ledger, tmp_path / str(less), len(lines[longest]) - less)[longest]
        assert json.loads(line)["payload"]["state"] == state


def exported(ledger: WrittenLedger, folder: Path, limit: int | None) -> list[bytes]:
    sink = MemorySink(line_bytes_max=limit)
    one = exporter(ledger, sink, folder / "cursor", payloads=True)
    one.step()
    one.close()
    return sink.lines()


def test_a_payload_missing_without_a_purge_stops_an_export_with_payloads(tmp_path: Path) -> None:
    ledger = grown(12, payloads=True)
    ledger.forget(next(entry.position for entry in ledger.entries if entry.payload is not None))
    sink = MemorySink()
    one = exporter(ledger, sink, tmp_path / "cursor", payloads=True)
    with pytest.raises(VerificationFailed, match="Step 5"):
        one.step()
    assert sink.frames == []
    one.close()


# Reading a file from its end.


@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"a\n", b"a\nb", b"\n\na\n", b"abc\n" * 40 + b"x", b"y" * 99 + b"\nz\n"])
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

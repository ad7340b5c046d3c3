"""The export as a whole: order, finality, and a cursor that belongs to one history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tenuto.errors import Busy, NotConfigured
from tenuto.following import Follower
from tenuto.ledger import Head, Recorded
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.note import NoteSigner
from tenuto.verification import VerificationFailed
from tenuto_projections.siem.cursor import CursorRefused
from tenuto_projections.siem.formats import OCSF

from tests.unit.projections.written import ORIGIN, MemoryFollower, WrittenLedger

from .chronicle import grow, grown
from .exports import (
    SIZE,
    FullStore,
    LateForgery,
    MemorySink,
    at,
    cursor_of,
    export_file,
    exporter,
    fresh,
    positions,
    set_cursor,
)


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


def test_a_cursor_that_cannot_be_saved_is_busy_and_doubles_nothing(tmp_path: Path) -> None:
    ledger, sink = grown(12), MemorySink()
    one = exporter(ledger, sink, tmp_path / "cursor", store=FullStore, follower=MemoryFollower(ledger, 5))
    for _ in range(4):
        with pytest.raises(Busy, match="cannot be written"):
            one.step()
    (tmp_path / "cursor.new").rmdir()
    one.step()
    assert positions(b"".join(sink.frames)) == list(range(12))
    assert cursor_of(tmp_path) == at(ledger, 12)
    one.close()


def test_a_stop_between_two_parts_loses_nothing(tmp_path: Path, ledger: WrittenLedger) -> None:
    sink, seen = MemorySink(), iter([False] * 7 + [True] * 99)
    one = exporter(ledger, sink, tmp_path / "cursor", follower=MemoryFollower(ledger, 5))
    assert 0 < one.step(lambda: next(seen)) < SIZE
    assert positions(b"".join(sink.frames)) == list(range(cursor_of(tmp_path).size))
    assert one.step() + len(sink.lines()) >= SIZE
    assert positions(b"".join(sink.frames)) == list(range(SIZE))
    one.close()


def test_only_what_the_log_signed_is_exported(tmp_path: Path, ledger: WrittenLedger, whole: bytes) -> None:
    note = NoteSigner(ORIGIN, bytes(range(32)))
    trust = msgspec.structs.replace(ledger.trust, log_key=note.vkey)
    sink, published = MemorySink(), Published()
    one = exporter(ledger, sink, tmp_path / "cursor", follower=Follower(Stored(ledger), published, trust))
    assert one.step() == 0
    for size in (9, SIZE):
        walk = ledger.walk(payloads=False)
        walk.take(ledger.entries[:size])
        published.note = sign_checkpoint(Checkpoint(ORIGIN, size, walk.frontier.root()), note)
        one.step()
        assert cursor_of(tmp_path) == at(ledger, size)
        assert positions(b"".join(sink.frames)) == list(range(size))
    published.note = sign_checkpoint(Checkpoint(ORIGIN, SIZE + 1, bytes(32)), note)
    with pytest.raises(VerificationFailed, match="the ledger ends after 23"):
        one.step()
    one.close()


@dataclass
class Published:
    """Where the checkpoint is published."""

    note: bytes | None = None

    def latest(self) -> bytes | None:
        return self.note


@dataclass
class Stored:
    """The ledger's one door out."""

    ledger: WrittenLedger

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        return self.ledger.entries[start : start + limit]

    def head(self) -> Head:
        raise NotImplementedError

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        raise NotImplementedError


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

"""Exports over a ledger in memory, and sinks that break where a test wants them to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tenuto.errors import Busy
from tenuto.verification import VerificationFailed, Verified
from tenuto_projections.siem.cursor import Cursor, CursorFile
from tenuto_projections.siem.exporting import Exporter
from tenuto_projections.siem.formats import JSONL, line_format
from tenuto_projections.siem.jsonl import Mark
from tenuto_projections.siem.sinks import FileSink, LineReader, Sink

from tests.unit.projections.written import ORIGIN, MemoryFollower, WrittenLedger

SIZE = 23
"""Events in the ledger of most tests."""


class Killed(BaseException):
    """The process ends here, without cleaning up."""


class MemorySink:
    """Keeps frames; `away` makes it busy, `room` is how many writes it takes before it is."""

    def __init__(self, room: int = 1_000_000, line_bytes_max: int | None = None) -> None:
        self.frames: list[bytes] = []
        self.room = room
        self.line_bytes_max = line_bytes_max

    def resume(self, size: int, reader: LineReader) -> Sequence[Mark]:
        return ()

    def frame(self, verified: Verified, line: bytes) -> bytes:
        return line + b"\n"

    def write(self, frames: bytes) -> None:
        if self.room <= 0:
            raise Busy("The receiver is away.")
        self.room -= 1
        self.frames.append(frames)

    def close(self) -> None:
        """Nothing is held."""

    def lines(self) -> list[bytes]:
        return b"".join(self.frames).splitlines()


class KilledStore(CursorFile):
    """Dies instead of saving once the events are there."""

    def save(self, cursor: Cursor) -> None:
        if cursor.size:
            raise Killed
        super().save(cursor)


class FullStore(CursorFile):
    """Has room for the first cursor only, until `cursor.new`, which is a folder now, is taken away."""

    def load(self, fresh: Cursor) -> Cursor:
        found = super().load(fresh)
        self.path.with_name(self.path.name + ".new").mkdir()
        return found


class LateForgery(MemoryFollower):
    """Hands out all pages and finds at the end that the root is not the signed one."""

    def pages(self) -> Iterator[list[Verified]]:
        yield from super().pages()
        raise VerificationFailed(6, "the root is not the one that the log signed")


def fresh(destination: str = "there", name: str = JSONL) -> Cursor:
    return Cursor(origin=ORIGIN, destination=destination, format=name)


def set_cursor(path: Path, cursor: Cursor) -> None:
    """What an earlier process left."""
    store = CursorFile(path)
    store.save(cursor)
    store.close()


def exporter(ledger: WrittenLedger, sink: Sink, cursor: Path, **more: Any) -> Exporter:
    """An export in JSON lines, as after a start of the process."""
    name = more.pop("name", JSONL)
    follower = more.pop("follower", None) or MemoryFollower(ledger, payloads=more.get("payloads", False))
    store = more.pop("store", CursorFile)(cursor)
    return Exporter(follower, sink, line_format(name, "test"), store, fresh(name=name), **more)


def export_file(ledger: WrittenLedger, folder: Path, say: Callable[[str], None] = lambda _: None, **more: Any) -> int:
    """Start, export all to `folder`/out, end; a fault leaves nothing closed but what a kill closes too."""
    one = exporter(ledger, FileSink(folder / "out", say), folder / "cursor", **more)
    try:
        return one.step()
    finally:
        one.close()


def positions(content: bytes) -> list[int]:
    assert content.endswith(b"\n")
    return [json.loads(line)["position"] for line in content.splitlines()]


def cursor_of(folder: Path) -> Cursor:
    return msgspec.json.decode((folder / "cursor").read_bytes(), type=Cursor)


def at(ledger: WrittenLedger, size: int) -> Cursor:
    walk = ledger.walk(payloads=False)
    walk.take(ledger.entries[:size])
    return msgspec.structs.replace(fresh(), size=size, root=walk.frontier.root().hex())

"""The storage key is renewed while the road works: nothing is lost, what is purged stays closed, and more can be purged after."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenuto import renewing
from tenuto.adapters import keyrenewal
from tenuto.adapters.keytreefile import FORMER
from tenuto.adapters.postgres import PostgresReader
from tenuto.documents import Reason, from_payload
from tenuto.errors import Busy
from tenuto.events import KeyStorageRenewed, MessageSent, ToolStarted
from tenuto.ledger import Batch
from tenuto.purging import Asked
from tenuto.renewing import Renewed, open_renewing
from tenuto.wiring import open_purging

from tests.conftest import Database
from tests.end_to_end.test_purge import PEOPLE, Crash, approve, ask, positions, verify
from tests.road import SECONDS_MAX, Road

FIRST, SECOND, LATE = "first-4711", "second-0815", "late-2342"


@pytest.fixture
def road(tmp_path: Path, database: Database) -> Iterator[Road]:
    with Road(tmp_path, database) as road, road.working():
        road.register(*PEOPLE)
        with road.recorder("code-review") as author:
            for text in (FIRST, SECOND):
                sent = author.send("infrastructure", "review", Reason(text=text), run="run-1")
            author.wait(sent)
        yield road


def renew(road: Road) -> Renewed:
    with open_renewing(road.settings) as renewal:
        return renewal.renew()


def apply(road: Road, asked: Asked) -> int:
    with open_purging(road.settings, "keeper") as purging:
        return purging.apply(asked.request.approval).keys


def asked_and_approved(road: Road, place: int) -> Asked:
    asked = ask(road, place)
    approve(road, asked)
    return asked


def texts(road: Road) -> list[str | None]:
    """What is read of the messages, the whole log verified with its payloads."""
    found = [one.payload for one in verify(road) if isinstance(one.event, MessageSent)]
    return [None if payload is None else from_payload(payload, Reason).text for payload in found]


def test_nothing_is_lost_by_a_renewal_or_a_crash_in_it_and_purges_hold_before_and_after(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt comes one step further than the one before. Meanwhile everything is read, and nothing is purged."""
    first, second = positions(road)
    assert apply(road, asked_and_approved(road, first)) == 1
    asked = asked_and_approved(road, second)
    crash_at(road, keyrenewal, "end")
    assert (road.settings.keys / FORMER).exists()
    assert texts(road) == [None, SECOND]
    with pytest.raises(Busy, match="renew.*to its end"):
        apply(road, asked)
    assert len(road.events("keeper", ToolStarted)) == 1, "the second purge was refused before its start"
    crash_at(road, renewing.Renewing, "_tell")
    assert not road.events("root", KeyStorageRenewed)
    half = road.settings.keys / f"{FORMER}.destroyed"
    half.write_bytes(b"what a crash left between the name and the bytes of the key before")
    done = renew(road)
    assert not half.exists()
    assert (done.renewal, done.gone) == (1, 1)
    assert texts(road) == [None, SECOND]
    assert apply(road, asked) == 1
    hold_a_batch_back_until_ingest_is_waited_for(road, monkeypatch)
    with ThreadPoolExecutor(1) as thread, road.recorder("code-review") as author:
        renewed = thread.submit(renew, road)
        author.wait(author.send("infrastructure", "review", Reason(text=LATE), run="run-1"), SECONDS_MAX)
        again = renewed.result(SECONDS_MAX)
    assert (again.renewal, again.late >= 1, again.gone) == (2, True, 2)
    assert texts(road) == [None, None, LATE]
    assert [one.kept for one in road.events("root", KeyStorageRenewed) if isinstance(one, KeyStorageRenewed)] == [done.kept, again.kept]


def crash_at(road: Road, where: object, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch, open_renewing(road.settings) as renewal, pytest.raises(Crash):
        patch.setattr(where, name, crash)
        renewal.renew()


def hold_a_batch_back_until_ingest_is_waited_for(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload is wrapped, the storage key changes, and only then the payload is written."""
    wrapped, released = threading.Event(), threading.Event()
    append, change, end, tracked = road.ingest._store.append, keyrenewal.change, keyrenewal.end, PostgresReader.tracked

    def slowly(batch: Batch) -> range:
        if any(one.kind == "message.sent" for one in batch.entries) and not wrapped.is_set():
            wrapped.set()
            assert released.wait(SECONDS_MAX)
        return append(batch)

    def wait_first(keys: Path, paths: array[int], covered: int) -> int:
        assert wrapped.wait(SECONDS_MAX)
        return change(keys, paths, covered)

    def release_first(do: Callable[..., int]) -> Callable[..., int]:
        return lambda *arguments: (released.set(), do(*arguments))[1]

    monkeypatch.setattr(road.ingest._store, "append", slowly)
    monkeypatch.setattr(keyrenewal, "change", wait_first)
    monkeypatch.setattr(keyrenewal, "end", release_first(end))
    monkeypatch.setattr(PostgresReader, "tracked", release_first(tracked))


def crash(*_: object, **__: object) -> None:
    raise Crash

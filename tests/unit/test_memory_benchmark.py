"""What `make bench ARGS=--memory` measures: one log, made once, which every part reads from its first record on."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import memory, prepared
from benchmarks.memory import PARTS, measure
from benchmarks.prepared import NoRoomToMeasure, Prepared, prepare

EVENTS = 100


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("memory") / "records"
    prepare(file, EVENTS)
    return file


def test_whoever_reads_a_prepared_log_reads_the_same_records_each_once(file: Path) -> None:
    with Prepared(file) as once, Prepared(file) as again:
        together, apart = once.take(3 * EVENTS), [one for _ in range(3) for one in again.take(EVENTS)]
    assert together == apart
    assert len(set(together)) == len(together)


def test_a_prepared_log_ends_in_a_sentence(file: Path) -> None:
    with Prepared(file) as records, pytest.raises(EOFError, match=r"records ends here; prepare more events\."):
        records.take(EVENTS + prepared.AHEAD_EVENTS + 1)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_takes_its_first_steps_over_it(file: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SLICE_EVENTS", 500)
    with ExitStack() as stack:
        steps = PARTS[part](stack, stack.enter_context(Prepared(file)))
        assert sum(next(steps) for _ in range(3)) >= 1_000


def test_a_measurement_has_so_many_samples_and_each_of_so_many_events_or_more(file: Path) -> None:
    samples = measure("verify", EVENTS, file)
    assert [done >= EVENTS * tenth // 10 for tenth, (done, _) in enumerate(samples, start=1)] == [True] * 10
    assert all(mebibytes > 1 for _, mebibytes in samples)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * 2**30))
    with pytest.raises(NoRoomToMeasure, match=r"5,000,000 events need 13 GiB in .* and 10 are free\."):
        prepare(tmp_path / "records", 5_000_000)
    assert not list(tmp_path.iterdir())

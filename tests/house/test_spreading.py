"""Tests that share a part run on one worker: the mark that should have done it did nothing for weeks, without a word."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from xdist.workermanage import parse_tx_spec_config

from tests.house.tree import ROOT
from tests.spreading import LONGEST_FIRST, ON_ONE_WORKER, TOGETHER, GroupsOnOneWorker, group_of

COLLECTED = [
    "tests/unit/test_short.py::test_a", "tests/unit/test_short.py::test_b[x/y::z@w]", "tests/console/test_pages.py::test_a",
    "tests/unit/test_other.py::test_a", "tests/unit/test_other.py::test_b", "tests/console/test_many.py::test_a",
    "tests/end_to_end/test_demo.py::test_a", "tests/end_to_end/test_stops.py::test_a", "tests/end_to_end/test_tamper.py::test_a",
    "tests/unit/test_third.py::test_a", "tests/unit/test_third.py::test_b",
]  # fmt: skip


class Worker:
    """A worker that finishes each test at once, when it is asked to."""

    def __init__(self, name: str) -> None:
        self.gateway, self.given, self.shutting_down = SimpleNamespace(id=name), [], False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def spread() -> list[list[str]]:
    """What each of two workers was given, in order."""
    option = SimpleNamespace(loadscopereorder=True)
    config = SimpleNamespace(option=option, getvalue=lambda name: ["2*popen"] if name == "tx" else False)
    assert len(parse_tx_spec_config(config)) == 2
    scheduler, workers = GroupsOnOneWorker(config), [Worker("gw0"), Worker("gw1")]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, COLLECTED)
    scheduler.schedule()
    done = {worker.gateway.id: 0 for worker in workers}
    while scheduler.has_pending:
        for worker in workers:
            if done[worker.gateway.id] < len(worker.given):
                scheduler.mark_test_complete(worker, worker.given[done[worker.gateway.id]])
                done[worker.gateway.id] += 1
    return [[COLLECTED[index] for index in worker.given] for worker in workers]


def test_every_test_runs_once_and_no_group_is_split(spread: list[list[str]]) -> None:
    assert sorted(spread[0] + spread[1]) == sorted(COLLECTED)
    assert all(spread), "both workers have work"
    for shared in ("console/", "unit/test_short", "unit/test_other", "unit/test_third", ("end_to_end/test_demo", "end_to_end/test_tamper")):
        whole = [test for test in COLLECTED if test.removeprefix("tests/").startswith(shared)]
        assert [test for given in spread for test in given if test in whole] == whole
        assert any(set(whole) <= set(given) for given in spread), f"{shared} is split"


def test_the_longest_groups_come_first(spread: list[list[str]]) -> None:
    assert [group_of(given[0]) for given in spread] == ["console", "end_to_end/test_stops"]


def test_what_the_groups_name_is_there() -> None:
    files = {path.relative_to(ROOT / "tests").with_suffix("").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert all((ROOT / "tests" / folder).is_dir() for folder in ON_ONE_WORKER)
    assert files >= TOGETHER.keys() | set(TOGETHER.values())
    assert files | ON_ONE_WORKER >= set(LONGEST_FIRST)


def test_make_test_spreads_by_these_groups() -> None:
    assert "--dist loadscope " in (ROOT / "Makefile").read_text()

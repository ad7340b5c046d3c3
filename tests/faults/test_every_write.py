"""The fault table of everything that lies in files: each write of each piece of work, failed, and failed but persisted.

After each fault, of which the process dies or is told an error, the ordinary road leads to the same end as without it. The
writes are counted, not chosen: a run without faults shows them all, and the table below holds their names, so that a new
one does not pass unnoticed.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from tenuto.errors import Busy, NotConfigured

from tests.faults.points import Crash, Fault, Points, faulty_disk
from tests.faults.table import TABLE, WHO_TESTS
from tests.faults.works import WORKS, Work
from tests.house.tree import ROOT

FORMS = {
    "it dies, and nothing is there": (False, True), "it dies, and it is there": (True, True),
    "it is told, and nothing is there": (False, False), "it is told, but it is there": (True, False),
}  # fmt: skip
ATTEMPTS_MAX = 5
WRITES = re.compile(
    r"write_durably\(|move_durably\(|puncture\(|write_bytes\(|write_text\(|os\.fsync\(|\.rename\(|os\.link\(|\.open\(\"[wa]|create_key\(|\"COMMIT\"|"
    r"engine\.begin\(|_publisher\.publish\(|_store\.append\(|connection\.transaction\(|"
    r"\.replace\((?:self\._|home|target|settings\.keys|keys /|path\b)"
)
"""How our code writes; that the pattern still finds what it should is shown by the list, which names it all."""


def undisturbed(name: str, home: Path, points: Points) -> tuple[list[str], object]:
    """Carry the work to its end without faults; return its writes, and its end."""
    with faulty_disk(points, home):
        work = WORKS[name](home)
        points.arm(None)
        work.do()
        seen = list(points.seen)
    try:
        return seen, work.end()
    finally:
        work.restart()


def carry_on(work: Work, points: Points, fault: Fault) -> None:
    """Meet the fault, then go on by the ordinary road."""
    points.arm(fault)
    for attempt in range(ATTEMPTS_MAX):
        try:
            work.do()
        except Crash:
            points.revive()
            work.restart()
        except (OSError, sqlite3.Error, Busy, NotConfigured) as told:
            # What cannot even start ends the process; whoever goes on and fails again is started again as well.
            if attempt > 1 or isinstance(told, NotConfigured):
                work.restart()
        else:
            points.revive()
            return
    raise AssertionError("the work does not come to its end")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", WORKS)
def test_after_a_fault_at_any_write_the_ordinary_road_leads_to_the_same_end(name: str, form: str, tmp_path: Path) -> None:
    points, (persisted, dies), wrong = Points(), FORMS[form], list[str]()
    seen, expected = undisturbed(name, tmp_path / "whole", points)
    for number in first_and_last(seen):
        point, home = seen[number], tmp_path / str(number)
        with faulty_disk(points, home):
            points.revive()
            work = WORKS[name](home)
            try:
                carry_on(work, points, Fault(number, persisted, dies))
                if (found := work.end()) != expected:
                    wrong.append(f"{point}: the end is {found}, not {expected}")
            except Exception as error:  # told with the write that it came after
                wrong.append(f"{point}: {type(error).__name__}: {error}")
            finally:
                work.restart()
    assert not wrong, "\n".join(wrong)


def named(point: str) -> str:
    """The name of a write, without what is different in every run."""
    return re.sub(r"\d+", "#", re.sub(r"[0-9a-f]{64}", "#", point))


def first_and_last(seen: list[str]) -> list[int]:
    """Where the first and the last write of each name are."""
    places = {named(point): number for number, point in enumerate(seen)}
    return sorted({*places.values(), *({named(point): number for number, point in reversed(list(enumerate(seen)))}.values())})


@pytest.mark.parametrize("name", WORKS)
def test_the_table_names_every_write(name: str, tmp_path: Path) -> None:
    seen, _ = undisturbed(name, tmp_path / "home", Points())
    listed = {write.strip() for write in " ".join(TABLE[name].split()).split(",")}
    assert {named(point) for point in seen} == listed


def test_every_module_that_writes_has_its_place_in_a_fault_table() -> None:
    """A new place that writes is tested like the others, or says here why it need not be."""
    folders = (ROOT / "core" / "tenuto", ROOT / "projections" / "tenuto_projections")
    files = [file for folder in folders for file in folder.rglob("*.py")]
    writing = {file.relative_to(ROOT).as_posix() for file in files if WRITES.search(file.read_text(encoding="utf-8"))}
    assert writing == set(WHO_TESTS)
    for where in WHO_TESTS.values():
        if not where.startswith("("):
            assert (ROOT / where).exists() or where in WORKS, f"there is no {where}"

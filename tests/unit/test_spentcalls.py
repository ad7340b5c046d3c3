"""A call is admitted once: by one of many servers, before and after a crash, and whatever the disk says."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenuto.adapters import spentcalls
from tenuto.adapters.spentcalls import KEPT, SpentFolder
from tenuto.clock import Clock
from tenuto.errors import Refused


class Now(Clock):
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def taken(folder: Path, call: str, agent: str = "deployment") -> bool:
    try:
        SpentFolder(folder, Now()).spend(agent, call)
    except Refused:
        return False
    return True


def test_of_many_servers_one_is_let_through(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            assert sum(pool.map(lambda _, call=f"call-{number}": taken(tmp_path / "admitted", call), range(8))) == 1


def test_a_call_of_another_agent_is_another_call(tmp_path: Path) -> None:
    assert [taken(tmp_path, "call-1", name) for name in ("deployment", "infrastructure", "deployment")] == [True, True, False]


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed, but it is there"])
@pytest.mark.parametrize("what", ["open", "flush_folder"])
def test_a_disk_that_fails_lets_nobody_through_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, persisted: bool
) -> None:
    """Failed: the caller was not told that it is spent, so nothing was done, and it may be tried again or is refused."""
    place = os if what == "open" else spentcalls
    genuine = getattr(place, what)

    def failing(*about: object) -> object:
        if persisted and what == "open":
            os.close(genuine(*about))
        raise OSError(28, "No space left on device")

    folder = SpentFolder(tmp_path / "admitted", Now())
    with monkeypatch.context() as patched:
        patched.setattr(place, what, failing)
        with pytest.raises(OSError, match="No space"):
            folder.spend("deployment", "call-1")
    there = persisted or what == "flush_folder"
    assert taken(tmp_path / "admitted", "call-1") is not there
    assert not taken(tmp_path / "admitted", "call-1")


def test_what_is_too_old_to_count_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    assert taken(tmp_path, "old")
    assert taken(tmp_path, "new")
    (old,) = [file for file in tmp_path.iterdir() if file.name == spentcalls.name_of("deployment", "old")]
    long_ago = (datetime.now(UTC) - KEPT - timedelta(seconds=5)).timestamp()
    os.utime(old, (long_ago, long_ago))
    assert not taken(tmp_path, "new")
    assert not old.exists()

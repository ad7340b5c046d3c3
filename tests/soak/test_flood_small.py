"""A small flood in a real browser: three people, a cap that fills, an hour that passes, and everything is decided.

The soak test of the same name does it with 200 requests. Here each person decides twice in an hour, so that the cap is
reached, what waits says until when, and the rest is routed once the hour is over, within a test's patience. The hour passes
because the test sets the clock of the processes ahead (`set_clock`), as an operator could set a machine's.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.console.running import find_browser
from tests.end_to_end.flood import flooded, review_everything, verify, verify_by_command

COUNT, PER_HOUR = 9, 2


def program() -> str:
    """The browser; CI must have one."""
    found = find_browser()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("CI needs a Chromium: install one, or name it in CHROMIUM.")
    if found is None:
        pytest.skip("No Chromium on this machine; name one in CHROMIUM.")
    return found


@pytest.mark.timeout(900)
def test_a_flood_is_reviewed_within_the_caps_and_nothing_starves(tmp_path: Path, database: Database) -> None:
    browser = program()
    with flooded(tmp_path / "home", database, COUNT, PER_HOUR) as flood:
        hours = review_everything(flood, browser, COUNT)
        assert [made for made, _ in hours] == [6, 9]
        assert len(hours[0][1]) == COUNT - 6
        verify(flood, hours, COUNT, PER_HOUR)
        verify_by_command(flood)

"""Python imports this by itself at the start of every process that has this folder on its path: its clock is set ahead.

All of Tenuto asks the machine for the time at one place, `tenuto.clock.SystemClock` (a house test keeps everything else
from it), and that one place is what is set, by as many seconds as a file says at the moment. Steady clocks stay alone, so
nothing waits longer or shorter. libfaketime would do the same from outside, and its time.sleep fails under Python 3.11.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

if "AHEAD_SECONDS_FILE" in os.environ:
    from tenuto import clock

    FILE = Path(os.environ["AHEAD_SECONDS_FILE"])
    MACHINE = clock.SystemClock.now

    def now(self: clock.SystemClock) -> datetime:
        """What the machine says, and what the test added to it."""
        return MACHINE(self) + timedelta(seconds=int(FILE.read_text("utf-8")))

    clock.SystemClock.now = now  # type: ignore[method-assign]

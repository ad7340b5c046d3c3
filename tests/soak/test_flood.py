"""The flood at its full size: 200 requests, three people, ten decisions of each in an hour, until everything is decided.

FLOOD_REQUESTS sets another number. What happened is printed: how long it took, and for each hour what was decided and what
waited until when.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from tests.conftest import Database
from tests.end_to_end.flood import flooded, review_everything, verify, verify_by_command
from tests.soak.test_flood_small import program

COUNT = int(os.environ.get("FLOOD_REQUESTS", "200"))
PER_HOUR = 10


def test_the_whole_flood_is_reviewed_within_the_caps_and_nothing_starves(tmp_path: Path, database: Database) -> None:
    browser, began = program(), monotonic()
    with flooded(tmp_path / "home", database, COUNT, PER_HOUR) as flood:
        hours = review_everything(flood, browser, COUNT)
        print(f"\n{COUNT} requests were decided in {monotonic() - began:.0f} s and {len(hours)} hours of the ledger's time.")
        for number, (made, waits) in enumerate(hours, 1):
            until = min((one.until for one in waits if one.until), default=None)
            print(f"hour {number}: {made} decisions so far, {len(waits)} requests wait" + (f" until {until:%H:%M:%S}" if until else ""))
        verify(flood, hours, COUNT, PER_HOUR)
        verify_by_command(flood)
        states = [flood.desk.approvals.standing(name, flood.clock.now()).state for name in flood.desk.approvals.requests()]
        whys = [event.why for event in flood.assignments()]
        print(f"{states.count('consumed')} executed once each, {states.count('denied')} denied; {len(flood.events)} events verified and replayed.")
        print(", ".join(f"{whys.count(why)} {why}" for why in sorted(set(whys))))

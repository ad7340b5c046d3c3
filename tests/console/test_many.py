"""The console over many events and many requests asks the database no more than over few, and fetches what it shows.

`python -m benchmarks.console` measures the same with a thousand requests and a million events, in milliseconds.
"""

from __future__ import annotations

import streamlit as st
from tenuto.events import ApprovalOpened
from tenuto_dashboard import session
from tenuto_projections.coverage.model import EXERCISES_SHOWN_MAX
from tenuto_projections.reviewed import DECISIONS_MAX

from benchmarks.console import Counted
from benchmarks.past import APPROVALS_EVERY, FIRST_PENDING, fill
from tests.console.planted import Planted, digest
from tests.console.test_decisions import RecordingDoor
from tests.console.test_pages import page

PENDING, EVENTS = 300, 40_000
QUERIES_MAX, ROWS_MAX = 20, 220
"""What a page may ask after everything has moved, and how many rows may come back, however many there are."""
PAGES = ("inbox", "review", "spotchecks", "runs", "reviewers", "policy", "alerts", "fleet", "coverage", "integrity", "passkeys")


def asked(name: str) -> tuple[int, int]:
    """How many queries and rows one page takes after the read models have moved."""
    query = {"approval": FIRST_PENDING} if name == "review" else {}
    counted = Counted(session.engine())
    st.cache_resource.clear()
    return counted.of(lambda: page(name, **query))


def test_a_page_asks_as_little_over_a_long_log_as_over_a_short_one(planted: Planted, door: RecordingDoor) -> None:  # noqa: ARG001, F811
    fill(planted, pending=PENDING, events=EVENTS)
    found = {name: asked(name) for name in PAGES}
    assert max(queries for queries, _ in found.values()) <= QUERIES_MAX, found
    # The inbox sorts every request, by five short columns, and says of each that waits until when; the rest it does not fetch.
    assert found.pop("inbox")[1] <= 2 * PENDING + ROWS_MAX
    # Rates over weeks are made of the decisions themselves, of so many at most, and not anew with each event.
    assert found.pop("reviewers")[1] <= min(EVENTS // APPROVALS_EVERY, DECISIONS_MAX) + ROWS_MAX
    # Of thousands of attacks the newest are listed, and one of each kind is judged by.
    assert found.pop("coverage")[1] <= EXERCISES_SHOWN_MAX + ROWS_MAX
    assert max(rows for _, rows in found.values()) <= ROWS_MAX, found
    page("reviewers")
    planted.write("second-reviewer", ApprovalOpened, approval=FIRST_PENDING, digest=digest(FIRST_PENDING))
    session._integrity.clear()  # noqa: SLF001 - the second for which a look holds is over
    assert counted_again("reviewers")[1] <= ROWS_MAX, "an event makes nobody count the decisions of a month again"


def counted_again(name: str) -> tuple[int, int]:
    """How many queries and rows a page takes that was drawn a moment ago, and after which something happened."""
    counted = Counted(session.engine())
    return counted.of(lambda: page(name))

"""The console over many events and many requests asks the database no more than over few, and fetches what it shows.

`python -m benchmarks.console` measures the same with a thousand requests and a million events, in milliseconds.
"""

from __future__ import annotations

import streamlit as st
from tenuto_dashboard import session

from benchmarks.console import Counted
from benchmarks.past import FIRST_PENDING, fill
from tests.console.planted import Planted
from tests.console.test_decisions import RecordingDoor
from tests.console.test_pages import page

PENDING, EVENTS = 300, 20_000
QUERIES_MAX, ROWS_MAX = 20, 220
"""What a page may ask after everything has moved, and how many rows may come back, however many there are."""
PAGES = ("inbox", "review", "runs", "alerts", "fleet", "integrity")


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
    assert max(rows for _, rows in found.values()) <= ROWS_MAX, found

"""What an open inbox asks the database: the same with two hundred requests as with twenty, and next to nothing while nothing happens."""

from __future__ import annotations

from typing import Any

import streamlit as st
from tenuto.events.approval import ApprovalAssigned
from tenuto_dashboard import session
from tenuto_dashboard.app_pages.inbox import ALL, DECIDED, MINE, ROWS, VIEWS, WAITING

from benchmarks.console import Counted
from tests.console import story
from tests.console.pages import checked, drawn, page
from tests.console.planted import Planted
from tests.console.test_decisions import RecordingDoor

FEW, MANY = 20, 200
LOOK_MAX = 4
"""The questions of one look at where the log stands; a process looks once a second at most, whoever has it open."""


def waiting(planted: Planted, numbers: range) -> None:
    """Let so many more requests wait, every other one on the reader's desk."""
    with planted.held():
        for number in numbers:
            name = f"waiting-{number:03}"
            story.request(planted, story.Ask(name, f"run-{name}", f"Change {number:03}", "One thing changes.", minutes=240))
            if number % 2:
                planted.write("router", ApprovalAssigned, approval=name, reviewer=story.REVIEWER, why="next_free")
    planted.seal()


def asked(counted: Counted, test: Any) -> int:
    """Return how many questions a drawing takes after everything has moved."""
    st.cache_resource.clear()
    return counted.of(lambda: checked(test.run()))[0]


def asked_by_view(counted: Counted) -> dict[str, int]:
    test = page("inbox")
    return {view: asked(counted, test.button_group[0].set_value(view)) for view in VIEWS}


def test_an_open_inbox_asks_no_more_with_two_hundred_requests_than_with_twenty(planted: Planted, door: RecordingDoor) -> None:
    story.tell(planted)
    counted = Counted(session.engine())
    waiting(planted, range(FEW))
    few = asked_by_view(counted)
    waiting(planted, range(FEW, MANY))
    many = asked_by_view(counted)
    assert few.keys() == {MINE, ALL, WAITING, DECIDED}
    assert few == many
    test = checked(page("inbox").button_group[0].set_value(ALL).run())
    assert drawn(test).count("One thing changes.") > ROWS / 2, "a whole page of the list was drawn"
    session._integrity.clear()  # noqa: SLF001 - the second for which a look holds is over
    assert counted.of(lambda: checked(test.run()))[0] <= LOOK_MAX, "while nothing happens, nobody asks but where the log stands"

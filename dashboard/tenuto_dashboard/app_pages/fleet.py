"""Agents, people and processes, with the keys they sign with."""

from __future__ import annotations

from tenuto_projections.fleet import fleet

from tenuto_dashboard import session
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing
from tenuto_dashboard.pages import follow
from tenuto_dashboard.people import fleet_table
from tenuto_dashboard.sheet import box, show


def draw() -> None:
    """Draw the page."""
    title = box("", box("", "Fleet", tag="h1"), box("lead", "Who may sign, with which keys, and who answers for them.", tag="p"))
    show(title, key="title", now=session.now())
    following()


@live
def following() -> None:
    """The table follows the ledger."""
    authors = session.answer("fleet", fleet)
    view = fleet_table(authors) if authors else nothing("Nobody is registered", "Authors appear with their first key.")
    follow(show(view, key="fleet", now=session.now()))

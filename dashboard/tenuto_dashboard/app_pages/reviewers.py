"""Who reviews, how much, how fast and how well: so that a team sees who is drowning before the queue does."""

from __future__ import annotations

from tenuto_projections.reviewed import qualities, records

from tenuto_dashboard import session
from tenuto_dashboard.crew import crew, explained
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing
from tenuto_dashboard.sheet import box, show


def draw() -> None:
    """Draw the page."""
    title = box("", box("", "Reviewers", tag="h1"), box("lead", "Load, speed and care of everybody who decides, from the ledger.", tag="p"))
    show(title, key="title", now=session.now())
    following()
    show(explained(), key="explained", now=session.now())


@live
def following() -> None:
    """The table follows the ledger."""
    now, rooms = session.now(), session.rooms()
    if not rooms:
        show(nothing("Nobody reviews", "A reviewer appears with the first key or passkey."), key="crew", now=now)
        return
    found = session.lately("records", lambda connection: records(connection, now))
    said = session.answer("qualities", qualities)
    show(crew(rooms, found, said, now), key="crew", now=now)

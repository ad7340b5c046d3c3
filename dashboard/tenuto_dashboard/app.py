"""The approval console: `tenuto console` runs this script. It lists the pages; what they show is theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from tenuto_dashboard import entrance, session
from tenuto_dashboard.app_pages import (
    alerts,
    coverage,
    fleet,
    inbox,
    integrity,
    passkeys,
    policy,
    review,
    reviewers,
    runs,
    spotchecks,
)
from tenuto_dashboard.live import live, turn_the_page, with_words
from tenuto_dashboard.masthead import alarm, brand, keyboard, masthead, signer
from tenuto_dashboard.pages import follow, remember
from tenuto_dashboard.sheet import ASSETS, show
from tenuto_dashboard.way_back import way_back

MARK = Path(ASSETS / "mark.svg")
HIDDEN = ("review", "start")
"""Pages that no list of pages names: one is reached from a request, the other leads on at once."""


def main() -> None:
    """Draw the frame, then the page that the address names."""
    st.set_page_config(page_title="Tenuto", page_icon=str(MARK), layout="wide", initial_sidebar_state="expanded")
    st.html(ASSETS / "frame.css")
    turn_the_page()
    pages = {
        "inbox": st.Page(inbox.draw, title="Inbox", icon=":material/inbox:", url_path="inbox"),
        "spotchecks": st.Page(spotchecks.draw, title="Spot checks", icon=":material/casino:", url_path="spotchecks"),
        "runs": st.Page(runs.draw, title="Runs", icon=":material/conversion_path:", url_path="runs"),
        "reviewers": st.Page(reviewers.draw, title="Reviewers", icon=":material/how_to_reg:", url_path="reviewers"),
        "policy": st.Page(policy.draw, title="Policy", icon=":material/gavel:", url_path="policy"),
        "alerts": st.Page(alerts.draw, title="Alerts", icon=":material/notifications:", url_path="alerts"),
        "fleet": st.Page(fleet.draw, title="Fleet", icon=":material/group:", url_path="fleet"),
        "coverage": st.Page(coverage.draw, title="Coverage", icon=":material/shield:", url_path="coverage"),
        "integrity": st.Page(integrity.draw, title="Integrity", icon=":material/verified_user:", url_path="integrity"),
        "passkeys": st.Page(passkeys.draw, title="Passkeys", icon=":material/key:", url_path="passkeys"),
        "review": st.Page(review.draw, title="Review", url_path="review", visibility="hidden"),
        "start": st.Page(start, title="Tenuto", default=True, visibility="hidden"),
    }
    remember(pages)
    page = st.navigation(list(pages.values()), position="hidden")
    with_words(admitted, pages, page.run)


def admitted(pages: dict[str, Any], draw: Callable[[], None]) -> None:
    """Draw frame and page for a reviewer, and the entrance for everybody else."""
    who = session.admission()
    if who.reviewer is None:
        entrance.draw(who)
        return
    with st.sidebar:
        show(brand(), key="brand", now=session.now())
        for name, listed in pages.items():
            if name not in HIDDEN:
                st.page_link(listed, width="stretch")
        show(keyboard(), key="keyboard", now=session.now())
        whose()
        if session.with_login():
            st.button("Log out", on_click=st.logout, width="stretch")
    top()
    with_words(draw)


def start() -> None:
    """Lead on to where somebody wanted to go before he logged in, or to the inbox.

    Streamlit's default page has no path of its own, and `/inbox` is what people are told.
    """
    target = way_back() if session.with_login() else {"page": "inbox"}
    if target is not None:
        follow(target)
        follow({"page": "inbox"})  # the address was that of no page


@live
def top() -> None:
    """The line above every page, and what must be read before anything else."""
    here, now = session.snapshot(), session.now()
    follow(show(masthead(here, session.origin(), now), key="top", now=now))
    warning = alarm(here.integrity, now)
    if warning is not None:
        show(warning, key="alarm", now=now)


@live
def whose() -> None:
    """In whose name this console signs, at the foot of the sidebar."""
    show(signer(session.reviewer(), session.snapshot()), key="signer", now=session.now())


if __name__ == "__main__":
    main()

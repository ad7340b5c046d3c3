"""What stands before the console where people log in: a way in, a way out, and for whom nobody has said yet who they are."""

from __future__ import annotations

import streamlit as st

from . import session
from .admission import Admission
from .live import live
from .marks import notice
from .masthead import brand
from .sheet import Node, box, show, word
from .way_back import keep_way_back


def draw(who: Admission) -> None:
    """Ask somebody to log in, or say to whom a login belongs to nobody here, and what an administrator has to run."""
    keep_way_back()
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        show(box("stack", brand(), said(who, session.settings().login_hours)), key=f"entrance {who.state}", now=session.now())
        if who.state == "unbound":
            st.button("Log out", on_click=st.logout, width="stretch")
        else:
            st.button("Log in", type="primary", on_click=st.login, width="stretch")
    until_admitted(who.state)


@live
def until_admitted(state: str) -> None:
    """Go on by itself once the ledger says something else, so that nobody has to guess when to load the page again."""
    if session.admission().state != state:
        st.rerun()


def said(who: Admission, hours: int) -> Node:
    """Return what somebody is told who is not admitted."""
    if who.state == "expired":
        return notice("amber", word("strong", "Log in again"), box("", f"A login is good for {hours} hours, and yours is older."))
    if who.state != "unbound":
        return notice("blue", word("strong", "Log in to review"), box("", "Your login says who you are. What you may do, the ledger says."))
    command = f"tenuto reviewer bind NAME {who.identity} --as ADMINISTRATOR"
    return notice(
        "amber", word("strong", "You are logged in, and nobody has said which reviewer you are"),
        box("", "Your login is ", word("mono", who.subject), " at ", word("mono", who.issuer), "."),
        box("", "An administrator who knows you has to run this, with your name on the roster:"),
        box("text mono", command), box("", "Nothing else admits you, and no role that your provider gives you is looked at."),
    )  # fmt: skip

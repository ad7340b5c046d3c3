"""What decides before people do: the bundle, its rules, whether they work, and what they said lately, denials first."""

from __future__ import annotations

import streamlit as st
from tenuto.policy.decision import ERROR_RULE
from tenuto_projections.rulings import counts, deciders, recent

from tenuto_dashboard import ruled, session
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import notice
from tenuto_dashboard.pages import follow
from tenuto_dashboard.sheet import box, show

SHOWN = 20


def draw() -> None:
    """Draw the page."""
    title = box("", box("", "Policy", tag="h1"), box("lead", "The rules that every tool call meets first, and what they said.", tag="p"))
    show(title, key="title", now=session.now())
    following()


@live
def following() -> None:
    """The page follows the ledger; the rules are those of this machine, read again once a minute."""
    now, book = session.now(), session.rulebook()
    counted = session.answer("rule counts", lambda connection: counts(connection, now))
    errors = counted.get(ERROR_RULE, {}).get("deny", 0)
    if errors:
        verb = "denial" if errors == 1 else "denials"
        said = f"{errors:,} {verb} in the last 7 days came from no rule: the engine gave no answer that can be trusted. Look at its log."
        show(notice("red", said), key="errors", now=now)
    left, right = st.columns(2, gap="medium")
    with left:
        show(ruled.decider(session.answer("deciders", deciders), book), key="decider", now=now)
    with right:
        show(ruled.canaries(book, now), key="canaries", now=now)
    denied = session.answer("denied", lambda connection: recent(connection, "deny", SHOWN))
    allowed = session.answer("allowed", lambda connection: recent(connection, "allow", SHOWN))
    follow(show(ruled.answers("Denied", denied, "Nothing was denied."), key="denied", now=now))
    show(ruled.rules(book, counted), key="rules", now=now)
    follow(show(ruled.answers("Allowed", allowed, "Nothing was allowed."), key="allowed", now=now))

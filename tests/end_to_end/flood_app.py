"""The console's own script; who is looking is said by the browser's context, in place of a login.

Everything behind it is the console's: pages, read models, doors, keys. Each of the three people has a browser context that
has the name in a cookie, where a login would have its token.
"""

from __future__ import annotations

import streamlit as st
from tenuto_dashboard import app, session
from tenuto_dashboard.admission import Admission

COOKIE = "reviewer"


def admission(*, fresh: bool = False) -> Admission:  # noqa: ARG001 - the cookie does not change within a session
    """Who sent the cookie when this session began; a connection that is closing has none any more."""
    if COOKIE not in st.session_state:
        st.session_state[COOKIE] = st.context.cookies[COOKIE]
    return Admission("open", st.session_state[COOKIE])


session.admission = admission
app.main()

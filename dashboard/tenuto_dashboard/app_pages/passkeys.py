"""Passkeys: make one in this browser, and see which are offered, which sign, and which are revoked."""

from __future__ import annotations

import secrets
from datetime import datetime

import streamlit as st
from tenuto.errors import TenutoError
from tenuto.events import PasskeyOffered
from tenuto_projections.signers import HeldPasskey, passkeys

from tenuto_dashboard import session
from tenuto_dashboard.live import live
from tenuto_dashboard.marks import nothing, notice
from tenuto_dashboard.passkey_button import passkey_button
from tenuto_dashboard.passkeys import Page, making_options, offer_of
from tenuto_dashboard.sheet import Node, box, moment, show, word

CHALLENGE, MADE, REFUSED = "passkey challenge", "passkey made", "passkey refused"
BUTTON = "make a passkey"
SHOWN = 16
TONES = {"offered": "amber", "active": "green", "revoked": "gray"}
_NOWHERE = (
    "This console has no address that a passkey can belong to. Name the one that people open it by, https and a domain, in"
    " TENUTO_CONSOLE_URL, and start it anew."
)


def draw() -> None:
    """Draw the page."""
    making()
    held()


@live
def making() -> None:
    """The way to a passkey: the button, what became of it, and who is to be asked next."""
    now, page = session.now(), session.page()
    said = "A passkey signs your decisions on your own device, so that not even this console can make or change one."
    show(box("stack tight", box("", "Passkeys", tag="h1"), word("soft", said)), key="passkeys-head", now=now)
    if page is None:
        show(notice("amber", _NOWHERE), key="nowhere", now=now)
        return
    elsewhere = opened_elsewhere(st.context.url, page)
    if elsewhere:
        show(notice("amber", elsewhere), key="elsewhere", now=now)
    name = session.reviewer()
    mine = session.signing().passkeys
    excluded = [one.credential_id for one in mine if one.state != "revoked" and one.web_origin == page.web_origin]
    challenge = st.session_state.setdefault(CHALLENGE, secrets.token_bytes(32))
    options = making_options(page, name, excluded, challenge)
    passkey_button(f"Make a passkey for {name}", "make", options, key=BUTTON, on_answer=lambda: _made(page, name))
    made = st.session_state.get(MADE)
    if made and made not in {one.credential for one in mine}:
        show(notice("blue moving", "Your passkey is made and on its way to the ledger."), key="made", now=now)
    refused = st.session_state.get(REFUSED)
    if refused:
        show(notice("red", refused), key="refused", now=now)


@live
def held() -> None:
    """What the ledger knows: mine first, then everybody's."""
    now, name = session.now(), session.reviewer()
    everybody = session.answer("passkeys", passkeys)
    show(_listed("Yours", [one for one in everybody if one.reviewer == name], now), key="mine", now=now)
    others = [one for one in everybody if one.reviewer != name]
    if others:
        show(_listed("Of others", others, now), key="others", now=now)


def opened_elsewhere(url: str | None, page: Page) -> str:
    """Say that the browser shows this page under an address at which no passkey of the console works; "" when it does not."""
    if url is None or url == page.web_origin or url.startswith(page.web_origin + "/"):
        return ""
    return f"You opened this console under another address. Passkeys work at {page.web_origin} only; open it there."


def next_step(one: HeldPasskey) -> str:
    """Return the command by which an administrator goes on with a passkey."""
    if one.state == "offered":
        return f"tenuto passkey enrol {one.credential[:SHOWN]} --owner PERSON --as ADMINISTRATOR"
    return f"tenuto passkey revoke {one.credential[:SHOWN]} --reason lost --as ADMINISTRATOR" if one.state == "active" else ""


def _made(page: Page, name: str) -> None:
    answer = getattr(st.session_state[BUTTON], "answer", None)
    challenge = st.session_state.pop(CHALLENGE, b"")
    for key in (MADE, REFUSED):
        st.session_state.pop(key, None)
    if answer is None:
        return
    try:
        offer = offer_of(page, name, challenge, str(answer))
        session.reviewer(fresh=True)
        session.measure().record(PasskeyOffered, **offer)
    except TenutoError as refusal:
        st.session_state[REFUSED] = str(refusal)
    else:
        st.session_state[MADE] = offer["credential"]


def _listed(title: str, some: list[HeldPasskey], now: datetime) -> Node:
    if not some:
        return nothing(title, "No passkey yet.")
    head = box("panel-head", box("", title, tag="h2"), word("right", f"{len(some):,}"))
    return box("panel", head, *(_row(one) for one in some))


def _row(one: HeldPasskey) -> Node:
    top = box(
        "top", word(f"badge {TONES[one.state]}", one.state), word("strong", one.reviewer),
        word("mono", one.credential[:SHOWN], copy=one.credential, title=one.credential), word("soft", "made ", moment(one.offered, "ago")),
    )  # fmt: skip
    about = f"For {one.web_origin}."
    if one.since is not None:
        about += f" Enrolled as {one.owner} at position {one.since:,}."
    if one.until is not None:
        about += f" Revoked at position {one.until:,}: nothing that it signs counts from there on."
    command, who = next_step(one), {"offered": "It signs nothing before an administrator runs this: ", "active": "Lost? Have an administrator run: "}
    step = box("under", who[one.state], word("mono", command)) if command else None
    return box("item", top, box("under", about), step)

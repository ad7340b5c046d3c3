"""The passkey button on a page of its own: makes a passkey, then signs one ballot, and writes down what came of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import streamlit as st
from tenuto_dashboard.passkey_button import passkey_button
from tenuto_dashboard.passkeys import (
    Ballot,
    NoAnswer,
    assertion_of,
    making_options,
    new_nonce,
    offer_of,
    page_at,
    signing_options,
)

PAGE = page_at(st.query_params.get("page", os.environ["PASSKEY_PAGE"]))  # where the console believes to stand
WRITTEN = Path(os.environ["PASSKEY_FILE"])
state = st.session_state
state.setdefault("challenge", os.urandom(32))
state.setdefault("nonce", new_nonce())


def write(**fields: object) -> None:
    with WRITTEN.open("a") as file:
        file.write(json.dumps(fields) + "\n")


held = [state.offer["credential_id"]] if "offer" in state else []
made = passkey_button("Make a passkey", "make", making_options(PAGE, "lena", held, state.challenge), key="make")
if made is not None:
    try:
        state.offer = offer_of(PAGE, "lena", state.challenge, made)
        write(offer=state.offer)
        st.rerun()
    except NoAnswer as refusal:
        write(refused=str(refusal))
if "offer" in state:
    ballot = Ballot("tenuto.test/log", "a-1", "d" * 64, "approve", "c" * 64, "lena", state.nonce)
    signed = passkey_button("Approve", "sign", signing_options(PAGE, held, ballot), key="sign")
    if signed is not None:
        try:
            write(assertion=str(assertion_of(ballot, signed)), nonce=ballot.nonce)
        except NoAnswer as refusal:
            write(refused=str(refusal))

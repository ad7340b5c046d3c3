"""The button behind which the browser's authenticator stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from .sheet import ASSETS, noted, script

Mode = Literal["make", "sign"]


def passkey_button(
    label: str, mode: Mode, options: str, *, key: str, kind: str = "primary", disabled: bool = False,
    on_answer: Callable[[], None] = noted, keys: str = "",
) -> str | None:  # fmt: skip
    """Draw the button; return what the browser answered, as JSON, if it was pressed since the last run.

    `options` are those of `passkeys.making_options` or `passkeys.signing_options`, `kind` is primary or secondary. `on_answer`
    is called before that run, with the answer in the session's state under `key`. `keys` press it as well: Ctrl+Enter, or
    Ctrl+Shift+Enter.
    """
    data = {"label": label, "mode": mode, "options": options, "kind": kind, "disabled": disabled, "keys": keys}
    result = _BUTTON(key=key, data=data, on_answer_change=on_answer)
    answer = result.get("answer")
    return None if answer is None else str(answer)


_BUTTON = st.components.v2.component(
    "tenuto.passkey",
    html='<button type="button"></button>',
    css=(ASSETS / "passkey.css").read_text("utf-8"),
    js=script("passkey.js"),
)

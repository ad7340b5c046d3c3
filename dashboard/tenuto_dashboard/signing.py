"""The signature at the foot of a page: by the reviewer's passkey where there is one, by the console's configured key else.

A page says what is to be decided and how it is recorded, in one line: `signing.ask(Matter(...), record)`. Whose hand it is,
whether it may sign, and what the browser answered is settled here, at the moment of signing and not when the page was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from tenuto.errors import TenutoError
from tenuto.events.base import Event

from . import session
from .decisions import Door, NotSigned
from .hands import CarryingDoor, Hand
from .live import AWAY
from .marks import demo_badge, notice
from .pages import follow
from .passkey_button import passkey_button
from .passkeys import Ballot, assertion_of, challenge_in, new_nonce, signing_options
from .sheet import Node, box, link, moment, short, show, word

REASON, REFUSED, BALLOTS = "reason", "refused", "ballots"
"""What a session remembers of a matter, each together with its name."""
BALLOTS_MAX = 16
LONG_SECONDS = 15.0
"""A receipt that takes longer deserves a word; usually it takes less than two."""
_WORDS = {"approve": "approval", "deny": "denial", "agree": "agreement", "disagree": "disagreement"}

KEYS = {"approve": "Ctrl+Shift+Enter", "agree": "Ctrl+Shift+Enter", "deny": "Ctrl+Enter", "disagree": "Ctrl+Enter"}
"""One key more to let pass than to stop: whoever slips denies, and a denial without a reason is not signed."""

Record = Callable[[Door, str, str], Event]
"""Records a decision, given the door, the decision and the reason; raises a TenutoError, and nothing was signed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One button. `decision` is the word that is signed, `coverage` what was seen (an approval's), `off` why it is off."""

    decision: str
    label: str
    kind: Literal["primary", "secondary"]
    coverage: str | None = None
    off: str = ""


@dataclass(frozen=True, slots=True)
class Matter:
    """What is to be decided: the request's name, the digest that was on screen, and what can be said about it."""

    approval: str
    digest: str
    choices: tuple[Choice, ...]
    placeholder: str
    title: str = "Your decision"


def ask(matter: Matter, record: Record) -> None:
    """Draw reason and buttons; a decision that is signed is handed to `record`, and what refused it is shown."""
    here, now = session.snapshot(), session.now()
    show(_signature(matter, here.hand, demo=here.insecure_demo), key="signature", now=now)
    if here.hand.by == "none":
        told = notice("blue", here.hand.sentence, " ", link("", "Passkeys", page="passkeys"))
        follow(show(told, key="no-hand", now=now))
    elif here.hand.by == "passkey":
        _by_passkey(matter, here.hand, record)
    else:
        _by_key(matter, record)
    off = next((choice.off for choice in matter.choices if choice.off), "")
    if off:
        show(notice("blue", off), key="off", now=now)
    refusal = st.session_state.get(f"{REFUSED} {matter.approval}")
    if refusal:
        show(notice("red", refusal), key="refusal", now=now)


def on_its_way(approval: str) -> session.Signed | None:
    """Return what this session's reviewer signed about a request in this process, or None."""
    return session.signed_here().get((session.reviewer(), approval))


def sent(signed: session.Signed) -> Node:
    """Say that a decision is signed, and that the ledger does not show it yet."""
    title = word("strong", f"Your {_WORDS[signed.decision]} is signed and on its way to the ledger")
    if (session.now() - signed.at).total_seconds() < LONG_SECONDS:
        return notice("blue moving", title, box("", "It stands here once the ledger has it. You may leave; nothing is lost."))
    said = ". It is kept on disk and sent until it is confirmed; `tenuto status` shows which part of the road does not answer."
    return notice("amber", title, box("", "No confirmation yet, signed ", moment(signed.at, "ago"), said))


def arrived(signed: session.Signed, where: Node, fault: str) -> Node:
    """Say that the ledger has a decision; `fault` says why it does not count there, "" when it does."""
    void = box("", f"It does not count: {fault}") if fault else None
    return notice("amber" if fault else "green", word("strong", f"Your {_WORDS[signed.decision]} is in the ledger"), where, void)


def ready() -> None:
    """Open the door that the next signature goes through, so that it does not wait for it; raises a TenutoError."""
    if session.hand().by == "key":
        session.door()
    else:
        session.measure()


def _by_key(matter: Matter, record: Record) -> None:
    with st.form(f"decide {matter.approval}", enter_to_submit=False):
        _reason(matter)
        for choice in matter.choices:
            st.form_submit_button(
                choice.label, type=choice.kind, disabled=bool(choice.off), width="stretch", shortcut=KEYS[choice.decision],
                on_click=_signed_by_key, args=(matter, choice, record),
            )  # fmt: skip


def _by_passkey(matter: Matter, hand: Hand, record: Record) -> None:
    page = session.page()
    assert page is not None, "a passkey is only held for a page"
    with st.container(border=True):
        _reason(matter)
        for choice in matter.choices:
            key = f"passkey {choice.decision} {matter.approval}"
            passkey_button(
                choice.label, "sign", signing_options(page, hand.held, _ballot(matter, choice)), key=key, kind=choice.kind,
                disabled=bool(choice.off), on_answer=partial(_answered, key, matter, choice, record), keys=KEYS[choice.decision],
            )  # fmt: skip


def _reason(matter: Matter) -> None:
    st.text_area("Reason", key=f"{REASON} {matter.approval}", height=84, placeholder=matter.placeholder)


def _ballot(matter: Matter, choice: Choice) -> Ballot:
    """Return what the authenticator is asked to sign. It stays the same while nothing changes, so a page may be redrawn."""
    ballots: dict[bytes, Ballot] = st.session_state.setdefault(BALLOTS, {})
    told = (session.origin(), matter.approval, matter.digest, choice.decision, choice.coverage, session.reviewer())
    for ballot in ballots.values():
        if told == (ballot.log_origin, ballot.approval, ballot.digest, ballot.decision, ballot.coverage, ballot.reviewer):
            return ballot
    ballot = Ballot(*told, new_nonce())
    ballots[ballot.challenge] = ballot
    while len(ballots) > BALLOTS_MAX:
        del ballots[next(iter(ballots))]
    return ballot


def _answered(key: str, matter: Matter, choice: Choice, record: Record) -> None:
    answer = getattr(st.session_state[key], "answer", None)
    if answer is None:
        return

    def door() -> Door:
        ballot = st.session_state[BALLOTS].pop(challenge_in(str(answer)), None)
        if ballot is None or ballot.reviewer != session.reviewer(fresh=True):
            raise NotSigned("What you signed is not what is asked any more: the page had moved on. Look again, and sign once more.")
        assertion = assertion_of(ballot, str(answer))
        if session.hand(fresh=True).by != "passkey":
            raise NotSigned(f"Your passkey does not count any more. Nothing was recorded. {session.hand().sentence}")
        return CarryingDoor(session.measure(), ballot, assertion)

    _record(matter, choice, record, door)


def _signed_by_key(matter: Matter, choice: Choice, record: Record) -> None:
    def door() -> Door:
        if session.hand(fresh=True).by != "key":
            raise NotSigned(f"No key file signs for you here any more. Nothing was signed. {session.hand().sentence}")
        return session.door()

    _record(matter, choice, record, door)


def _record(matter: Matter, choice: Choice, record: Record, door: Callable[[], Door]) -> None:
    key = f"{REFUSED} {matter.approval}"
    st.session_state.pop(key, None)
    try:
        event = record(door(), choice.decision, st.session_state.get(f"{REASON} {matter.approval}") or "")
        session.signed_here()[session.reviewer(), matter.approval] = session.Signed(str(event.id), choice.decision, session.now())
    except TenutoError as error:
        st.session_state[key] = str(error)
    except SQLAlchemyError:
        st.session_state[key] = f"{AWAY} Nothing was signed."


def _signature(matter: Matter, hand: Hand, *, demo: bool) -> Node:
    how: dict[str, Any] = {"passkey": "with your passkey", "key": "with the key file of this console"}
    return box(
        "stack tight",
        box("", matter.title, tag="h2"),
        box("badges", word("soft", "You sign as"), word("strong", session.reviewer()), demo_badge() if demo else None),
        box("", word("soft", how[hand.by])) if hand.by in how else None,
        box("", word("soft", "over the digest "), short(matter.digest, "mono strong")),
    )

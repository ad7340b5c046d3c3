"""The pieces of a request, gravest first, one open at a time; what is open is measured and recorded.

The list is cut from the card here, and compared with the one that the request commits to: where they differ, the card is
not what was asked about, and nothing is recorded that would let it be approved.
"""

from __future__ import annotations

import time

import streamlit as st
from tenuto.approvals.pieces import Piece, PiecesRefused, entries_of, pieces_of
from tenuto.errors import TenutoError
from tenuto_projections.inbox import Approval
from tenuto_projections.reviewing import Seen, pieces_on_record, seen_by

from . import decisions, session
from .diff import show_diff
from .looking import Looking
from .marks import notice
from .plan import plan_view
from .sheet import Node, box, icon, short, show, word

CHOSEN, LOOKING = "piece of", "looking at"
TONES = {"grave": "red", "elevated": "amber", "plain": "gray", "none": "gray"}
UNLIKE = "The pieces on record are not those of the card that is shown here, so it cannot be approved."


def pieces(found: Approval) -> tuple[tuple[Piece, ...], str]:
    """Return the pieces of the card, and why they cannot be approved, or ""."""
    if found.card is None:
        return (), "What this request would do is not readable here."
    try:
        cut = pieces_of(found.card, found.item.risks)
    except PiecesRefused as refusal:
        return (), str(refusal)
    name = found.item.approval
    listed, fault = session.answer(f"pieces {name}", lambda connection: pieces_on_record(connection, name))
    on_record = tuple((one.digest, one.name, one.risk, one.milliseconds) for one in listed)
    return cut, fault or ("" if on_record == entries_of(cut) else UNLIKE)


def seen(name: str, *, fresh: bool = False) -> Seen | None:
    """Return what this console's reviewer has seen of a request, as the read model has it."""
    who = session.reviewer()
    return session.answer(f"seen {name} {who}", lambda connection: seen_by(connection, name, who), fresh=fresh)


def why_not(found: Approval, cut: tuple[Piece, ...], fault: str) -> str:
    """Say why this cannot be approved yet, in words that name the piece; "" when it can be."""
    if fault:
        return fault
    known = seen(found.item.approval)
    if known is not None and not known.sentence:
        return ""
    looked = looking(found.item.approval)
    demanded = [piece for piece in cut if piece.risk != "none"]
    missing = [piece for piece in demanded if looked.total(piece.digest) < piece.milliseconds and not _on_record(piece, known)]
    if not missing:
        return "Everything was on screen long enough; the ledger is still taking it in."
    verb = "has" if len(missing) == 1 else "have"
    return f"{len(missing)} of {len(demanded)} pieces {verb} not been on screen long enough, the first: {missing[0].name}."


def open_piece(found: Approval) -> None:
    """Let the reader choose a piece and draw it."""
    cut, fault = pieces(found)
    if not cut:
        show(notice("amber", fault), key="pieces-none", now=session.now())
        return
    key = f"{CHOSEN} {found.item.approval}"
    names = {piece.digest: piece for piece in cut}
    labels = {piece.digest: f"{number} of {len(cut)}: {piece.kind}, {piece.risk}" for number, piece in enumerate(cut, 1)}
    left, right = st.columns([0.8, 0.2], vertical_alignment="bottom")
    with left:
        # Only our own words: a label is read as markup, and what a piece is called was written by a stranger.
        chosen = st.selectbox("Piece, gravest first", list(names), format_func=lambda digest: labels[digest], key=key)
    with right:
        st.button("Next piece", key=f"next {key}", on_click=_next, args=(key, list(names)), width="stretch")
    looking(found.item.approval).show(chosen, time.monotonic())
    _draw(names[chosen])


def measure(found: Approval) -> None:
    """One beat: count the time of what is open, and record what has had enough of it or was left."""
    if found.item.state_at(session.now()) != "open":
        return
    looked = looking(found.item.approval)
    looked.beat(time.monotonic())
    cut, fault = pieces(found)
    due = [] if fault else looked.due({piece.digest: piece.milliseconds for piece in cut})
    try:
        for piece, milliseconds in due:
            decisions.note_viewed(session.measure(), found.item, session.reviewer(), piece, milliseconds)
            looked.tell(piece, milliseconds)
    except TenutoError as error:
        show(notice("amber", f"What you look at cannot be recorded at the moment: {error}"), key="no-measure", now=session.now())


def meter(found: Approval) -> Node | None:
    """Return the coverage meter: each piece with its least time, and whether it was on screen that long."""
    cut, fault = pieces(found)
    if not cut:
        return None
    known, looked = seen(found.item.approval), looking(found.item.approval)
    rows = [_row(piece, looked.total(piece.digest), _on_record(piece, known)) for piece in cut if piece.risk != "none"]
    done = sum(_on_record(piece, known) for piece in cut if piece.risk != "none")
    head = box("panel-head", box("", "What you have seen", tag="h2"), word("right", f"{done} of {len(rows)}"))
    return box("panel", head, box("panel-body", fault) if fault else None, *rows)


def looking(name: str) -> Looking:
    """Return what this session has looked at of a request."""
    found: Looking = st.session_state.setdefault(f"{LOOKING} {name}", Looking())
    return found


def _on_record(piece: Piece, known: Seen | None) -> bool:
    return known is not None and known.milliseconds.get(piece.digest, 0) >= piece.milliseconds


def _row(piece: Piece, milliseconds: int, on_record: bool) -> Node:
    least = f"{min(milliseconds, piece.milliseconds) / 1000:.1f} of {piece.milliseconds / 1000:.1f} s"
    return box(
        f"tick {'passed' if on_record else 'not_done'}",
        word(f"badge {TONES[piece.risk]}", piece.risk),
        word("seal", icon("check" if on_record else "minus")),
        box("", box("title", piece.title[:200]), box("sentence", "On record." if on_record else least)),
    )


def _next(key: str, order: list[str]) -> None:
    at = order.index(st.session_state[key]) if st.session_state.get(key) in order else -1
    st.session_state[key] = order[(at + 1) % len(order)]


def _draw(piece: Piece) -> None:
    now, key = session.now(), f"piece {piece.digest[:16]}"
    if piece.change is not None:
        show(plan_view([piece.change]), key=key, now=now)
    elif piece.image is not None:
        before = short(piece.image.before) if piece.image.before else word("soft", "nothing runs yet")
        show(box("panel", box("panel-body", piece.image.name, ": ", before, " becomes ", short(piece.image.after))), key=key, now=now)
    elif piece.kind == "file" and piece.lines:
        show(box("mono strong", piece.title), key=f"{key} name", now=now)
        show_diff("\n".join(piece.lines), key=key)
    elif piece.lines:
        show(box("text mono", "\n".join(piece.lines)), key=key, now=now)
    else:
        said = "The title, the sentence, the agent's verdict and the findings: they stand above, on this page."
        show(box("panel", box("panel-body", said)), key=key, now=now)

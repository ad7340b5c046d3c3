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
from .sheet import Node, box, icon, pick, short, show, word

CHOSEN, LOOKING = "piece of", "looking at"
LISTED_MAX = 40
"""So many pieces are listed at once: the list is drawn anew while it is being looked at."""
NAME_CHARACTERS = 200
_PIPS = 20
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
    return f"{len(missing)} of {len(demanded)} pieces {verb} not been on screen long enough, the first: {missing[0].title[:NAME_CHARACTERS]}."


def choose(found: Approval) -> None:
    """List the pieces by name, and let the reader open one; the rest of the page follows the choice."""
    cut, _ = pieces(found)
    if not cut:
        return
    name, now = found.item.approval, session.now()
    target = show(listed(found, cut), key="pieces", now=now)
    if target is not None and target.get("pick") in {piece.digest for piece in cut}:
        st.session_state[f"{CHOSEN} {name}"] = target["pick"]
        st.rerun()
    back, on, keys = st.columns([0.2, 0.24, 0.56], vertical_alignment="center")
    with back:
        before = st.button("Previous", key=f"previous {name}", on_click=_step, args=(found, -1), shortcut="P", width="stretch")
    with on:
        after = st.button("Next piece", key=f"next {name}", on_click=_step, args=(found, 1), shortcut="N", width="stretch", type="primary")
    with keys:
        show(box("under", "Next goes to the next piece that you have not seen long enough."), key="keys", now=now)
    if before or after:
        st.rerun()


def listed(found: Approval, cut: tuple[Piece, ...]) -> Node:
    """Return the pieces as buttons, gravest first; of a long list the part around the one that is open."""
    chosen, known, looked = chosen_of(found, cut), seen(found.item.approval), looking(found.item.approval)
    at = cut.index(chosen)
    first = max(0, min(at - LISTED_MAX // 2, len(cut) - LISTED_MAX))
    rows = [
        _row(piece, number, looked.total(piece.digest), on_record=_on_record(piece, known), chosen=piece is chosen)
        for number, piece in enumerate(cut[first : first + LISTED_MAX], first + 1)
    ]
    head = box("panel-head", box("", "Pieces, gravest first", tag="h2"), word("right", f"{at + 1} of {len(cut)} is open"))
    more = None
    if len(cut) > LISTED_MAX:
        more = box("item soft", f"{first + 1} to {first + len(rows)} of {len(cut)} are listed; Next and Previous reach them all.")
    return box("panel", head, box("choose", *rows), more)


def chosen_of(found: Approval, cut: tuple[Piece, ...]) -> Piece:
    """Return the piece that is open, the gravest at first."""
    digest = st.session_state.get(f"{CHOSEN} {found.item.approval}")
    return next((piece for piece in cut if piece.digest == digest), cut[0])


def open_piece(found: Approval) -> None:
    """Draw the piece that is open, and begin its time on screen."""
    cut, fault = pieces(found)
    if not cut:
        show(notice("amber", fault), key="pieces-none", now=session.now())
        return
    chosen = chosen_of(found, cut)
    looking(found.item.approval).show(chosen.digest, time.monotonic())
    _draw(chosen)


def measure(found: Approval) -> None:
    """One beat: count the time of what is open, and record what has had enough of it or was left."""
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
    """Return the coverage meter: how much of what bears risk was on screen for its least time, as far as the ledger knows."""
    cut, fault = pieces(found)
    if not cut:
        return None
    known = seen(found.item.approval)
    demanded = [piece for piece in cut if piece.risk != "none"]
    done = sum(_on_record(piece, known) for piece in demanded)
    bar = box("pips", *(word("pip done" if number * len(demanded) < done * _PIPS else "pip") for number in range(_PIPS)))
    head = box("panel-head", box("", "What you have seen", tag="h2"), word("right", f"{done} of {len(demanded)} pieces"))
    return box("panel", head, box("panel-body", bar, box("under", fault) if fault else None))


def looking(name: str) -> Looking:
    """Return what this session has looked at of a request."""
    found: Looking = st.session_state.setdefault(f"{LOOKING} {name}", Looking())
    return found


def _on_record(piece: Piece, known: Seen | None) -> bool:
    return known is not None and known.milliseconds.get(piece.digest, 0) >= piece.milliseconds


def _row(piece: Piece, number: int, milliseconds: int, *, on_record: bool, chosen: bool) -> Node:
    if piece.risk == "none":
        said = "need not be seen"
    else:
        said = "On record." if on_record else _so_far(piece, milliseconds)
    return pick(
        "pick", word("number", str(number)), word(f"badge {TONES[piece.risk]}", piece.risk),
        word("name", piece.title[:NAME_CHARACTERS], title=piece.title[:NAME_CHARACTERS]), word("kept", said),
        word("seal done" if on_record else "seal", icon("check")) if on_record else word("seal", icon("minus")),
        value=piece.digest, chosen=chosen,
    )  # fmt: skip


def _so_far(piece: Piece, milliseconds: int) -> str:
    if milliseconds >= piece.milliseconds:
        return "Seen, on its way to the ledger."
    return f"{min(milliseconds, piece.milliseconds) / 1000:.1f} of {piece.milliseconds / 1000:.1f} s"


def _step(found: Approval, step: int) -> None:
    """Open the piece before, or the next one that was not seen long enough; when all were, simply the next."""
    cut, _ = pieces(found)
    known, looked = seen(found.item.approval), looking(found.item.approval)
    order = list(cut) if step > 0 else list(reversed(cut))
    at = order.index(chosen_of(found, cut)) + 1
    rest = order[at:] + order[:at]
    unseen = [one for one in rest[:-1] if one.risk != "none" and not _on_record(one, known) and looked.total(one.digest) < one.milliseconds]
    st.session_state[f"{CHOSEN} {found.item.approval}"] = (unseen if step > 0 and unseen else rest)[0].digest


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

"""The reviewers, each on one line: how much room, how fast, how strict, how thorough, and how often others disagreed.

Every figure stands on its own number of cases, and on few of them nothing is said about a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tenuto.approvals.roster import CAP_WINDOW
from tenuto.approvals.spotcheck import Quality
from tenuto_projections.reviewed import JUDGED_FROM, WINDOW, Record
from tenuto_projections.reviewing import Room

from .sheet import Node, box, moment, word

FEW = "too few to judge"
MINUTES = int(CAP_WINDOW.total_seconds() // 60)
COLUMNS = ("Reviewer", "Load now", "Latency", "Denied", "Coverage", "Second looks")


def crew(rooms: Mapping[str, Room], records: Mapping[str, Record], qualities: Mapping[str, Quality], now: datetime) -> Node:
    """Return everybody who reviews, or did; whoever has room comes first and whose keys ended last."""
    ordered = sorted(rooms.values(), key=lambda room: (_gone(room), -room.places(now), room.reviewer))
    head = box("", box("", *(box("", name, tag="th") for name in COLUMNS), tag="tr"), tag="thead")
    rows = [_row(room, records.get(room.reviewer), qualities.get(room.owner, Quality()), now) for room in ordered]
    return box("panel", box("list crew", head, box("", *rows, tag="tbody"), tag="table"))


def explained() -> Node:
    """Return what each column means, once, below the table."""
    said = (
        ("Load now", f"Decisions in the last {MINUTES} minutes against the cap, and what lies on the desk. The cap counts by person."),
        ("Latency", f"From the assignment, or else the request, to the signature, in the last {WINDOW.days} days. Half and 90 % of the decisions took no longer."),
        ("Coverage", "Pieces that bear risk, opened before an approval was signed, and the time on screen against the least."),
        ("Second looks", "How often a second reviewer agreed with what this person approved: the quality score. No window: all there ever were."),
        (FEW, f"Fewer than {JUDGED_FROM} cases. The numbers are shown, and nothing follows from them."),
    )  # fmt: skip
    cells = [cell for name, text in said for cell in (box("", name[:1].upper() + name[1:], tag="dt"), box("", text, tag="dd"))]
    return box("panel", box("panel-body", box("facts", *cells, tag="dl")))


def spent(seconds: float) -> str:
    """Say a time as people do: `41 s`, `12 min`, `3 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _gone(room: Room) -> bool:
    return not room.keys or not room.active


def _row(room: Room, record: Record | None, quality: Quality, now: datetime) -> Node:
    cells = (_who(room), _load(room, now), _latency(record), _denied(record), _coverage(record), _quality(quality))
    return box("gone" if _gone(room) else "", *(box("", *cell, tag="td") for cell in cells), tag="tr")


def _who(room: Room) -> Sequence[Node | None]:
    state = None
    if not room.keys:
        state = word("badge red", "no valid key")
    elif not room.active:
        state = word("badge gray", "not active")
    roles = ", ".join(room.roles) or "any role"
    shift = f"{room.shift} UTC" if room.shift else "always on shift"
    owner = f", {room.owner}" if room.owner != room.reviewer else ""
    return box("top", word("strong", room.reviewer), state), box("under", f"{roles}; {shift}{owner}")


def _load(room: Room, now: datetime) -> Sequence[Node | None]:
    if _gone(room):
        return (word("soft", "decides nothing"),)
    used = room.cap - room.places(now)
    frees = room.frees(now)
    pips = box("pips", *(word("pip now" if number < used else "pip") for number in range(room.cap))) if room.cap <= 20 else None
    full = box("under late", "full; a place frees ", moment(frees, "by")) if frees is not None else None
    return box("", word("strong", f"{used} of {room.cap}"), f" decided, {room.on_desk} open"), pips, full


def _latency(record: Record | None) -> Sequence[Node | None]:
    half, most = (record.within(50), record.within(90)) if record is not None else (None, None)
    if record is None or half is None or most is None:
        return (word("soft", "no decision"),)
    return box("", word("strong", spent(half)), " median"), box("under", f"90 % within {spent(most)}"), _of(record.decided, "decision")


def _denied(record: Record | None) -> Sequence[Node | None]:
    if record is None:
        return (word("soft", "no decision"),)
    void = box("under late", f"{record.void} more did not count") if record.void else None
    return *_share(record.denied, record.decided, "decision"), void


def _coverage(record: Record | None) -> Sequence[Node | None]:
    if record is None or not record.approved:
        return (word("soft", "no approval"),)
    times = f"{record.shown_ms / record.least_ms:.1f} times the least time" if record.least_ms else "no least time"
    share = f"{100 * record.opened / record.demanded:.0f} %" if record.demanded else "\u2013"
    few = box("under", FEW) if record.approved < JUDGED_FROM else None
    return box("", word("strong", share), f" opened, {record.opened} of {record.demanded} pieces"), box("under", times), few


def _quality(quality: Quality) -> Sequence[Node | None]:
    looks = quality.agreed + quality.disagreed
    if not looks:
        return (word("soft", "none yet"),)
    tone = "strong late" if quality.disagreed and looks >= JUDGED_FROM else "strong"
    score = word(tone, f"{100 * quality.score:.0f} %") if looks >= JUDGED_FROM else word("strong", f"{quality.agreed} of {looks}")
    return box("", score, " agreed"), _of(looks, "second look"), box("under late", f"{quality.disagreed} disagreed") if quality.disagreed else None


def _share(count: int, of: int, noun: str) -> Sequence[Node | None]:
    if of < JUDGED_FROM:
        return box("", word("strong", f"{count} of {of}")), _of(of, noun)
    return box("", word("strong", f"{100 * count / of:.0f} %")), box("under", f"{count} of {of} {noun}s")


def _of(count: int, noun: str) -> Node:
    few = f", {FEW}" if count < JUDGED_FROM else ""
    return box("under", f"{count} {noun}{'' if count == 1 else 's'}{few}")

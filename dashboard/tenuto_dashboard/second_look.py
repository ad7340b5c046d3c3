"""The second look at what was approved and done: how it stands, in words, and the finding that a reviewer signs.

As with decisions, the refusals here spare a reviewer a signature that could not count; whether it counts is the answer of
`tenuto.approvals.spotcheck`, console or no console.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenuto.approvals.spotcheck import CHANCE_PERCENT, Spotcheck
from tenuto.documents import Reason
from tenuto.events import SpotcheckSigned
from tenuto.events.base import Event
from tenuto_projections.inbox import InboxItem
from tenuto_projections.reviewed import Looked
from tenuto_projections.reviewing import Room, Seen

from .cards import UNREADABLE
from .decisions import REASON_CHARACTERS_MAX, Door, NotSigned
from .marks import notice, risk_badges, risk_tone
from .sheet import Node, box, icon, link, moment, short, word

Finding = Literal["agree", "disagree"]
OPEN = ("due", "overdue")
STATES: dict[str, tuple[str, str]] = {
    "waiting": ("Waits for the draw", "gray"), "spared": ("Not drawn", "gray"), "due": ("Due", "blue"),
    "overdue": ("Overdue", "red"), "agreed": ("Agreed", "green"), "disagreed": ("Disagreed", "red"),
}  # fmt: skip


def why_not_mine(check: Spotcheck, room: Room | None) -> str:
    """Say why this reviewer may not take the second look, or ""."""
    if room is None or not room.keys or not room.active:
        return "You are not an active reviewer, so your second look would not count."
    if room.owner in check.approved_by:
        return f"{room.owner} approved this, so the second look is somebody else's."
    if room.owner in check.excluded:
        return f"{room.owner} started this or answers for the agent that asked, so the second look is somebody else's."
    return ""


def sign_look(
    door: Door, looked: Looked, item: InboxItem, finding: Finding, *, reason: str, shown_digest: str, room: Room | None,
    seen: Seen | None, now: datetime,
) -> Event:  # fmt: skip
    """Sign the finding over the digest that was on screen, and return the event. Raises NotSigned; see `verify_may_look`."""
    text = reason.strip()
    verify_may_look(looked.check, finding, reason=text, shown_digest=shown_digest, room=room, now=now)
    if finding == "agree" and (seen is None or seen.sentence):
        raise NotSigned(f"You cannot agree to it yet: {seen.sentence if seen else 'nothing of it was opened yet.'}")
    return door.record(
        SpotcheckSigned, document=Reason(text=text) if text else None, run=item.run, cause=(UUID(item.event_id),),
        approval=item.approval, digest=shown_digest, finding=finding,
    )  # fmt: skip


def verify_may_look(
    check: Spotcheck, finding: Finding, *, reason: str, shown_digest: str, room: Room | None, now: datetime
) -> None:
    """Raise NotSigned unless the look is still wanted, is this reviewer's to take, about what was shown, and reasoned."""
    if check.digest != shown_digest:
        raise NotSigned("The approval stands for another digest than the one you were shown. Reload and read it again.")
    if (state := check.state(now)) not in OPEN:
        raise NotSigned(f"No second look is wanted here: {STATES[state][0].lower()}. Nothing was signed.")
    if why := why_not_mine(check, room):
        raise NotSigned(f"{why} Nothing was signed.")
    if finding == "disagree" and not reason:
        raise NotSigned("To disagree needs a reason: somebody has to act on it. Nothing was signed.")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise NotSigned(f"The reason has {len(reason):,} characters; at most {REASON_CHARACTERS_MAX:,} are signed.")


def state_badge(check: Spotcheck, now: datetime) -> Node:
    """Return the state of a second look as a badge."""
    name, tone = STATES[check.state(now)]
    return word(f"badge {tone}", name)


def bound(check: Spotcheck, now: datetime, *, brief: bool = False) -> Node | None:
    """Return until when the second look is due, or since when it is overdue; None when none is wanted."""
    state, ends = check.state(now), check.due_from if check.state(now) == "waiting" else check.overdue_from
    if ends is None or state not in ("waiting", *OPEN):
        return None
    when, hours = moment(ends, ("until" if now < ends else "ago") if brief else "by"), hours_of(check)
    if state == "waiting":
        return word("", "counts as drawn ", when)
    undrawn = f"no draw came within {hours}, so it counts as drawn; " if check.drawn is None else ""
    if state == "due":
        return word("", f"{undrawn}the {hours} for it end ", when)
    return word("late", f"{undrawn}the {hours} for it ended ", when)


def hours_of(check: Spotcheck) -> str:
    """Say how long the draw may take, and then the look: the bound that held when the approval was spent."""
    hours = check.within.total_seconds() / 3600
    return "hour" if hours == 1 else f"{hours:g} hours"


def draw_said(looked: Looked) -> str:
    """Say in one sentence what the draw said."""
    if looked.ticket is None:
        return (
            "There is no draw yet: it is made from the first checkpoint over the spending that the draw witness cosigned. "
            f"Without one it counts as drawn after {hours_of(looked.check)}."
        )
    verdict = "among" if looked.check.drawn else "not among"
    so = "drawn for a second look" if looked.check.drawn else "spared"
    return (
        f"The ticket is a hash over the witness's cosignature on the checkpoint of {looked.size or 0:,} events and the name of "
        f"this approval. It is {verdict} the lowest {CHANCE_PERCENT} %, so this is {so}."
    )


def draw_panel(looked: Looked) -> Node:
    """Return the draw with the command that repeats it."""
    ticket = box("said", word("soft", "Ticket"), short(looked.ticket, "mono")) if looked.ticket else None
    command = box("command", f"tenuto spotcheck verify {looked.check.approval}", tag="pre", copy=f"tenuto spotcheck verify {looked.check.approval}")
    head = box("panel-head", box("", "The draw", tag="h2"), word("right", "repeat it yourself"))
    return box("panel", head, box("panel-body", box("stack tight", box("", draw_said(looked)), ticket, command)))


def finding_panel(looked: Looked) -> Node | None:
    """Return the second look that was taken, with its reason."""
    if not looked.check.finding or looked.signed is None or looked.signed_at is None:
        return None
    tone = "green" if looked.check.finding == "agree" else "red"
    title = box("", word("strong", f"{looked.check.by} {looked.check.finding}s"), word("", f", position {looked.signed:,}, ", moment(looked.signed_at, "ago")))
    return notice(tone, title, box("text", looked.reason) if looked.reason else None)


def listed(found: Sequence[tuple[Looked, InboxItem | None]], now: datetime, room: Room | None) -> Node:
    """Return the second looks as rows that lead to them."""
    names = ("", "What was approved", "Approved by", "Second look", "")
    head = box("columns looks", *(word("", name) for name in names))
    return box("panel", head, box("", *(_row(looked, item, now, room) for looked, item in found)))


def _row(looked: Looked, item: InboxItem | None, now: datetime, room: Room | None) -> Node:
    check = looked.check
    risks = item.risks if item is not None else ()
    title = box("top", box("title", item.title if item is not None and item.title else UNREADABLE), risk_badges(risks) if risks else None)
    said = box("sentence", item.sentence if item is not None and item.sentence else check.approval)
    whose = why_not_mine(check, room) if check.state(now) in OPEN else ""
    state = box("", state_badge(check, now), box("soft", bound(check, now, brief=True) or _by(looked)))
    return link(
        f"row looks {'red' if check.state(now) == 'overdue' else risk_tone(risks)}", word("bar"),
        box("", title, said, box("soft", whose) if whose else None),
        box("who", box("strong", ", ".join(check.approved_by) or "nobody"), box("soft", "used ", moment(check.at, "ago"))),
        state, icon("next"), page="spotchecks", approval=check.approval,
    )  # fmt: skip


def _by(looked: Looked) -> Node | None:
    return None if looked.signed_at is None else word("", f"by {looked.check.by}, ", moment(looked.signed_at, "ago"))

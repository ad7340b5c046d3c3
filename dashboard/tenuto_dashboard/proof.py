"""The integrity page: the nine numbered ticks with what was really checked, and how to check it without trusting us."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto_projections.integrity import Integrity
from tenuto_projections.losses import Loss
from tenuto_projections.walked import Tick

from .sheet import Node, box, icon, moment, short, word

_SEALS = {"passed": "check", "failed": "cross", "not_done": "minus"}


def verdict(here: Integrity) -> Node:
    """Return the state of the log in one sentence."""
    if here.failed:
        return _title("The log is not what it claims to be", "A step fails below. Nothing that the console shows may be relied on.")
    done = sum(tick.state == "passed" for tick in here.ticks)
    left = len(here.ticks) - done
    why = "its sentence says why" if left == 1 else "their sentences say why"
    rest = f" {left} could not be taken; {why}." if left else ""
    said = f"{done} of {len(here.ticks)} steps were walked over the first {here.size:,} events, and hold.{rest}"
    if here.size == 0:
        return _title("Nothing is verified yet", "The projector has not seen an event under a signed checkpoint.")
    return _title(f"The log holds, up to event {here.size:,}", said)


def ticks(here: Integrity) -> Node:
    """Return the steps of `tenuto.verification`, by their numbers."""
    head = box("panel-head", box("", "Verification", tag="h2"), word("right", "numbered as in ", word("mono", "tenuto verify")))
    return box("panel", head, *(_tick(tick) for tick in sorted(here.ticks, key=lambda tick: tick.step)))


def checkpoint(here: Integrity) -> Node:
    """Return the last thing that the log signed, and how far everything else is behind it."""
    rows: list[tuple[str, Node | str]] = [
        ("Origin", word("mono", here.note.split("\n", 1)[0]) if here.note else "none yet"),
        ("Size", f"{here.checkpoint_size:,}" if here.checkpoint_size is not None else "none yet"),
        ("Root", short(here.root, head=20) if here.root else "none yet"),
        ("Checked", moment(here.checked_at, "ago") if here.checked_at else "never"),
        ("In the ledger", f"{here.head_size:,} events"),
        ("Read so far", f"{here.size:,} events"),
        ("Behind", f"{here.lag_events:,} events, {here.lag_seconds:.1f} s"),
    ]
    cells = [cell for name, value in rows for cell in (box("", name, tag="dt"), box("", value, tag="dd"))]
    return box("panel", box("panel-head", box("", "Last checkpoint", tag="h2")), box("panel-body", box("facts", *cells, tag="dl")))


def attacks(here: Integrity) -> Node:
    """Return what the ledger recorded against itself: attempts, gaps, losses, purges."""
    rows = (
        ("Refused records", here.refused, "amber"), ("Two versions of one event", here.equivocations, "red"),
        ("Gaps", here.gaps, "amber"), ("Lost by an author", here.lost, "amber"), ("Purged payloads", here.purged, "blue"),
    )  # fmt: skip
    items = [
        box("item", box("top", word("", name), word(f"badge right {tone if count else 'gray'}", f"{count:,}")))
        for name, count, tone in rows
    ]
    return box("panel", box("panel-head", box("", "On record against the road", tag="h2")), *items)


def lost(found: Sequence[Loss]) -> Node:
    """Return what did not get on record, or only late, newest first."""
    head = box("panel-head", box("", "Losses", tag="h2"), word("right", "newest first"))
    if not found:
        return box("panel", head, box("panel-body soft", "Nothing is known to be lost, and nobody had to wait."))
    return box("panel", head, *(_loss(one) for one in found))


def _loss(one: Loss) -> Node:
    tone, name = _LOSSES[one.kind]
    top = box("top", word("", name), word(f"badge right {tone}", moment(one.recorded_at, "ago")))
    return box("item", top, box("soft", *_loss_said(one)))


_LOSSES = {
    "record.lost": ("red", "Lost"),
    "record.unaccounted": ("red", "A spool is gone"),
    "record.gap": ("amber", "Never arrived"),
    "record.spooled": ("gray", "Kept back"),
}


def _loss_said(one: Loss) -> tuple[Node | str, ...]:
    session = short(one.session or "", head=8)
    if one.kind == "record.spooled" and one.since is not None and one.until is not None:
        seconds = (one.until - one.since).total_seconds()
        return (f"{one.author} kept {one.events:,} events back for {seconds:,.0f} s ({one.why}). All are dealt with.",)
    if one.kind == "record.unaccounted":
        said = f" is on record up to its event {one.last_seq} and has no end. Whether there was more, nobody knows."
        return (f"{one.author}: the session ", session, said)
    said = f"events {one.first_seq} to {one.last_seq} of the session "
    return (f"{one.author} says: {said}", session, " are not on record.")


def yourself() -> Node:
    """Return how a stranger checks all this, with a copy of the published files and no database."""
    said = "Do not take this page's word for it. On any machine, with a copy of the log's folder and the trust file:"
    text = "tenuto verify --log log --trust trust.json"
    command = box("command", text, tag="pre", copy=text)
    body = box("panel-body stack", box("soft", said), command, box("soft", "Exit code 0: it holds. 3: it names the first event and step that fails."))
    return box("panel", box("panel-head", box("", "Verify it yourself", tag="h2")), body)


def _title(title: str, said: str) -> Node:
    return box("", box("", title, tag="h1"), box("lead", said, tag="p"))


def _tick(tick: Tick) -> Node:
    return box(
        f"tick {tick.state}", word("number", str(tick.step)), word("seal", icon(_SEALS[tick.state])),
        box("", box("title", tick.title[:1].upper() + tick.title[1:]), box("sentence", tick.sentence)),
    )  # fmt: skip

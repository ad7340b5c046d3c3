"""What stands on every page: which log this is, whether what you see is true and fresh, and whose key signs."""

from __future__ import annotations

from datetime import datetime

from tenuto_projections.integrity import Integrity

from .marks import demo_badge, notice
from .session import Snapshot
from .sheet import Node, box, link, moment, word

LAG_SECONDS_MAX = 30.0


def masthead(snapshot: Snapshot, origin: str, now: datetime) -> Node:
    """Return the line under which every page stands."""
    here = snapshot.integrity
    tone, said = _state(here, now)
    return box(
        "masthead",
        word("origin", word(f"dot {tone}"), word("mono", origin), word("soft", said)),
        word("fill"),
        demo_badge() if snapshot.insecure_demo else None,
        word("fact", word("", box("", f"{here.head_size:,}", tag="strong"), " events")),
        _checkpoint(here),
        link("fact", box("", f"{snapshot.pending:,}", tag="strong"), " pending", page="inbox"),
    )


def alarm(here: Integrity, now: datetime) -> Node | None:
    """Return what must be read before anything else on the page, or None."""
    failed = next((tick for tick in here.ticks if tick.state == "failed"), None)
    if failed is not None:
        return notice("red", f"{failed.sentence} Rely on nothing that is shown here; deciding is switched off.")
    if here.lag_seconds > LAG_SECONDS_MAX:
        return notice("amber", f"What you see is {here.lag_seconds:.0f} s and {here.lag_events:,} events behind the ledger.")
    if here.checked_at is not None and _unchecked(here, now):
        return notice("amber", "The log was last checked ", moment(here.checked_at, "ago"), ": the projector, ", word("mono", "tenuto project"), ", is not running.")
    return None


def brand() -> Node:
    """Return the mark: a note, held."""
    return box("brand", word("held"), box("", word("strong", "Tenuto"), word("soft", "Approval console")))


def keyboard() -> Node:
    """Return the keys, behind one click: whatever is not among them is reached by Tab and pressed by Enter."""
    keys = (
        ("J  K", "down and up a list"), ("Enter", "open it"), ("N  P", "next piece, piece before"), ("R", "write the reason"), ("Esc", "leave the reason"),
        ("Ctrl Enter", "deny, disagree"), ("Ctrl Shift Enter", "approve, agree"), ("Tab", "everything else"),
    )  # fmt: skip
    rows = (box("", word("key", key), word("soft", said)) for key, said in keys)
    return box("keys", box("", "Keyboard", tag="summary"), *rows, tag="details", key="keyboard")


def signer(name: str, snapshot: Snapshot) -> Node:
    """Return in whose name this console signs."""
    mark = demo_badge() if snapshot.insecure_demo else None
    return box("signer", word("soft", "You sign as"), word("strong", name), mark, _how(snapshot))


def _how(snapshot: Snapshot) -> Node | None:
    if snapshot.hand.by == "passkey":
        return word("badge green", "by passkey")
    if snapshot.hand.by == "none":
        return word("badge amber", "cannot sign here")
    return word("badge red", "no key on record") if snapshot.reviewer is None else None


def _state(here: Integrity, now: datetime) -> tuple[str, str]:
    if here.failed:
        return "red", "verification failed"
    if here.lag_seconds > LAG_SECONDS_MAX:
        return "amber", "behind"
    return ("amber", "not checked any more") if _unchecked(here, now) else ("green", "live, verified")


def _unchecked(here: Integrity, now: datetime) -> bool:
    return here.checked_at is not None and (now - here.checked_at).total_seconds() > LAG_SECONDS_MAX


def _checkpoint(here: Integrity) -> Node:
    if here.checkpoint_size is None:
        return word("fact", "no checkpoint yet")
    size = box("", f"{here.checkpoint_size:,}", tag="strong")
    age = None if here.checked_at is None else word("", ", checked ", moment(here.checked_at, "ago"))
    return link("fact", "checkpoint ", size, age, page="integrity")

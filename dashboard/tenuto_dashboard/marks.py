"""Risks, states and verdicts in the reviewer's words, each with one colour: red stops, amber asks, green is settled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tenuto_projections.inbox import InboxItem
from tenuto_projections.pending import Pending

from .sheet import Node, box, icon, word

# What cannot be undone, or opens a door, comes first. The order is the order of the inbox and of the plan.
RISKS: dict[str, tuple[str, str]] = {
    "deletion": ("Deletes", "red"),
    "replacement": ("Replaces", "red"),
    "security_group": ("Security group", "red"),
    "iam": ("IAM", "red"),
    "public_endpoint": ("Public endpoint", "red"),
    "model_diverges": ("Model diverges", "amber"),
    "production": ("Production", "amber"),
}
STATES: dict[str, tuple[str, str]] = {
    "open": ("Waiting", "blue"),
    "granted": ("Granted", "green"),
    "denied": ("Denied", "red"),
    "expired": ("Expired", "gray"),
    "revoked": ("Revoked", "gray"),
    "consumed": ("Used", "green"),
}
SEVERITIES: dict[str, str] = {"critical": "red", "high": "red", "medium": "amber", "low": "gray"}
SOON = timedelta(minutes=15)
_RANK = {risk: rank for rank, risk in enumerate(RISKS)}
_LAST = len(RISKS)


def risk_badges(risks: Sequence[str]) -> Node:
    """Return the risks as badges, gravest first."""
    ordered = sorted(risks, key=lambda risk: _RANK.get(risk, _LAST))
    return box("badges", *(word(f"badge {tone}", name) for name, tone in (risk_words(risk) for risk in ordered)))


def risk_words(risk: str) -> tuple[str, str]:
    """Return name and colour of a risk; one that this version does not know is shown in red by its own name."""
    return RISKS.get(risk, (risk, "red"))


def risk_tone(risks: Sequence[str]) -> str:
    """Return the colour of the gravest: red, amber or gray."""
    tones = {risk_words(risk)[1] for risk in risks}
    return "red" if "red" in tones else "amber" if tones else "gray"


def urgency(item: InboxItem | Pending) -> tuple[int, int, int]:
    """Sort key of the inbox: how many grave risks, then how many others, then age."""
    grave = sum(risk_words(risk)[1] == "red" for risk in item.risks)
    return -grave, grave - len(item.risks), item.position


def rank(risks: Sequence[str]) -> int:
    """Return the rank of the gravest risk, smaller is graver."""
    return min((_RANK.get(risk, 0) for risk in risks), default=_LAST)


def state_badge(state: str) -> Node:
    """Return the state of a request as a badge."""
    name, tone = STATES.get(state, (state, "gray"))
    return word(f"badge {tone}", name)


def demo_badge() -> Node:
    """The mark of everything that was, or will be, signed with an unprotected key."""
    return word("badge amber demo", icon("alert"), "INSECURE DEMO SIGNER", title="The private key lies unprotected on a demo machine.")


def notice(tone: str, *said: Node | str | None) -> Node:
    """Return a sentence that must not be missed."""
    which = {"green": "check", "blue": "clock", "blue moving": "turning"}.get(tone, "alert")
    return box(f"notice {tone}", icon(which), box("", *said))


def nothing(title: str, sentence: str) -> Node:
    """Return what an empty list says."""
    return box("panel", box("nothing", word("strong", title), sentence))


def expires_soon(item: InboxItem | Pending, now: datetime) -> bool:
    """Whether less than a quarter of an hour is left."""
    return now < item.expires <= now + SOON

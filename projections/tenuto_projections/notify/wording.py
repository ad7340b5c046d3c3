"""A notice in words, and the one address that it carries: a page of the console, opened by a plain GET.

The address holds the name of the approval and nothing else, no token and no decision. Names come from signed headers, whose
alphabet is closed; they are made visible here all the same, since a letter may be read by anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ..anomalies.finding import said
from .notices import SENTENCES, Notice

CLOSING = "This message decides nothing. Decisions are made, and signed, in the console."
LINES_SHOWN_MAX = 20
_PAGES = {"alert": "alerts", "digest": "inbox", "trial": "inbox"}
_SECOND_LOOKS = ("second_look", "second_look_overdue")


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent. title: one line. facts: name and value, each one line of plain text. link: where it leads."""

    notice: Notice
    title: str
    facts: tuple[tuple[str, str], ...]
    link: str

    def text(self) -> str:
        """The letter as plain text, lines ending in a line feed."""
        facts = "".join(f"{name}: {value}\n" for name, value in self.facts)
        lines = "".join(f"- {said(line)}\n" for line in self.notice.lines)
        return f"{self.title}\n\n{facts}{lines}\n{self.link}\n\n{CLOSING}\n"


def letter_of(notice: Notice, console: str) -> Letter:
    """Return the letter for a notice; `console` is the console's address."""
    title = SENTENCES[notice.reason]
    if notice.lines:
        title = f"{title} ({len(notice.lines)})"
    return Letter(notice, title, tuple(_facts(notice)), link_of(notice, console))


def link_of(notice: Notice, console: str) -> str:
    """Return the address of the page that a notice opens."""
    start = console.rstrip("/")
    if page := _PAGES.get(notice.reason):
        return f"{start}/{page}"
    page = "spotchecks" if notice.reason in _SECOND_LOOKS else "review"
    return f"{start}/{page}?approval={quote(notice.about, safe='')}"


def line_of(notice: Notice) -> str:
    """Return a notice in one line, for a digest."""
    facts = "; ".join(value for name, value in _facts(notice) if name != "Name")
    return f"{SENTENCES[notice.reason]} {facts} ({said(notice.about)})"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    found = []
    if notice.subject:
        found.append(("Subject", said(notice.subject)))
    if notice.severity:
        found += [("Severity", said(notice.severity)), ("Rule", said(notice.rule))]
    if notice.risks:
        found.append(("Threats" if notice.reason == "alert" else "Risks", ", ".join(said(risk) for risk in notice.risks)))
    if notice.expires is not None:
        found.append(("Until", f"{notice.expires:%Y-%m-%d %H:%M:%S} UTC"))
    if notice.about:
        found.append(("Name", said(notice.about)))
    return found

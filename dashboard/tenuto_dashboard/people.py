"""Who takes part, with which keys; and what the detectors say about them."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto_projections.alerts import Alert
from tenuto_projections.fleet import Author, AuthorKey

from .marks import SEVERITIES, demo_badge
from .sheet import Node, box, link, moment, short, word

_ALERT_STATES = {"raised": "red", "acknowledged": "amber", "closed": "gray"}


def fleet_table(authors: Sequence[Author]) -> Node:
    """Return every author with its keys, newest activity in plain sight."""
    names = ("Author", "Role", "Answers for it", "Keys", "Last event", "Events", "Trouble")
    head = box("", box("", *(box("number" if name == "Events" else "", name, tag="th") for name in names), tag="tr"), tag="thead")
    return box("panel", box("list", head, box("", *(_author(author) for author in authors), tag="tbody"), tag="table"))


def alert_item(alert: Alert) -> Node:
    """Return one finding: how grave, what, about whom, and on which events it rests."""
    top = box(
        "top", word(f"badge {SEVERITIES.get(alert.severity, 'red')}", alert.severity), word("strong", alert.rule),
        word(f"badge {_ALERT_STATES.get(alert.state, 'gray')}", alert.finding or alert.state),
        *(word("badge gray", ref) for ref in alert.refs), demo_badge() if alert.insecure_demo else None,
        word("soft", moment(alert.raised, "ago"), f", position {alert.position:,}"),
    )  # fmt: skip
    about = box(
        "under", word("", "About "), word("strong", alert.suspect), f" by {alert.detector} {alert.version}",
        f", score {alert.score / 10:.0f} %", _run(alert),
    )  # fmt: skip
    figures = ", ".join(f"{name} {value:g}" for name, value in sorted(alert.figures.items()))
    evidence = box("under", "Rests on ", *(_evidence(name) for name in alert.evidence))
    said = box("under text", alert.sentence or "The detector's note is not readable here.")
    return box("item", top, said, about, box("under", figures) if figures else None, evidence)


def _author(author: Author) -> Node:
    live = word(f"dot {'green' if author.session else 'gray'}", title="session open" if author.session else "no open session")
    name = box("top", live, word(" strong", f"{author.author}"))
    software = box("soft", author.software) if author.software else None
    cells: tuple[Node | str, ...] = (
        box("", name, software), box("", word("badge gray", author.role)), author.owner,
        box("", *(_key(key) for key in author.keys)),
        moment(author.last_seen, "ago") if author.last_seen else word("soft", "never"), f"{author.events:,}", _trouble(author),
    )  # fmt: skip
    return box("", *(box("number" if number == 5 else "", cell, tag="td") for number, cell in enumerate(cells)), tag="tr")


def _key(key: AuthorKey) -> Node:
    state = word("badge green", "valid") if key.until is None else word("badge gray", key.ended or "ended")
    since = "pinned" if key.since < 0 else f"since {key.since:,}"
    return box("key-line", short(key.key_id), state, word("soft", since), demo_badge() if key.insecure_demo else None)


def _trouble(author: Author) -> Node:
    counts = (("refused", author.refused), ("told twice", author.equivocations), ("alerted", author.alerts))
    badges = [word("badge red", f"{count:,} {name}") for name, count in counts if count]
    return box("badges", *badges) if badges else word("soft", "none")


def _run(alert: Alert) -> Node | None:
    return None if alert.run is None else word("", ", in ", link("mono", alert.run, page="runs", run=alert.run))


def _evidence(name: str) -> Node:
    return word("", short(name, head=8), " ")

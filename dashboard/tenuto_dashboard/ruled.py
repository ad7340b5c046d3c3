"""What policy said, in words: beside a request, in the list of answers, and rule by rule.

Names of rules, tools and calls are of the closed alphabet of headers. What an agent writes on its card about policy is shown as
the agent's word, and only where it differs from what is on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath

from tenuto.documents import ApprovalCard
from tenuto.policy.bundle import Rule
from tenuto.policy.decision import ERROR_RULE, NO_PERMIT_RULE
from tenuto_projections.rulings import Decider, Ruling

from .marks import notice
from .rulebook import Rulebook
from .sheet import Node, box, link, moment, short, word

DEMANDS = {"none": "without asking a person", "approval": "once a person approves", "approval_and_one_more": "once two people approve"}
NOT_RULES = {
    ERROR_RULE: "No rule: the engine gave no answer that can be trusted, so it is a deny.",
    NO_PERMIT_RULE: "No rule: nothing permits the call, and what is not permitted is denied.",
}
UNDECIDED = "No decision of policy about this call is on record, so nothing can clear it."


def sentence(ruling: Ruling | None) -> str:
    """Say in one sentence what policy said to a call."""
    if ruling is None:
        return UNDECIDED
    if ruling.error:
        return "Policy denies the call: its engine gave no answer that can be trusted."
    by = f"by {', '.join(ruling.rules)}"
    return f"Policy denies the call, {by}." if ruling.effect == "deny" else f"Policy allows the call {DEMANDS[ruling.obligation]}, {by}."


def said_by_policy(ruling: Ruling | None, card: ApprovalCard | None) -> Node:
    """Return what policy said to the call that a request is about, from the ledger."""
    head = box("panel-head", box("", "What policy said", tag="h2"), word("right", "from the ledger"))
    if ruling is None:
        return box("panel", head, box("panel-body", notice("red", UNDECIDED)))
    rows: list[tuple[str, Node | str]] = [
        ("Answer", sentence(ruling)), ("Rules", word("mono", ", ".join(ruling.rules))),
        ("Bundle", short(ruling.bundle)), ("Engine", word("mono", ruling.engine)),
        ("Decided", word("", moment(ruling.at, "ago"), f", position {ruling.position:,}")),
    ]  # fmt: skip
    named = card.policy_rules if card is not None else ()
    if named and set(named) != set(ruling.rules):
        rows.append(("Agent's word", f"The agent's card names other rules: {', '.join(named)}"))
    cells = [cell for name, value in rows for cell in (box("", name, tag="dt"), box("", value, tag="dd"))]
    return box("panel", head, box("panel-body", box("facts", *cells, tag="dl")))


def decider(deciders: Sequence[Decider], book: Rulebook) -> Node:
    """Return which bundle decides now, and whether it is the one whose rules this machine has."""
    head = box("panel-head", box("", "The bundle that decides", tag="h2"))
    if not deciders:
        return box("panel", head, box("panel-body", word("soft", "Policy has decided about nothing yet.")))
    now, *earlier = deciders
    since = word("soft", "has not decided yet") if now.first_at is None else moment(now.first_at, "ago")
    rows: list[tuple[str, Node | str]] = [
        ("Digest", short(now.bundle)), ("Engine", word("mono", now.engine or "not known yet")), ("First used", since),
        ("Decisions", f"{now.decisions:,}, of which {now.denies:,} denied"), ("Before it", _before(earlier)),
    ]  # fmt: skip
    cells = [cell for name, value in rows for cell in (box("", name, tag="dt"), box("", value, tag="dd"))]
    return box("panel", head, box("panel-body stack", _same(now, book), box("facts", *cells, tag="dl")))


def canaries(book: Rulebook, now: datetime) -> Node:
    """Return what was tried on the rules of this machine, and whether it came out as it must."""
    age = (now - book.read_at).total_seconds()
    head = box("panel-head", box("", "Canaries", tag="h2"), word("right", "tried ", moment(book.read_at, "ago") if age > 1 else "now"))
    if book.fault:
        return box("panel", head, box("panel-body", notice("red", word("strong", "They fail. "), book.fault)))
    lines = (box("item", word("badge green", "holds"), " ", said) for said in book.tried)
    return box("panel", head, *lines)


def rules(book: Rulebook, counts: Mapping[str, Mapping[str, int]]) -> Node:
    """Return every rule with what it does and how often it decided in a week; what no rule decided comes first."""
    odd = [name for name in counts if name not in book.rules]
    odd.sort(key=lambda name: (name != ERROR_RULE, name != NO_PERMIT_RULE, name))
    names = ("Rule", "Effect", "Speaks about", "Demands", "Allowed", "Denied")
    head = box("", box("", *(box("number" if name in names[4:] else "", name, tag="th") for name in names), tag="tr"), tag="thead")
    rows = [_stranger(name, counts[name]) for name in odd]
    rows += [_rule(rule, counts.get(rule.id, {})) for rule in book.rules.values()]
    title = box("panel-head", box("", "Rules", tag="h2"), word("right", "how often each decided in the last 7 days"))
    if not rows:
        return box("panel", title, box("panel-body", word("soft", "This engine keeps its rules to itself, and none has decided in 7 days.")))
    return box("panel", title, box("list", head, box("", *rows, tag="tbody"), tag="table"))


def answers(title: str, found: Sequence[Ruling], empty: str) -> Node:
    """Return the latest answers, newest first, each with the call and the rules that decided."""
    rows = [_answer(ruling) for ruling in found] or [box("panel-body", word("soft", empty))]
    return box("panel", box("panel-head", box("", title, tag="h2"), word("right", f"the latest {len(found)}" if found else "")), *rows)


def _same(now: Decider, book: Rulebook) -> Node:
    if book.fault:
        return notice("red", "The rules of this machine cannot be used, so nothing here says what the bundle contains.")
    if book.bundle == now.bundle:
        return notice("green", "The rules below are this bundle's: the digest of the files here is the one that decides.")
    return notice("amber", "The rules below are NOT this bundle's: the files here have the digest ", short(book.bundle), ".")


def _before(earlier: Sequence[Decider]) -> Node | str:
    if not earlier:
        return "no other bundle"
    return box("", *(box("", short(one.bundle), word("soft", f" {one.decisions:,} decisions")) for one in earlier))


def _rule(rule: Rule, count: Mapping[str, int]) -> Node:
    effect = word("badge green", "permit") if rule.permits else word("badge red", "forbid")
    place = PurePath(rule.place.partition(", line ")[0]).name + ", line " + rule.place.rpartition(", line ")[2]
    text = box("more", box("", place, tag="summary"), box("command", rule.text, tag="pre"), tag="details", key=rule.id)
    demands = DEMANDS[rule.obligation] if rule.permits else "stops it, whatever permits it"
    cells: tuple[Node | str, ...] = (
        box("", word("mono strong", rule.id), text), effect, word("mono", ", ".join(rule.tools) or "every tool"), demands,
        _counted(count.get("allow", 0)), _counted(count.get("deny", 0)),
    )  # fmt: skip
    return box("", *(box("number" if number > 3 else "", cell, tag="td") for number, cell in enumerate(cells)), tag="tr")


def _stranger(name: str, count: Mapping[str, int]) -> Node:
    said = NOT_RULES.get(name, "Decided, and is not among the rules of this machine.")
    tone = "red" if name == ERROR_RULE else "amber"
    cells: tuple[Node | str, ...] = (
        box("", word("mono strong", name), box("under", said)), word(f"badge {tone}", "error" if name == ERROR_RULE else "no rule"),
        word("soft", "\u2013"), word("soft", "\u2013"), _counted(count.get("allow", 0)), _counted(count.get("deny", 0)),
    )  # fmt: skip
    return box(tone, *(box("number" if number > 3 else "", cell, tag="td") for number, cell in enumerate(cells)), tag="tr")


def _counted(count: int) -> Node:
    return word("" if count else "soft", f"{count:,}")


def _answer(ruling: Ruling) -> Node:
    tone = "green" if ruling.effect == "allow" else "red"
    what = f"{ruling.tool} on {ruling.resource}" if ruling.tool else f"the call {ruling.call}, which nobody had asked for"
    run = None if ruling.run is None else link("mono", ruling.run, page="runs", run=ruling.run)
    top = box(
        "top", word(f"badge {tone}", "error" if ruling.error else ruling.effect), word("strong", ruling.author), word("mono", what),
        run, word("soft", moment(ruling.at, "ago"), f", position {ruling.position:,}"),
    )  # fmt: skip
    return box("item error" if ruling.error else "item", top, box("under", sentence(ruling)))

"""What a request looks like: a row of the inbox, and on the review page its head, facts, verdicts, rules and votes.

Drawn from `ApprovalCard`, which strangers wrote, and from signed header fields. The two are never mixed: what the header
commits to (digest, tool, resource, who) stands in the facts; what the agent says about it stands under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tenuto.approvals.fold import RULES
from tenuto.documents import ApprovalCard, Finding
from tenuto_projections.inbox import Approval, CastVote, InboxItem, RuleTick

from .marks import SEVERITIES, demo_badge, notice, risk_badges, risk_tone, state_badge
from .sheet import Node, box, icon, link, moment, short, word

UNREADABLE = "What this request would do is not readable here"
FINDINGS_SHOWN = 3
_VERDICTS = {"approve": "green", "reject": "red", "comment": "amber"}
_GRAVEST = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def inbox_head(decided: bool) -> Node:
    """Return the names of the columns."""
    last = "State" if decided else "Expires"
    return box("columns", *(word("", name) for name in ("", "What will change", "Asked by", "Age", last, "Votes", "")))


def inbox_row(item: InboxItem, now: datetime, whose: str = "") -> Node:
    """Return one request as a link to its review; `whose` says on which desk it lies."""
    who = box(
        "who", box("strong", item.author), box("soft", f"for {item.initiator}"),
        title=f"{item.author} asks; {item.agent_owner} answers for it; {item.initiator} started it",
    )  # fmt: skip
    state = item.state_at(now)
    return link(
        f"row {risk_tone(item.risks)}",
        word("bar"),
        box("", box("top", box("title", item.title or UNREADABLE), _badges(item)), box("sentence", item.sentence or said_by_header(item)), box("soft", whose) if whose else None),
        who,
        box("when", moment(item.requested, "age")),
        box("when", moment(item.expires, "until") if state == "open" else state_badge(state)),
        votes(item),
        icon("next"),
        page="review",
        approval=item.approval,
    )


def votes(item: InboxItem) -> Node:
    """Return the votes that count, as dots and figures."""
    dots = (word("vote cast" if number < item.approved_by else "vote") for number in range(item.quorum))
    said = f"{item.approved_by} of {item.quorum} approvals"
    return word("votes", *dots, word("soft", f"{item.approved_by} of {item.quorum}"), title=said)


def review_head(approval: Approval, now: datetime) -> Node:
    """Return the first thing a reviewer reads: one sentence, its risks, its state."""
    item, card = approval.item, approval.card
    state = item.state_at(now)
    return box(
        "",
        link("crumb", icon("back"), "Inbox", page="inbox"),
        box("", card.title if card else UNREADABLE, tag="h1"),
        box("lead big", card.sentence if card else said_by_header(item), tag="p"),
        box("badges", state_badge(state), *risk_badges(item.risks).children, demo_badge() if item.insecure_demo else None),
        box("under", "Expires ", moment(item.expires, "by"), ".") if state == "open" else None,
    )


def said_by_header(item: InboxItem) -> str:
    """Return the one sentence that needs no payload: the signed action itself."""
    return f"{item.author} asks to call {item.tool} on {item.resource}."


def facts(item: InboxItem, now: datetime) -> Node:
    """Return what the request commits to, and who is behind it."""
    rows: list[tuple[str, Node | str]] = [
        ("Digest", short(item.digest)),
        ("Tool", word("mono", item.tool)),
        ("Resource", word("mono", item.resource)),
        ("Subject", item.subject),
        ("Asked by", f"{item.author} (owner: {item.agent_owner})"),
        ("Initiator", item.initiator),
        ("Requested", word("", moment(item.requested, "ago"), f", position {item.position:,}")),
        ("Expires", moment(item.expires, "by")) if item.decided is None else ("Decided", moment(item.decided, "ago")),
        ("Votes", votes(item)),
    ]
    if item.run is not None:
        rows.insert(4, ("Run", link("mono", item.run, page="runs", run=item.run)))
    cells = [cell for name, value in rows for cell in (box("", name, tag="dt"), box("", value, tag="dd"))]
    right = word("right", "signed header")
    return box("panel", _head("Facts", right), box("panel-body", box("facts", *cells, tag="dl")))


def verdicts(card: ApprovalCard) -> Node:
    """Return what the agent concludes beside what static analysis found: where they differ, a person is needed."""
    tone = _VERDICTS.get(card.verdict, "gray")
    badge = word(f"badge {tone}", card.verdict or "no verdict")
    agent = box(
        "panel", _head("Agent's verdict", word("right", badge)),
        box("panel-body", box("text", card.verdict_reasoning or "The agent gave no reasoning.")),
    )  # fmt: skip
    return box("pair", agent, findings(card.findings))


def findings(found: Sequence[Finding]) -> Node:
    """Return the findings of static analysis, gravest first, the rest behind one click."""
    ordered = sorted(found, key=lambda finding: _GRAVEST.get(finding.severity, 0))
    count = word("right", f"{len(ordered)} finding{'' if len(ordered) == 1 else 's'}")
    items = [_finding(finding) for finding in ordered]
    if not items:
        items = [box("panel-body", word("soft", "Nothing was found."))]
    more = None
    if len(items) > FINDINGS_SHOWN:
        label = box("", f"{len(items) - FINDINGS_SHOWN} more", tag="summary")
        more = box("more", label, *items[FINDINGS_SHOWN:], tag="details", key="findings")
    return box("panel", _head("Static analysis", count), *items[:FINDINGS_SHOWN], more)


def diverges(card: ApprovalCard) -> Node | None:
    """Return a warning when the agent approves in spite of grave findings."""
    grave = sum(SEVERITIES.get(finding.severity, "red") == "red" for finding in card.findings)
    if card.verdict != "approve" or not grave:
        return None
    noun = "finding" if grave == 1 else "findings"
    return notice("red", f"The agent approves although static analysis has {grave} grave {noun}. Read the code before you decide.")


def rules(approval: Approval) -> Node:
    """Return where the seven numbered rules stand by which the approval counts."""
    return box("panel", _head("Does it count? The rules of the approval"), *(_rule(rule) for rule in approval.rules))


def pull_request(card: ApprovalCard) -> Node:
    """Return the change that this is about, in its author's words."""
    asked = card.pull_request
    if asked is None:
        return box("panel", _head("Pull request"), box("panel-body", word("soft", "None was named.")))
    rows = (
        ("Title", asked.title), ("Author", asked.author), ("Repository", asked.repository), ("From", asked.head),
        ("Into", asked.base), ("Files", "\n".join(asked.files)), ("Description", asked.description),
    )  # fmt: skip
    cells = [
        cell for name, value in rows if value for cell in (box("", name, tag="dt"), box("text", value, tag="dd"))
    ]
    return box("panel", _head("Pull request", word("right", "untrusted text")), box("panel-body", box("facts", *cells, tag="dl")))


def cast(found: Sequence[CastVote]) -> Node:
    """Return the votes so far, with their reasons, and why one does not count."""
    items = [_vote(vote) for vote in found] or [box("panel-body", word("soft", "Nobody has decided yet."))]
    return box("panel", _head("Votes"), *items)


def _head(title: str, right: Node | None = None) -> Node:
    return box("panel-head", box("", title, tag="h2"), right)


def _badges(item: InboxItem) -> Node | None:
    badges = risk_badges(item.risks).children
    demo = (demo_badge(),) if item.insecure_demo else ()
    return box("badges", *badges, *demo) if badges or demo else None


def _finding(finding: Finding) -> Node:
    top = box(
        "top", word(f"badge {SEVERITIES.get(finding.severity, 'red')}", finding.severity), word("mono", finding.rule),
        word("soft", f"{finding.file}:{finding.line}"),
    )  # fmt: skip
    return box("item", top, box("under text", finding.message), title=f"found by {finding.tool}")


def _rule(rule: RuleTick) -> Node:
    return box(
        f"tick {'passed' if rule.holds else 'not_done'}", word("number", str(rule.rule)),
        word("seal", icon("check" if rule.holds else "minus")),
        box("", box("title", _sentence(RULES.get(rule.rule, "unknown to this version"))), box("sentence", _sentence(rule.sentence))),
    )  # fmt: skip


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _vote(vote: CastVote) -> Node:
    word_, tone = {"approve": ("Approved", "green"), "deny": ("Denied", "red")}.get(vote.decision, ("Withdrew", "gray"))
    top = box(
        "top", word(f"badge {tone}", word_), word("strong", vote.reviewer), demo_badge() if vote.insecure_demo else None,
        word("soft", moment(vote.recorded_at, "ago"), f", position {vote.position:,}"),
    )  # fmt: skip
    reason = box("under text", vote.reason) if vote.reason else None
    void = None
    if vote.withdrawn:
        void = box("under", "Withdrawn by its reviewer.")
    elif not vote.counts:
        void = box("under", f"Does not count: {vote.sentence} (rule {vote.rule})")
    return box("item", top, reason, void)

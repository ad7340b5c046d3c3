"""How bundles, trials, recorded questions and differences are shown: plain data for a pipe, lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from .replay.records import printable, stamp

if TYPE_CHECKING:
    from tenuto.policy import Decision, Policy
    from tenuto.policy.bundle import Bundle, Rule
    from tenuto.policy.cases import Trial
    from tenuto.policy.history import Asked, Change


def bundle_record(bundle: Bundle) -> dict[str, Any]:
    """Return a sound bundle as plain data."""
    rules = [
        {"rule": rule.id, "effect": "permit" if rule.permits else "forbid", "obligation": rule.obligation,
         "tools": list(rule.tools), "place": rule.place}
        for rule in bundle.rules.values()
    ]  # fmt: skip
    return {"bundle": bundle.digest, "rules": rules}


def bundle_lines(bundle: Bundle) -> list[Text]:
    """Return its rules, one a line, and its digest."""
    lines = [
        Text.assemble(
            (f"  {rule.id:<32} ", "bold"), (f"{'permit' if rule.permits else 'forbid'} ", "green" if rule.permits else "red"),
            f"{', '.join(rule.tools) or 'any tool'}", (f"  after {rule.obligation}" if rule.obligation != "none" else "", "yellow"),
        )
        for rule in bundle.rules.values()
    ]  # fmt: skip
    return [*lines, Text(f"{len(bundle.rules)} rules, and no stranger passes. Bundle {bundle.digest}.")]


def trial_record(trial: Trial) -> dict[str, Any]:
    """Return how the cases went, as plain data."""
    failed = [{"case": case.name, "fault": fault} for case, fault in trial.failed]
    return {"cases": trial.cases, "failed": failed, "rules_without_case": list(trial.unpinned)}


def trial_lines(trial: Trial) -> list[Text]:
    """Return what failed and what is not tested, then one line over all."""
    lines = [Text(printable(f"  ✗ {case.name}: {fault}."), style="bold red") for case, fault in trial.failed]
    lines += [Text(f"  ! no case would miss the rule {rule}.", style="yellow") for rule in trial.unpinned]
    good = trial.cases - len(trial.failed)
    said = f"{good} of {trial.cases} cases hold"
    if trial.failed:
        said += "; which rules they pin is looked at when all do."
    elif not trial.unpinned:
        said += ", and each rule is missed by at least one of them when it is taken away."
    else:
        said += f", {len(trial.unpinned)} rules are not tested."
    return [*lines, Text(said)]


def explained(asked: Asked, policy: Policy, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return what was asked and said, and what `policy` says to it now, as plain data."""
    decided, request = asked.decided, asked.request
    record: dict[str, Any] = {
        "call": decided.call, "position": asked.position, "recorded_at": stamp(asked.recorded_at), "author": decided.author,
        "effect": decided.effect, "obligation": decided.obligation, "rules": list(decided.rules),
        "bundle": decided.bundle, "engine": decided.engine, "question": None, "why_not": asked.why_not, "again": None,
        "texts": {},
    }  # fmt: skip
    if request is None:
        return record
    again = policy.decide(request)
    same = again.bundle == decided.bundle
    shown = {rule: rules[rule] for rule in (*decided.rules, *again.rules) if rule in rules}
    return record | {
        "question": {
            "principal": request.principal, "role": request.role, "tool": request.tool, "resource": request.resource,
            "digest": request.digest, "subject": request.subject, "risks": list(request.risks),
            "initiator": request.initiator, "arguments": dict(request.arguments),
        },
        "again": _answer(again) | {"same_bundle": same, "same_answer": _answer(again)["said"] == _said(decided)},
        "texts": {name: {"place": rule.place, "text": rule.text} for name, rule in shown.items()},
    }  # fmt: skip


def explained_lines(record: Mapping[str, Any]) -> list[Text]:
    """Return the explanation as a person reads it: asked, said, by which rules, and now."""
    said = _said_words(record["effect"], record["obligation"])
    lines = [
        Text(f"{record['call']}, position {record['position']}, {record['recorded_at']}", style="bold"),
        Text(f"  {said} by {', '.join(record['rules'])} ({record['engine']}, bundle {record['bundle'][:12]})"),
    ]
    question, again = record["question"], record["again"]
    if question is None:
        return [*lines, Text(f"  It cannot be asked again: {record['why_not']}.", style="yellow")]
    lines.append(Text(printable(f"  {question['principal']} ({question['role']}) for {question['tool']} on {question['resource']}")))
    facts = [(name, question[name]) for name in ("subject", "initiator", "digest")] + [("risks", ", ".join(question["risks"]))]
    facts += [("argument", f"{name} = {value!r:.200}") for name, value in question["arguments"].items()]
    lines += [Text(printable(f"    {name:<10} {value or '-'}")) for name, value in facts]
    bundle = "the same bundle" if again["same_bundle"] else f"another bundle, {again['bundle'][:12]},"
    style = "green" if again["same_answer"] else "bold red"
    lines.append(Text(f"  Asked again, {bundle} says {again['said']} by {', '.join(again['rules'])}.", style=style))
    for name, rule in record["texts"].items():
        lines.append(Text(f"  {name}, {rule['place']}", style="bold"))
        lines += [Text(printable(f"    {line}")) for line in rule["text"].splitlines()]
    return lines


def change_record(change: Change) -> dict[str, Any]:
    """Return one difference as plain data."""
    request, decided = change.asked.request, change.asked.decided
    assert request is not None
    return {
        "position": change.asked.position, "call": decided.call, "principal": request.principal, "tool": request.tool,
        "resource": request.resource, "risks": list(request.risks), "old": _answer(change.old),
        "new": _answer(change.new), "loosens": change.loosens, "recorded": _said(decided),
    }  # fmt: skip


def change_line(change: Change) -> Text:
    """Return one difference as one line; what lets more through is red."""
    request = change.asked.request
    assert request is not None
    line = Text(f"{change.asked.position:>7}  ", style="dim")
    line.append(printable(f"{request.principal} {request.tool} {request.resource}  "), style="cyan")
    line.append(f"{_said(change.old)} ({', '.join(change.old.rules)}) -> {_said(change.new)} ({', '.join(change.new.rules)})")
    line.append("  LOOSER" if change.loosens else "  stricter", style="bold red" if change.loosens else "green")
    return line


def total_line(asked: int, skipped: int, changes: Sequence[Change]) -> Text:
    """Return one line over all."""
    looser = sum(change.loosens for change in changes)
    said = f"{asked - skipped} questions were put again: {len(changes)} answers differ, {looser} of them looser."
    return Text(said + (f" {skipped} cannot be put again." if skipped else ""), style="bold")


def _answer(decision: Decision) -> dict[str, Any]:
    return {"said": _said(decision), "rules": list(decision.rules), "bundle": decision.bundle, "engine": decision.engine}


def _said(decision: Any) -> str:
    return _said_words(decision.effect, decision.obligation)


def _said_words(effect: str, obligation: str) -> str:
    return effect if obligation == "none" else f"{effect} with {obligation}"

"""The three questions a person asks the log: show me this event, why did it happen, and replay this run.

Nothing is printed before the walk has ended: only the root over all events, compared with the signed checkpoint, makes
the first of them final.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
from rich.text import Text
from sqlalchemy import Engine
from tenuto.approvals import Standing, Vote
from tenuto.documents import readable
from tenuto.following import Follower
from tenuto.purges import Purge

from ..inbox import Approval, CastVote
from ..walked import Walked, event_ticks
from .links import Link, Links, NothingFound, Permission
from .records import Output, line, marks, payload_text, printable, record, stamp, tick_lines, tick_records
from .selection import AsOf
from .state import Replayed, RunState, differences, replay, state_of


def show_event(follower: Follower, walked: Walked, name: str) -> None:
    """Print one event with payload, ticks, causes and effects; raises NothingFound, VerificationFailed."""
    links = Links()
    verified = links.walk(follower, name, walked)
    purge = follower.walk.purges.covering(verified.position)
    verified = replace(verified, purged=purge is not None)
    ticks = event_ticks(verified, walked.walk(follower), purge)
    causes = [link for link in links.chain() if link.depth == 1]
    shown = record(verified) | {
        "header": verified.header.decode(), "header_sha256": verified.header_hash,
        "signature": verified.signature.hex(), "leaf": verified.leaf.hex(), "key_id": verified.key.key_id,
        "owner": verified.key.owner, "content": readable(verified.event.payload_type, verified.payload),
        "verification": tick_records(ticks), "causes": [_link_record(link) for link in causes],
        "effects": [_link_record(link) for link in links.effects()],
        "purged": purge and purge.sentence,
    }  # fmt: skip
    lines = [line(verified), *_section("Header"), Text(printable(_pretty(verified.header)))]
    content = payload_text(verified)
    lines += [*_section(f"Payload ({verified.event.payload_type or 'none'})"), Text(content or _absent(purge))]
    lines += [*_section("Verification"), *tick_lines(ticks)]
    lines += [*_section("Caused by"), *_links(causes), *_section("Led to"), *_links(links.effects())]
    Output().emit(shown, lines)


def explain(follower: Follower, walked: Walked, name: str) -> None:
    """Print the causal chain of an event and what allowed it; raises NothingFound, VerificationFailed."""
    links = Links()
    links.walk(follower, name, walked)
    chain = list(links.chain())
    allowed = links.permission(chain)
    shown = {"chain": [_link_record(link) for link in chain], "allowed_by": _permission_record(allowed)}
    Output().emit(shown, [*_links(chain), *_section("Allowed by"), *_permission_lines(allowed)])


def replay_run(follower: Follower, walked: Walked, name: str, until: AsOf, live: Engine | None) -> bool:
    """Print every step of a run with its ticks and the state rebuilt; return whether the `live` read model agrees.

    Without `live` there is nothing to disagree with. Raises NothingFound, VerificationFailed.
    """
    replayed = replay(follower, walked, name, until)
    if replayed.state is None:
        raise NothingFound(
            f"No event of the run {name} is in the {replayed.last_position + 1:,} events up to that point."
        )
    output = Output()
    for event in replayed.events:
        purge = follower.walk.purges.covering(event.position)
        verified = replace(event, purged=purge is not None)
        ticks = event_ticks(verified, replayed.walk, purge)
        shown = {"type": "event"} | record(verified) | {"verification": {str(tick.step): tick.state for tick in ticks}}
        gone = Text("") if purge is None else Text(f"  [{purge.sentence}]", style="blue")
        output.emit(shown | {"purged": purge and purge.sentence}, [Text.assemble(marks(ticks), line(verified), gone)])
    output.emit(_state_record(replayed), _state_lines(replayed))
    return live is None or _compare(output, replayed.state, live, name, replayed.last_position + 1)


def _absent(purge: Purge | None) -> str:
    return "It is not there." if purge is None else f"It was {purge.sentence}."


def _compare(output: Output, replayed: RunState, live: Engine, name: str, size: int) -> bool:
    with live.connect() as connection:
        found = differences(replayed, state_of(connection, name))
    sentence = f"The read model agrees with the replay of all {size:,} events."
    if found:
        sentence = f"The read model differs from the replay in {', '.join(found)}."
    style = "bold red" if found else "bold green"
    output.emit({"type": "comparison", "agrees": not found, "differs_in": list(found)}, [Text(sentence, style=style)])
    return not found


def _state_record(replayed: Replayed) -> dict[str, Any]:
    state = replayed.state
    assert state is not None
    approvals = [_approval_record(approval) for approval in state.approvals]
    run = msgspec.to_builtins(state.run) | {
        "started": stamp(state.run.started),
        "last_seen": stamp(state.run.last_seen),
    }
    run["finished"] = None if state.run.finished is None else stamp(state.run.finished)
    return {"type": "state", "as_of": replayed.last_position, "run": run, "approvals": approvals}


def _approval_record(approval: Approval) -> dict[str, Any]:
    item = approval.item
    votes = [
        {"position": vote.position, "reviewer": vote.reviewer, "decision": vote.decision, "counts": vote.counts,
         "rule": vote.rule, "sentence": vote.sentence, "withdrawn": vote.withdrawn, "reason": vote.reason,
         "insecure_demo": vote.insecure_demo}
        for vote in approval.votes
    ]  # fmt: skip
    return {
        "approval": item.approval, "state": item.state, "tool": item.tool, "resource": item.resource,
        "digest": item.digest, "quorum": item.quorum, "approved_by": item.approved_by, "risks": list(item.risks),
        "expires": stamp(item.expires), "consumed_by": item.consumed_by, "votes": votes,
        "rules": [{"rule": rule.rule, "holds": rule.holds, "sentence": rule.sentence} for rule in approval.rules],
    }  # fmt: skip


def _state_lines(replayed: Replayed) -> list[Text]:
    state = replayed.state
    assert state is not None
    run = state.run
    lines = _section(f"State of {run.run} as of position {replayed.last_position}")
    lines.append(Text(f"  {printable(run.title or '(no title)')}, stage {run.stage}, outcome {run.outcome or 'open'}"))
    for approval in state.approvals:
        item = approval.item
        said = (
            f"  {item.approval}: {item.state}, {item.approved_by} of {item.quorum} for {item.tool} on {item.resource}"
        )
        lines.append(Text(said, style="bold"))
        lines += [_vote_line(vote) for vote in approval.votes]
        lines += [Text(f"    rule {rule.rule} {'✓' if rule.holds else '✗'} {rule.sentence}") for rule in approval.rules]
    return lines


def _permission_record(allowed: Permission) -> dict[str, Any]:
    policies = [
        {"call": policy.call, "effect": policy.effect, "rules": list(policy.rules), "obligation": policy.obligation,
         "engine": policy.engine, "bundle": policy.bundle, "author": policy.author, "id": str(policy.id)}
        for policy in allowed.policies
    ]  # fmt: skip
    return {"policies": policies, "approvals": [_standing_record(standing) for standing in allowed.approvals]}


def _standing_record(standing: Standing) -> dict[str, Any]:
    votes = [
        {"reviewer": vote.reviewer, "owner": vote.owner, "decision": vote.decision, "counts": vote.counts,
         "rule": vote.rule, "sentence": vote.sentence, "position": vote.position, "insecure_demo": vote.insecure_demo}
        for vote in standing.votes
    ]  # fmt: skip
    return {"approval": standing.request.event.approval, "state": standing.state, "votes": votes}


def _permission_lines(allowed: Permission) -> list[Text]:
    lines = []
    for policy in allowed.policies:
        said = f"  policy: {policy.effect} for {policy.call} by {', '.join(policy.rules) or 'no rule'}"
        lines.append(Text(f"{said} ({policy.engine}, bundle {policy.bundle[:12]}, obligation {policy.obligation})"))
    for standing in allowed.approvals:
        lines.append(Text(f"  approval {standing.request.event.approval}: {standing.state}"))
        lines += [_vote_line(vote) for vote in standing.votes]
    return lines or [Text("  No policy and no approval stands in this chain.")]


def _vote_line(vote: Vote | CastVote) -> Text:
    void = "" if vote.counts else f", which does not count: {vote.sentence or 'it was withdrawn.'}"
    line = Text(f"    {vote.reviewer}: {vote.decision}{void}")
    if vote.insecure_demo:
        line.append("  [insecure demo key]", style="yellow")
    return line


def _link_record(link: Link) -> dict[str, Any]:
    return {
        "depth": link.depth, "position": link.position, "id": str(link.id),
        "recorded_at": None if link.recorded_at is None else stamp(link.recorded_at), "author": link.author,
        "kind": link.kind, "summary": link.said, "missing": link.missing, "again": link.again,
    }  # fmt: skip


def _links(links: Iterable[Link]) -> list[Text]:
    return [_link_line(link) for link in links] or [Text("  nothing on record", style="dim")]


def _link_line(link: Link) -> Text:
    text = Text("  " * link.depth + ("└ " if link.depth else ""))
    text.append("?" if link.position is None else str(link.position), style="dim")
    text.append(f" {link.kind or link.id} ", style="bold")
    text.append(link.said, style="yellow" if link.missing else "")
    return text.append("  (see above)", style="dim") if link.again and link.causes else text


def _section(title: str) -> list[Text]:
    return [Text(""), Text(printable(title), style="bold underline")]


def _pretty(header: bytes) -> str:
    return msgspec.json.format(header, indent=2).decode()

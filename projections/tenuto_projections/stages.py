"""Where an event stands on the way from pull request to deployment, and what it says in plain words.

Both are made of signed header fields only, whose alphabet is closed, so a sentence can be shown anywhere; nothing that a
model or a stranger wrote is in it. Every kind of the vocabulary has its sentence, held by a test.
"""

from __future__ import annotations

import msgspec
from tenuto.events import Event

STAGES: dict[str, str] = {
    "review": "the change is being reviewed",
    "plan": "what it would change is being planned",
    "approval": "people are asked to clear it",
    "apply": "the infrastructure is being changed",
    "deploy": "the artifact is being put into place",
    "health": "its health is being checked",
    "done": "the run has ended",
}
"""In the order in which a run passes them."""

FIRST_STAGE = next(iter(STAGES))
_RANK = {stage: rank for rank, stage in enumerate(STAGES)}

_OF_KIND = {
    "run.finished": "done",
    "approval.requested": "approval",
    "deployment.started": "deploy",
    "deployment.healthy": "health",
    "deployment.unhealthy": "health",
    "deployment.rolled_back": "health",
    "deployment.quarantined": "health",
}
_OF_TOOL = {"plan": "plan", "apply": "apply", "deploy": "deploy", "health": "health"}
_TOOL_KINDS = frozenset({"tool.started"})  # one that is merely asked for may still wait for people

SENTENCES: dict[str, str] = {
    "session.opened": "{author} starts a session with {software}.",
    "session.epoch_followed": "{author} seals its payloads to the key of epoch {epoch} from here on.",
    "session.closed": "{author} ends its session: {outcome}.",
    "key.registered": "{author} registers the key {subject_key_id} of {subject} as {role}; {owner} answers for it.",
    "key.rotated": "The key {old_key_id} of {subject} is replaced by {subject_key_id}.",
    "key.revoked": "The key {subject_key_id} of {subject} is revoked: {reason}.",
    "key.epoch_opened": "{author} opens epoch {epoch}: payloads are sealed to its key from here on.",
    "key.epoch_destroyed": "{author} destroyed the key of epoch {epoch}: what the bus still holds of it stays closed.",
    "key.storage_renewed": "{author} renewed the storage key; {kept} payloads of before open as they did.",
    "run.started": "{author} starts the run {run} ({workflow}).",
    "run.finished": "{author} ends the run: {outcome}.",
    "decision.made": "{author} decides on {subject}: {verdict}, with the model {model} and {findings} findings.",
    "message.sent": "{author} sends a message about {topic} to {to}.",
    "message.delivered": "{author} verified the message at position {position} and takes it up.",
    "message.refused": "{author} refuses the message at position {position}: {reason}.",
    "tool.requested": "{author} asks to call {tool} on {resource}.",
    "tool.started": "{author} calls {tool} on {resource}.",
    "tool.finished": "{tool} returned to {author} after {milliseconds} ms.",
    "tool.failed": "{tool} did not succeed for {author}: {why}.",
    "tool.unknown": "Whether {tool} had its effect is unknown; a person finds out and says it: tenuto reconcile {call}.",
    "tool.reconciled": "{author} found out how the call {call} of {agent} ended: {outcome}.",
    "policy.decided": "Policy says {effect} to the call {call} (rules: {rules}; obligation: {obligation}).",
    "policy.changed": "Another policy bundle decides from now on.",
    "approval.listed": "{author} lists what has to be seen before {approval}: {names}.",
    "approval.requested": "{author} asks for {quorum} approval(s) to clear {tool} on {resource} ({approval}).",
    "approval.assigned": "{approval} goes to {reviewer}: {why}.",
    "approval.opened": "{reviewer} opens {approval}.",
    "approval.viewed": "{reviewer} has a piece of {approval} on screen for {milliseconds} ms.",
    "approval.signed": "{author} signs a decision on {approval}: {decision}.",
    "approval.granted": "{author} computes that {approval} is granted, with {votes} vote(s).",
    "approval.denied": "{author} computes that {approval} is denied.",
    "approval.expired": "The time of {approval} ran out.",
    "approval.consumed": "{author} uses up {approval} for the call {call}.",
    "reviewer.enrolled": "{author} enrols {reviewer} as a reviewer (roles: {roles}; active: {active}).",
    "reviewer.limited": "{author} lets each reviewer decide {decisions_per_hour} times in an hour.",
    "approval.revoked": "{author} takes {approval} back: {reason}.",
    "reviewer.bound": "{author} says that whoever logs in as {identity} is {reviewer}.",
    "reviewer.unbound": "{author} lets nobody be {reviewer} any more by logging in as {identity}: {reason}.",
    "passkey.offered": "{author} offers a passkey of {reviewer}, made on {web_origin}; somebody else has to enrol it.",
    "passkey.enrolled": "{author} lets a passkey sign for {reviewer}, who is {owner}.",
    "passkey.revoked": "{author} ends a passkey of {reviewer}: {reason}.",
    "spotcheck.drawn": "The draw for a second look at {approval}: {drawn}.",
    "hold.placed": "{author} places the legal hold {hold}: nothing that it covers may be purged or dropped.",
    "retention.applied": "{author} archived the positions {first} to {last}; the tables begin at {minimum} from here on.",
    "hold.lifted": "{author} lifts the legal hold {hold}.",
    "spotcheck.signed": "{author} looked at {approval} again and does {finding}.",
    "alert.raised": "{detector} raises {alert} ({severity}) about {suspect}: {rule}.",
    "alert.acknowledged": "{author} has seen the alert {alert}.",
    "alert.closed": "{author} closes the alert {alert}: {finding}.",
    "secret.leaked": "A secret ({secret_type}) was found in {place}.",
    "secret.rotated": "The leaked secret ({secret_type}) no longer opens anything.",
    "secret.purged": "The payload that held the secret was made unreadable.",
    "deployment.started": "{author} deploys to {environment} ({deployment}).",
    "deployment.healthy": "{deployment} is healthy after {milliseconds} ms.",
    "deployment.unhealthy": "{deployment} is not healthy: {checks} checks failed.",
    "deployment.rolled_back": "{deployment} is rolled back: {why}.",
    "deployment.quarantined": "{deployment} is cut off and kept for the investigator.",
    "exercise.requested": "{author} asks the red team for the attack {scenario}.",
    "exercise.started": "{author} begins the attack {scenario} ({exercise}).",
    "exercise.ended": "The attack {scenario} ended: {verdict}; these controls held: {held}.",
    "drift.detected": "{resources} resources of {stack} differ from the approved baseline.",
    "drift.reverted": "{stack} is as its baseline again.",
    "state.accessed": "{principal} is let through to {state}: {operation}.",
    "state.written": "{principal} writes version {version} of {state} (serial {serial}) under the lock {lock}.",
    "state.refused": "The state store refuses {principal} ({operation} of {state}): {reason}.",
    "state.attested": "{author} vouches for the serial {serial} of {state}: the plan {plan} left it.",
    "record.refused": "Ingest refuses a record at {topic}/{partition}/{offset}: {reason}.",
    "record.gap": "Events {first_seq} to {last_seq} of the session {gap_session} never arrived.",
    "record.equivocation": "{claimed_author} signed two different events with the number {at_seq} in one session.",
    "record.purged": "The payloads of {positions} were made unreadable under {approval}: {reason}.",
    "record.lost": "{author} lost its spool: its events {first_seq} to {last_seq} had no receipt and cannot be sent again.",
    "record.spooled": "{author} kept {events} events back from {since} to {until}: {why}. All are dealt with.",
    "record.unaccounted": "{author} lost its spool: of its session {lost_session} the ledger has {last_seq} as the last event.",
}

CARRIED: dict[str, str] = {
    "approval.signed": "{author} carries a decision of {reviewer}, signed by passkey, on {approval}: {decision}.",
    "spotcheck.signed": "{author} carries a finding of {reviewer}, signed by passkey: on second sight of {approval}, {finding}.",
}
"""What is said where the event carries an assertion: who decided is not who wrote it."""


def sentence(event: Event) -> str:
    """Return one sentence about the event; any text in it is a name of the closed alphabet or a number.

    A console records what a reviewer looks at; where it names nobody, the author itself did it.
    """
    fields = msgspec.structs.asdict(event)
    if fields.get("reviewer", "") is None:
        fields["reviewer"] = event.author
    carried = CARRIED.get(event.kind) if fields.get("assertion") is not None else None
    return (carried or SENTENCES[event.kind]).format_map({name: _said(value) for name, value in fields.items()})


def stage_of(event: Event) -> str | None:
    """Return the stage that a run reaches with this event, or None if it says nothing about that.

    Tools are known by their names: one with `plan`, `apply`, `deploy` or `health` in it.
    """
    if event.kind in _TOOL_KINDS:
        words = str(getattr(event, "tool", "")).replace(".", " ").replace("_", " ").replace("-", " ").split()
        return next((stage for word, stage in _OF_TOOL.items() if word in words), None)
    return _OF_KIND.get(event.kind)


def furthest(stage: str, reached: str | None) -> str:
    """Return the later of two stages: a run never goes back, it only asks again."""
    return stage if reached is None or _RANK[reached] <= _RANK[stage] else reached


def _said(value: object) -> str:
    if value is None:
        return "nobody"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(str(part) for part in value) or "none"
    return str(value)

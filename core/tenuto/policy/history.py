"""Put the questions of the past to a policy again: what would have been decided otherwise?

A question is on record in two places: `tool.requested` says what was to be done, with the arguments beside it, and
`policy.decided` says what the gate told policy besides. Both are needed; a question whose payload was purged, or whose
author wrote none, is counted and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ..documents import Arguments, PolicyQuestion, from_payload
from ..errors import Refused
from ..events import PolicyDecided, ToolRequested
from ..verification import Verified
from .decision import OBLIGATIONS, Decision, Policy, PolicyRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """One decision on record. `request` is None where the question cannot be put again; `why_not` says why."""

    position: int
    recorded_at: datetime
    decided: PolicyDecided
    request: PolicyRequest | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded question to which two policies give other answers; rules that differ alone are no change."""

    asked: Asked
    old: Decision
    new: Decision

    @property
    def loosens(self) -> bool:
        """Whether the new policy lets pass what the old one stopped, or demands less before it."""
        return _strictness(self.new) < _strictness(self.old)


def questions(verified: Iterable[Verified]) -> Iterator[Asked]:
    """Yield every decision of policy in ledger order; `verified` starts at the first event and has its payloads."""
    requested: dict[tuple[str, str], tuple[ToolRequested, bytes | None]] = {}
    for one in verified:
        event = one.event
        if isinstance(event, ToolRequested):
            requested.setdefault((event.author, event.call), (event, one.payload))
        elif isinstance(event, PolicyDecided):
            call = requested.pop((event.author, event.call), None)
            yield _asked(one, event, call)


def compare(asked: Iterable[Asked], old: Policy, new: Policy) -> Iterator[Change]:
    """Yield the questions that the two answer differently: another effect, or another obligation."""
    for one in asked:
        if one.request is None:
            continue
        before, after = old.decide(one.request), new.decide(one.request)
        if (before.effect, before.obligation) != (after.effect, after.obligation):
            yield Change(one, before, after)


def _asked(one: Verified, event: PolicyDecided, call: tuple[ToolRequested, bytes | None] | None) -> Asked:
    def cannot(why: str) -> Asked:
        return Asked(one.position, one.recorded_at, event, None, why)

    if call is None:
        return cannot("its author asked for no such call before")
    requested, arguments = call
    if one.payload is None or arguments is None:
        return cannot("what was asked is not beside the events (purged, or never written)")
    try:
        facts, values = from_payload(one.payload, PolicyQuestion), from_payload(arguments, Arguments).values
    except Refused as refusal:
        return cannot(str(refusal))
    request = PolicyRequest(
        principal=event.author, role=facts.role, tool=requested.tool, resource=requested.resource, digest=requested.digest,
        subject=facts.subject, risks=facts.risks, initiator=facts.initiator, arguments=values,
    )  # fmt: skip
    return Asked(one.position, one.recorded_at, event, request)


def _strictness(decision: Decision) -> int:
    return len(OBLIGATIONS) if decision.effect == "deny" else OBLIGATIONS.index(decision.obligation)

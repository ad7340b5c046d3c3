"""What a gate is asked to let through, and in which words it answers: the action, the call, the outcome, the refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .documents import ApprovalCard, Result, to_payload
from .errors import Busy, Refused, TenutoError
from .events import PAYLOAD_BYTES_MAX
from .events.approval import Risk

SENTENCE_CHARACTERS_MAX = 1_000


class ActionRefused(Refused):
    """The tool was not touched. `reason` is `policy` (the rules say no) or `not_approved` (people did not clear it)."""

    reason = "policy"


class OutcomeUnknown(TenutoError):
    """Raised by a tool that cannot say whether it had its effect. It is put on record as that and never tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One tool call as it is asked for.

    resource: `kind:name` as policy names it. digest: 64 hex digits of exactly what is acted on. subject: what kind of
    thing the digest names (the tool's name if empty). risks: of `tenuto.events.approval.Risk`. initiator: the person
    behind the call. card: what reviewers see, needed where policy demands an approval. arguments: go on record as they
    are. refs: threats, mitigations and rules that the call's events are evidence for.
    """

    tool: str
    resource: str
    digest: str
    subject: str = ""
    risks: tuple[str, ...] = ()
    initiator: str = ""
    card: ApprovalCard | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that went through. `approval` names the request that cleared it, None where policy demanded none."""

    result: Result
    call: str
    approval: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the gate waits, in seconds: for people, for the ledger to show an event, between two looks at it."""

    approval_seconds: float = 3600.0
    ledger_seconds: float = 30.0
    poll_seconds: float = 0.05


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way: who it is, and in which run its events stand."""

    action: Action
    name: str
    run: str


def named(call: Call) -> dict[str, str]:
    """Return the fields that name a call in its later events."""
    return {"call": call.name, "tool": call.action.tool}


def target_of(call: Call) -> dict[str, str]:
    """Return the fields that say what a call acts on."""
    return {**named(call), "resource": call.action.resource, "digest": call.action.digest}


def why_failed(error: TenutoError) -> Literal["timeout", "not_approved", "refused"]:
    """Return why a call failed before its tool was touched, as `tool.failed` has it."""
    if isinstance(error, Busy):
        return "timeout"
    return "not_approved" if isinstance(error, ActionRefused) and error.reason == "not_approved" else "refused"


def demand_askable(action: Action) -> ApprovalCard:
    """Return the card; raises ActionRefused where people could not be asked properly, instead of not asking them."""
    if action.card is None:
        sentence = "the action brings no card, so nobody could see what they approve"
    elif not action.initiator:
        sentence = "the action names no initiator, so nobody knows who may not approve it"
    elif unknown := sorted(set(action.risks) - set(get_args(Risk))):
        sentence = f"the action names a risk that is not known, {unknown[0]}"
    else:
        return action.card
    raise ActionRefused(f"Policy demands an approval before {action.tool}, and {sentence}.")


def short_sentence(error: BaseException) -> str:
    """Return an error for the record."""
    return f"{type(error).__name__}: {error}"[:SENTENCE_CHARACTERS_MAX]


def kept_result(result: Result) -> Result:
    """Return the result, or a note in its place: a tool that had its effect must not lose its end over its size."""
    try:
        size = len(to_payload(result)[1])
    except (TypeError, ValueError, OverflowError):
        return Result(text="The result cannot be written down; the tool returned something that is no JSON.")
    if size > PAYLOAD_BYTES_MAX:
        return Result(text=f"The result has {size:,} bytes; at most {PAYLOAD_BYTES_MAX:,} are kept beside an event.")
    return result

"""What lies in the payloads of the reference system: the shapes that agents write and console, replay and export read.

A payload is the author's own document; other authors may use any media type. These have a type of ours, so that a card
can be drawn from them. All text in them is untrusted and must be shown as text.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .errors import UNREADABLE, Refused

PREFIX = "application/vnd.tenuto."
DEPTH_MAX = 64
"""How deep lists and objects may be nested; who shows or exports a document walks it, and must come back."""


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all documents; unknown fields are ignored, so that a newer author can say more."""


class PullRequest(Document, frozen=True, kw_only=True):
    """Payload of `run.started` and of the message that starts a review. `repository` is a path or URL."""

    repository: str
    title: str
    author: str
    base: str
    head: str
    description: str = ""
    commits: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Finding(Document, frozen=True, kw_only=True):
    """One finding of static analysis. severity: low, medium or high."""

    tool: str
    rule: str
    severity: str
    file: str
    line: int
    message: str


class Review(Document, frozen=True, kw_only=True):
    """Payload of the code review's `decision.made`: all that was asked and answered."""

    prompt: str
    response: str
    reasoning: str
    findings: tuple[Finding, ...] = ()
    diff: str = ""


class PlannedChange(Document, frozen=True, kw_only=True):
    """One resource of a Terraform plan: address, type, actions (create, update, delete, ...), and the values that change.

    Values that Terraform marks as sensitive are replaced before they get here.
    """

    address: str
    type: str
    actions: tuple[str, ...]
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    risks: tuple[str, ...] = ()


class ImageChange(Document, frozen=True, kw_only=True):
    """What a deployment puts in the place of what: digests of image or artifact, `before` empty where nothing runs yet."""

    name: str
    before: str = ""
    after: str = ""


class ApprovalCard(Document, frozen=True, kw_only=True):
    """Payload of `approval.requested`: what the reviewer sees. `sentence` says in one line what will change."""

    title: str
    sentence: str
    pull_request: PullRequest | None = None
    diff: str = ""
    plan_text: str = ""
    changes: tuple[PlannedChange, ...] = ()
    images: tuple[ImageChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: str = ""
    verdict_reasoning: str = ""
    policy_rules: tuple[str, ...] = ()


class Reason(Document, frozen=True, kw_only=True):
    """Payload of `approval.signed`, `hold.placed` and `hold.lifted`: why its author decided so."""

    text: str


class Handover(Document, frozen=True, kw_only=True):
    """Payload of the messages between the agents: the change, and what the sender concluded about it."""

    pull_request: PullRequest
    verdict: str = ""
    reasoning: str = ""
    plan_digest: str = ""
    approval: str = ""
    artifact: str = ""
    findings: tuple[Finding, ...] = ()


class Arguments(Document, frozen=True, kw_only=True):
    """Payload of `tool.requested`: the arguments of the call."""

    values: dict[str, Any]


class PolicyQuestion(Document, frozen=True, kw_only=True):
    """Payload of `policy.decided`: what policy was told beside what `tool.requested` says, so that it can be asked again.

    role: what the keyring said of the author. subject, risks, initiator: see `tenuto.policy.PolicyRequest`.
    """

    role: str
    subject: str = ""
    risks: tuple[str, ...] = ()
    initiator: str = ""


class Result(Document, frozen=True, kw_only=True):
    """Payload of `tool.finished` and `tool.failed`: what came back, shortened by the author to what matters."""

    text: str = ""
    values: dict[str, Any] = {}


class AlertNote(Document, frozen=True, kw_only=True):
    """Payload of `alert.raised`: one sentence for a person, and the figures behind it."""

    sentence: str
    figures: dict[str, float] = {}


class Account(Document, frozen=True, kw_only=True):
    """Payload of `exercise.ended`: what the attacker wanted, what was tried, and what stopped or noticed it.

    stops: one sentence for each control that held, as evidence says it. lacking: the parts that are not on this machine.
    evidence: the ids of all events that it rests on where the header has no room for them; those in the header come first.
    """

    goal: str
    seen: str
    stops: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


DOCUMENTS: tuple[type[Document], ...] = (
    PullRequest, Review, ApprovalCard, Reason, Handover, Arguments, PolicyQuestion, Result, AlertNote,
    Account,
)  # fmt: skip

AnyDocument = TypeVar("AnyDocument", bound=Document)


def media_type(document: type[Document]) -> str:
    """The payload type of a document class, such as `application/vnd.tenuto.approval-card+json`."""
    name = "".join("-" + letter.lower() if letter.isupper() else letter for letter in document.__name__).lstrip("-")
    return f"{PREFIX}{name}+json"


def to_payload(document: Document) -> tuple[str, bytes]:
    """Return media type and bytes."""
    return media_type(type(document)), msgspec.json.encode(document)


def from_payload(payload: bytes | None, document: type[AnyDocument]) -> AnyDocument:
    """Read a payload as `document`; raises Refused (reason payload) when it is not one, or nested above DEPTH_MAX (64)."""
    payload = payload or b""
    try:
        found = msgspec.json.decode(payload, type=document)
        too_deep = is_too_deep(payload)
    except UNREADABLE as error:
        raise Refused(f"The payload is not a {document.__name__}: {error}.", reason="payload") from error
    if too_deep:
        sentence = f"The payload is not a {document.__name__}: it is nested more than {DEPTH_MAX} deep."
        raise Refused(sentence, reason="payload")
    return found


def readable(media: str | None, payload: bytes | None) -> Any:
    """Return a payload for showing: decoded JSON where it is that and not too deep, else text; never raises."""
    if payload is None:
        return None
    if media is not None and media.endswith("json"):
        try:
            if not is_too_deep(payload):
                return msgspec.json.decode(payload)
        except UNREADABLE:
            pass
    return payload.decode("utf-8", errors="replace")


def is_too_deep(payload: bytes) -> bool:
    """Tell whether JSON is nested above DEPTH_MAX (64); raises one of `errors.UNREADABLE` when it cannot be read at all."""
    if payload.count(b"[") + payload.count(b"{") <= DEPTH_MAX:
        return False
    level = [msgspec.json.decode(payload)]
    for _ in range(DEPTH_MAX):
        lists = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [inner for one in lists for inner in one]
    return any(isinstance(one, dict | list) for one in level)

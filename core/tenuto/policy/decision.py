"""The question that policy is asked, and the form of its answer. Engines differ, these do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Effect = Literal["allow", "deny"]
Obligation = Literal["none", "approval", "approval_and_one_more"]
OBLIGATIONS: tuple[Obligation, ...] = ("none", "approval", "approval_and_one_more")
"""What must happen before the tool may start, the mildest first: nothing, one reviewer, two reviewers."""

ERROR_RULE = "error"
"""Stands for a rule when the engine gave no answer that can be trusted."""

NO_PERMIT_RULE = "no_permit"
"""Stands for a rule when nothing permits the request: what is not allowed is denied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """One tool call, as facts. principal: the agent's name. role: what the ledger's keyring says it is.

    resource: `kind:name`, such as `stack:shop`. digest: 64 hex digits of what is acted on. risks: see
    `tenuto.events.approval.Risk`. initiator: the person behind it, "" if nobody is named. arguments: the call's own.
    """

    principal: str
    role: str
    tool: str
    resource: str
    digest: str
    subject: str = ""
    risks: tuple[str, ...] = ()
    initiator: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer. rules: ids of the rules that decided. bundle: SHA-256 of their files. engine: what evaluated them."""

    effect: Effect
    rules: tuple[str, ...]
    bundle: str
    engine: str
    obligation: Obligation = "none"


class Policy(Protocol):
    """Something that decides. `bundle` and `engine` are what every decision of it carries."""

    @property
    def bundle(self) -> str:
        """SHA-256 of the rules, 64 hex digits."""
        ...

    @property
    def engine(self) -> str:
        """Name and version of what evaluates the rules."""
        ...

    def decide(self, request: PolicyRequest) -> Decision:
        """Answer; an engine that errs, or cannot be reached, answers deny with ERROR_RULE and does not raise."""
        ...

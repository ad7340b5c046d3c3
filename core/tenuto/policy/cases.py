"""Cases: what a bundle must answer, written down by whoever is responsible for it, and whether they pin every rule.

A bundle whose cases all pass can still hold rules that nobody tests. So each rule is taken away in turn: a rule without
which every case passes as before is pinned by none, and its next edit could do anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import NotConfigured
from .bundle import Bundle
from .cedar import CedarPolicy
from .decision import Decision, Effect, Obligation, Policy, PolicyRequest

CASES_MAX = 10_000
_DIGEST = "0" * 64


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question and its answer. `rules`, where given, are the ids that must have decided, in any order."""

    name: str
    principal: str
    tool: str
    resource: str
    effect: Effect
    role: str = "agent"
    digest: str = _DIGEST
    subject: str = ""
    risks: tuple[str, ...] = ()
    initiator: str = ""
    arguments: dict[str, Any] = {}
    obligation: Obligation = "none"
    rules: tuple[str, ...] | None = None

    @property
    def request(self) -> PolicyRequest:
        """The question."""
        return PolicyRequest(
            principal=self.principal, role=self.role, tool=self.tool, resource=self.resource, digest=self.digest,
            subject=self.subject, risks=self.risks, initiator=self.initiator, arguments=self.arguments,
        )  # fmt: skip

    def fault(self, decision: Decision) -> str | None:
        """Return what is wrong with this answer, or None."""
        if (decision.effect, decision.obligation) != (self.effect, self.obligation):
            given, wanted = _said(decision.effect, decision.obligation), _said(self.effect, self.obligation)
            return f"the answer is {given} ({', '.join(decision.rules)}), not {wanted}"
        if self.rules is not None and set(self.rules) != set(decision.rules):
            return f"{', '.join(decision.rules)} decided, not {', '.join(self.rules)}"
        return None


@dataclass(frozen=True, slots=True)
class Trial:
    """How a bundle did: failed cases with what is wrong, and rules that no case would miss."""

    cases: int
    failed: tuple[tuple[Case, str], ...]
    unpinned: tuple[str, ...]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    case: tuple[Case, ...]


def read_cases(files: Sequence[Path]) -> tuple[Case, ...]:
    """Read `[[case]]` tables of TOML files; raises NotConfigured naming the file, and the case where it is one."""
    cases = tuple(case for file in files for case in _read(file))
    if not cases:
        raise NotConfigured(f"There are no cases in {', '.join(map(str, files)) or 'no file'}; write some as [[case]].")
    if len(cases) > CASES_MAX:
        raise NotConfigured(f"There are {len(cases):,} cases; at most {CASES_MAX:,} are run at once. Split the files.")
    return cases


def try_cases(bundle: Bundle, cases: Sequence[Case]) -> Trial:
    """Ask every case; if all hold, take away each rule in turn and see whether any case notices."""
    failed = _failures(CedarPolicy(bundle), cases)
    unpinned = () if failed else tuple(rule for rule in bundle.rules if not _missed(bundle.without(rule), cases))
    return Trial(len(cases), failed, unpinned)


def _missed(bundle: Bundle, cases: Sequence[Case]) -> bool:
    try:
        return bool(_failures(CedarPolicy(bundle), cases))
    except NotConfigured:
        return True  # without it, the bundle would not even be accepted


def _failures(policy: Policy, cases: Sequence[Case]) -> tuple[tuple[Case, str], ...]:
    faults = ((case, case.fault(policy.decide(case.request))) for case in cases)
    return tuple((case, fault) for case, fault in faults if fault is not None)


def _read(file: Path) -> tuple[Case, ...]:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
        return msgspec.convert(found, _File).case
    except OSError as error:
        raise NotConfigured(f"The cases {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NotConfigured(f"{file} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise NotConfigured(f"{file} has a case that cannot be used: {error}.") from error


def _said(effect: Effect, obligation: Obligation) -> str:
    return effect if obligation == "none" else f"{effect} with {obligation}"

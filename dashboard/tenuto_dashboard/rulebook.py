"""The rules as they lie on this machine, and whether they pass their canaries; the ledger says whether they are what decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tenuto.errors import NotConfigured
from tenuto.policy import Policy
from tenuto.policy.bundle import Rule


@dataclass(frozen=True, slots=True)
class Rulebook:
    """rules: by id; none where the engine keeps its own. tried: what the canaries showed. fault: why nothing can be used."""

    read_at: datetime
    bundle: str = ""
    engine: str = ""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    tried: tuple[str, ...] = ()
    fault: str = ""


def read_rulebook(sources: str | None, now: datetime) -> Rulebook:
    """Load the policy that the setting `policy` names, as a gate does, canaries and all; a fault is a sentence, not an error."""
    from tenuto.policy.cedar import CedarPolicy
    from tenuto.wiring import open_policy

    try:
        policy = open_policy(sources)
    except NotConfigured as fault:
        return Rulebook(now, fault=str(fault))
    rules = policy.rules if isinstance(policy, CedarPolicy) else {}
    return Rulebook(now, policy.bundle, policy.engine, rules, _tried(policy, rules, reference=sources is None))


def _tried(policy: Policy, rules: Mapping[str, Rule], *, reference: bool) -> tuple[str, ...]:
    tools = {tool for rule in rules.values() for tool in rule.tools}
    strangers = f"An agent that nobody knows is denied each of {len(tools) + 1} tools." if rules else "An agent that nobody knows is denied."
    if not rules:
        return (f"{policy.engine} answers and says which rules it has.", strangers)
    own = ("The known requests of the reference bundle come out as they must.",) if reference else ()
    return (f"{policy.engine} tells a permitted request from a stranger's.", strangers, *own)

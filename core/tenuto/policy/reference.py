"""The reference bundle's own canaries: a few requests whose answer everybody knows, asked each time it is loaded."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotConfigured
from .decision import Effect, Obligation, Policy, PolicyRequest

REFERENCE_FILE = Path(__file__).with_name("reference.cedar")
REFERENCE_CASES = Path(__file__).with_name("reference.cases.toml")

_CANARIES: tuple[tuple[str, str, str, Effect, Obligation], ...] = (
    ("code-review", "git.diff", "repo:canary", "allow", "none"),
    ("code-review", "terraform.apply", "stack:canary", "deny", "none"),
    ("infrastructure", "terraform.apply", "stack:canary", "allow", "approval"),
    ("infrastructure", "terraform.revert", "stack:canary", "allow", "none"),
    ("infrastructure", "deploy.production", "service:canary", "deny", "none"),
    ("deployment", "deploy.production", "service:canary", "allow", "approval"),
    ("deployment", "deploy.rollback", "service:canary", "allow", "approval"),
)


def verify_reference(policy: Policy) -> None:
    """Raise NotConfigured unless the canaries of the reference bundle come out as they must."""
    for principal, tool, resource, effect, obligation in _CANARIES:
        request = PolicyRequest(
            principal=principal, role="agent", tool=tool, resource=resource, digest="0" * 64, arguments={"resources": 1, "open_to_world": 0}
        )
        decision = policy.decide(request)
        if (decision.effect, decision.obligation) != (effect, obligation):
            given = f"{principal} calling {tool} gives {decision.effect} with {decision.obligation}"
            remedy = "The file was altered: install Tenuto anew, or name policy files of your own."
            raise NotConfigured(f"{REFERENCE_FILE}: {given}, not {effect} with {obligation}. {remedy}")

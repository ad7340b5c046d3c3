"""What may happen, decided by rules in files that people can read and review, never by an agent.

A policy answers one tool request at a time. It is asked by the gate and by nobody else, its answer is an event with the
digest of the rules that gave it, and whatever goes wrong on the way to an answer is a deny.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .bundle import read_bundle
from .cedar import CedarPolicy
from .decision import ERROR_RULE, NO_PERMIT_RULE, OBLIGATIONS, Decision, Obligation, Policy, PolicyRequest
from .reference import REFERENCE_FILE, verify_reference

__all__ = [
    "ERROR_RULE", "NO_PERMIT_RULE", "OBLIGATIONS", "Decision", "Obligation", "Policy", "PolicyRequest", "load_policy",
]  # fmt: skip


def load_policy(paths: Sequence[Path] = ()) -> Policy:
    """Return the policy in these Cedar files (folders stand for their `*.cedar`); without paths, the reference bundle.

    Raises NotConfigured naming file and line when one is missing, does not parse, uses what no request has, or would
    let a stranger through. A bundle without rules is accepted and denies everything.
    """
    if paths:
        return CedarPolicy(read_bundle(paths))
    policy = CedarPolicy(read_bundle([REFERENCE_FILE]))
    verify_reference(policy)
    return policy
